package bus

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
)

// dead puts messages into the dead-letter queue of files.
func (r *rig) dead(ids ...string) {
	r.t.Helper()
	r.send("files", "a", ids...)
	s := r.accept()
	for range ids {
		if err := s.DeadLetter(r.t.Context(), r.receive(s), nil); err != nil {
			r.t.Fatal(err)
		}
	}
	_ = s.Close(r.t.Context())
}

func idsOf(messages []*azservicebus.ReceivedMessage) (ids []string) {
	for _, m := range messages {
		ids = append(ids, m.MessageID)
	}
	return ids
}

// received checks what a call returned.
func received(t *testing.T, got []*azservicebus.ReceivedMessage, err error, want ...string) {
	t.Helper()
	if ids := idsOf(got); err != nil || !slices.Equal(ids, want) {
		t.Errorf("%q, %v, want %q", ids, err, want)
	}
}

func TestASubQueueIsReadAndSettled(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.dead("1", "2", "3")
		d := r.bus.Receiver(files, azservicebus.SubQueueDeadLetter)
		got, err := d.Receive(t.Context(), 2, time.Second)
		received(t, got, err, "1", "2")
		page, err := d.Peek(t.Context(), 1, 10)
		received(t, page, err, "1", "2", "3") // locked ones included
		page, err = d.Peek(t.Context(), *page[1].SequenceNumber, 1)
		received(t, page, err, "2")

		// What one receiver locked is settled over any connection.
		other := r.bus.Receiver(files, azservicebus.SubQueueDeadLetter)
		if err := other.Complete(t.Context(), got[0].LockToken); err != nil {
			t.Error(err)
		}
		pass(40 * time.Second) // of a minute
		until, err := other.Renew(t.Context(), got[1].LockToken)
		if left := time.Until(until).Round(time.Second); err != nil || left != time.Minute {
			t.Errorf("renewed for %s, %v", left, err)
		}
		pass(40 * time.Second)
		if err := other.Complete(t.Context(), got[1].LockToken); err != nil {
			t.Error(err)
		}

		link := d.asking.link
		for call, err := range map[string]error{
			"complete": d.Complete(t.Context(), got[1].LockToken),
			"abandon":  d.Abandon(t.Context(), got[1].LockToken),
			"renew":    func() error { _, err := d.Renew(t.Context(), got[1].LockToken); return err }(),
		} {
			if !errors.Is(err, ErrLockLost) || !Final(err) {
				t.Errorf("%s without a lock: %v", call, err)
			}
		}
		if d.asking.link != link {
			t.Error("a lock that was lost cost the link")
		}
		if at := r.bus.lastFailure(); !at.IsZero() {
			t.Errorf("a lock that was lost counts as a failure of the connection, at %s", at)
		}
		page, err = d.Peek(t.Context(), 1, 10)
		received(t, page, err, "3")
		_, _ = d.Close(t.Context()), other.Close(t.Context())
	})
}

func TestEachSubQueueIsAnother(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.dead("dead")
		r.send("status", "", "alive")
		for _, c := range []struct {
			src  Source
			sub  azservicebus.SubQueue
			want []string
		}{
			{Source{Queue: "status"}, 0, []string{"alive"}},
			{files, azservicebus.SubQueueDeadLetter, []string{"dead"}},
			{files, azservicebus.SubQueueTransfer, nil},
			{subscription, azservicebus.SubQueueDeadLetter, nil},
		} {
			d := r.bus.Receiver(c.src, c.sub)
			page, err := d.Peek(t.Context(), 1, 10)
			received(t, page, err, c.want...)
			_ = d.Close(t.Context())
		}
	})
}

func TestWhatIsAbandonedAfterAStopStaysAtTheBroker(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.dead("1")
		d := r.bus.Receiver(files, azservicebus.SubQueueDeadLetter)
		got, err := d.Receive(t.Context(), 10, time.Second) // credit for nine is left
		received(t, got, err, "1")
		d.Stop(t.Context())
		came := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Times: -1, Effect: servicebus.Pass})
		if err := d.Abandon(t.Context(), got[0].LockToken); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := came.Count(); n != 0 {
			t.Errorf("it came again, %d times", n)
		}
		got, err = d.Receive(t.Context(), 10, time.Second)
		received(t, got, err, "1")
		got, err = d.Receive(t.Context(), 10, time.Second)
		received(t, got, err) // nothing came, and that is no failure
		_ = d.Close(t.Context())
	})
}

func TestADeferredMessageIsFetched(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("status", "", "1")
		client, err := r.connect(azservicebus.RetryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rx, err := client.NewReceiverForQueue("status", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := rx.ReceiveMessages(t.Context(), 1, nil)
		if err := errors.Join(err, rx.DeferMessage(t.Context(), got[0], nil), client.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		d := r.bus.Receiver(Source{Queue: "status"}, 0)
		m, err := d.ReceiveDeferred(t.Context(), *got[0].SequenceNumber)
		if err != nil || m == nil || m.MessageID != "1" {
			t.Fatalf("%v, %v", m, err)
		}
		if err := d.Complete(t.Context(), m.LockToken); err != nil {
			t.Error(err)
		}
		if m, err := d.ReceiveDeferred(t.Context(), *got[0].SequenceNumber); m != nil || err != nil {
			t.Errorf("one that is not there: %v, %v", m, err)
		}
		_ = d.Close(t.Context())
	})
}

func TestSessionsAreListed(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		for _, id := range []string{"a", "b"} {
			r.send("files", id, "1")
		}
		var ids []string
		for id, err := range r.bus.Sessions(t.Context(), files) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if slices.Sort(ids); !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("%q", ids)
		}
		for src, want := range map[Source]error{{Queue: "status"}: ErrNoSessions, {Queue: "nowhere"}: ErrNotFound} {
			for _, err := range r.bus.Sessions(t.Context(), src) {
				if !errors.Is(err, want) {
					t.Errorf("sessions of %s: %v, want %v", src, err, want)
				}
			}
		}
	})
}

