package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
	"fnobridge/internal/bus"
)

func TestReceiveGivesOneMessageAtATimeInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bodies := []string{"1", "2", "3", "4", "5"}
	w.put("orders", "a", bodies...)
	s := w.take(w.bus, orders, "a")
	last := int64(0)
	for _, want := range bodies {
		m := w.receive(s)
		if string(m.Body) != want || *m.SequenceNumber <= last {
			t.Errorf("received %s, number %d after %d, want %s", m.Body, *m.SequenceNumber, last, want)
		}
		last = *m.SequenceNumber
		locked := 0
		for _, x := range w.server.Messages("orders") {
			if x.State == "locked" {
				locked++
			}
		}
		if locked != 1 {
			t.Errorf("%d messages in hand", locked)
		}
		w.must(s.Complete(t.Context(), m))
	}
	if n := len(w.server.Messages("orders")); n != 0 {
		t.Errorf("%d messages left", n)
	}
}

func TestReceiveOnAnEmptySession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.take(w.bus, orders, "a")
	for range 3 {
		if m, err := s.Receive(t.Context(), 20*time.Millisecond); m != nil || err != nil {
			t.Errorf("got %v, %v, want nothing", m, err)
		}
	}
	w.put("orders", "a", "late")
	if m := w.receive(s); string(m.Body) != "late" || m.DeliveryCount != 1 {
		t.Errorf("received %s, delivery %d", m.Body, m.DeliveryCount)
	}
}

// TestACancelledReceiveLosesNothing cancels while the message is on its way, which then arrives between two calls.
func TestACancelledReceiveLosesNothing(t *testing.T) {
	t.Parallel()
	clock := servicebus.NewFakeClock(time.Now())
	w := newWorld(t, func(o *servicebus.Options, _ *bus.Options) { o.Clock = clock })
	w.put("orders", "a", "1", "2")
	s := w.take(w.bus, orders, "a")
	delay := w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Effect: servicebus.Delay, Delay: time.Second})
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-delay.Struck(); cancel(stop) }()
	if m, err := s.Receive(ctx, enough); m != nil || !errors.Is(err, stop) || errors.Is(err, bus.ErrLost) {
		t.Fatalf("got %v, %v", m, err)
	}
	clock.Advance(time.Second)
	for _, want := range []string{"1", "2"} {
		m := w.receive(s)
		if string(m.Body) != want || m.DeliveryCount != 1 {
			t.Errorf("received %s, delivery %d, want %s", m.Body, m.DeliveryCount, want)
		}
		w.must(s.Complete(t.Context(), m))
	}
	if _, err := s.Receive(ctx, enough); !errors.Is(err, stop) {
		t.Errorf("a call that was over before it began: %v", err)
	}
	w.must(s.Renew(t.Context()))
}

// TestALostLinkIsNotAnEmptySession breaks the link before and during the call.
func TestALostLinkIsNotAnEmptySession(t *testing.T) {
	t.Parallel()
	during := func(then servicebus.Then) func(*world) {
		return func(w *world) {
			w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Effect: servicebus.Lose, Then: then})
		}
	}
	for name, harm := range map[string]func(*world){
		"detached before":     func(w *world) { w.server.Faults().DetachLinks("orders", "a", "") },
		"expired before":      func(w *world) { w.server.Faults().ExpireSession("orders", "a") },
		"unauthorized before": func(w *world) { w.server.Faults().DetachLinks("orders", "a", "amqp:unauthorized-access") },
		"cut before":          func(w *world) { w.server.Faults().CutAll() },
		"detached during":     during(servicebus.Detach),
		"cut during":          during(servicebus.Cut),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put("orders", "a", "1", "2")
			s := w.take(w.bus, orders, "a")
			first := w.receive(s)
			w.must(s.Complete(t.Context(), first))
			harm(w)
			m, err := s.Receive(t.Context(), enough)
			if m != nil {
				t.Errorf("received %s on a lost link", m.Body)
			}
			w.lost(s, first, err)
		})
	}
}

func TestStateOfASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.take(w.bus, orders, "a")
	want := func(want string) {
		t.Helper()
		got, err := s.State(t.Context())
		w.must(err)
		if string(got) != want || (want == "") != (got == nil) {
			t.Errorf("state %q, want %q", got, want)
		}
	}
	want("")
	w.must(s.SetState(t.Context(), []byte("one")))
	want("one")
	w.must(s.Close(t.Context()))
	s = w.take(w.bus, orders, "a")
	want("one")
	w.must(s.SetState(t.Context(), nil))
	want("")
}

// TestARenewalMovesTheLock: the lease that is assumed begins no later than the broker's.
func TestARenewalMovesTheLock(t *testing.T) {
	t.Parallel()
	clock := servicebus.NewFakeClock(time.Now())
	w := newWorld(t, func(o *servicebus.Options, _ *bus.Options) { o.Clock = clock })
	before := time.Now()
	s := w.take(w.bus, orders, "a")
	granted, until := s.Lock()
	if granted.Before(before) || granted.After(time.Now()) {
		t.Errorf("granted at %s, asked after %s", granted, before)
	}
	delay := w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpRenew, Effect: servicebus.Delay, Delay: 10 * time.Second})
	reached := make(chan time.Time, 1)
	go func() { <-delay.Struck(); reached <- time.Now(); clock.Advance(10 * time.Second) }()
	w.must(s.Renew(t.Context()))
	struck := <-reached
	again, later := s.Lock()
	if again.Before(granted) || !again.Before(struck) {
		t.Errorf("granted at %s, when the call reached the broker at %s", again, struck)
	}
	if d := later.Sub(until); d != 10*time.Second {
		t.Errorf("the lock moved by %s, want 10s", d)
	}
	if !later.Equal(w.session(orders, "a").LockedUntil.Truncate(time.Millisecond)) {
		t.Errorf("locked until %s, the broker says %s", later, w.session(orders, "a").LockedUntil)
	}
}

func TestDeadLetterKeepsItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("orders", "a", "1")
	s := w.take(w.bus, orders, "a")
	w.must(s.DeadLetter(t.Context(), w.receive(s), &azservicebus.DeadLetterOptions{
		Reason: new("why"), ErrorDescription: new("how"), PropertiesToModify: map[string]any{"attempts": int64(3)},
	}))
	dead := w.server.Messages("orders/$DeadLetterQueue")
	if len(dead) != 1 || dead[0].DeadLetterReason != "why" || dead[0].DeadLetterDescription != "how" || dead[0].Properties["attempts"] != int64(3) {
		t.Errorf("%+v", dead)
	}
}