func TestTheBrokersAnswersHaveNames(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		plain := func(session *string) *azservicebus.AMQPAnnotatedMessage {
			return &azservicebus.AMQPAnnotatedMessage{
				Properties: &azservicebus.AMQPAnnotatedMessageProperties{GroupID: session},
				Body:       azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{make([]byte, 1)}},
			}
		}
		huge := plain(new("a"))
		huge.Body.Data[0] = make([]byte, 300<<10)
		accept := func(src Source) error { _, err := r.bus.AcceptByID(t.Context(), src, "a"); return err }
		peek := func(src Source) error { _, err := r.bus.Receiver(src, 0).Peek(t.Context(), 1, 1); return err }
		for name, c := range map[string]struct{ got, want error }{
			"no such queue":                  {accept(Source{Queue: "nowhere"}), ErrNotFound},
			"no such queue to peek at":       {peek(Source{Queue: "nowhere"}), ErrNotFound},
			"no such queue to send to":       {r.bus.Sender("nowhere").SendAMQP(t.Context(), plain(nil)), ErrNotFound},
			"no sessions there":              {accept(Source{Queue: "status"}), ErrNoSessions},
			"no session where all have one":  {r.bus.Sender("files").SendAMQP(t.Context(), plain(nil)), ErrNeedSession},
			"more than the entity will take": {r.bus.Sender("files").SendAMQP(t.Context(), huge), azservicebus.ErrMessageTooLarge},
			"nothing is wrong":               {r.bus.Sender("files").SendAMQP(t.Context(), plain(new("a"))), nil},
		} {
			if !errors.Is(c.got, c.want) || Final(c.got) != (c.want != nil) {
				t.Errorf("%s: %v, want %v", name, c.got, c.want)
			}
		}
		r.server.Faults().Add(servicebus.Fault{
			Op: servicebus.OpPeek, Effect: servicebus.Refuse, Condition: "amqp:unauthorized-access",
		})
		if err := peek(Source{Queue: "status"}); !errors.Is(err, ErrForbidden) {
			t.Errorf("no right: %v", err)
		}
	})
}

// Each failure surfaces, bounded; the next call has a new link, and locks are as they were.
func TestAReceiverOutlivesItsConnections(t *testing.T) {
	for name, fault := range map[string]servicebus.Fault{
		"refused":    {Effect: servicebus.Refuse},
		"cut":        {Effect: servicebus.Lose, Then: servicebus.Cut},
		"reply cut":  {Effect: servicebus.LoseReply, Then: servicebus.Cut},
		"no answer":  {Effect: servicebus.Lose},
		"reply lost": {Effect: servicebus.LoseReply},
		"stalled":    {Effect: servicebus.Lose, Then: servicebus.Stall},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.dead("1")
				d := r.bus.Receiver(files, azservicebus.SubQueueDeadLetter)
				got, err := d.Receive(t.Context(), 1, time.Second)
				received(t, got, err, "1")
				fault.Op = servicebus.OpRenew
				armed := r.server.Faults().Add(fault)
				began := time.Now()
				if _, err := d.Renew(t.Context(), got[0].LockToken); err == nil || Final(err) {
					t.Errorf("%v", err)
				}
				if took := time.Since(began); took > DefaultCallTimeout+abandonAfter || armed.Count() != 1 {
					t.Errorf("failed after %s and %d calls", took, armed.Count())
				}
				err = d.Complete(t.Context(), got[0].LockToken)
				if err != nil && fault.Then == servicebus.Cut { // who asks for a link may be the first to hear of the cut
					err = d.Complete(t.Context(), got[0].LockToken)
				}
				if err != nil {
					t.Errorf("then: %v", err)
				}
				_ = d.Close(t.Context())
			})
		})
	}
}

func TestAReceiveThatIsStoppedIsNoFailure(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		d := r.bus.Receiver(files, azservicebus.SubQueueDeadLetter)
		stopped(t, func(ctx context.Context) error {
			_, err := d.Receive(ctx, 1, time.Minute)
			return err
		})
		r.dead("1")
		got, err := d.Receive(t.Context(), 1, time.Second)
		received(t, got, err, "1")
		if at := r.bus.lastFailure(); !at.IsZero() {
			t.Errorf("failed at %s", at)
		}
		_ = d.Close(t.Context())
	})
}

// A sender that has nothing to send keeps a client that was replaced, until the Bus is closed. The bubble sees what is
// left.
func TestAClosedBusLeavesNothingOfAClientThatWasReplaced(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		s := r.bus.Sender("status")
		if err := s.Send(t.Context(), message("1")); err != nil {
			t.Fatal(err)
		}
		s.link.g.fail(io.EOF)
	})
}
