package bus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
)

// A rig is a broker without a port and a Bus on it, in a bubble: the real SDK, no real time.
type rig struct {
	t      *testing.T
	server *servicebus.Server
	bus    *Bus
	dials  atomic.Int32 // connections made
}

var files = Source{Queue: "files"}

func newRig(t *testing.T, options ...func(*Options)) *rig {
	t.Helper()
	q := entity.NewQueue("files")
	q.RequiresSession, q.LockDuration = true, time.Minute
	topic := entity.NewTopic("orders")
	sub := entity.NewSubscription("fno")
	sub.RequiresSession = true
	topic.Subscriptions = []entity.SubscriptionDescription{sub}
	server, err := servicebus.Start(servicebus.Options{Addr: "none", Namespace: entity.Namespace{
		Queues: []entity.QueueDescription{q, entity.NewQueue("status")}, Topics: []entity.TopicDescription{topic},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, server: server}
	o := Options{Connect: r.connect, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range options {
		f(&o)
	}
	if r.bus, err = Open(o); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) connect(retry azservicebus.RetryOptions) (*azservicebus.Client, error) {
	return azservicebus.NewClientFromConnectionString(r.server.ConnectionString(), &azservicebus.ClientOptions{
		RetryOptions: retry,
		NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			r.dials.Add(1)
			return r.server.Dial(ctx)
		},
	})
}

// close ends the rig; bubbles end before cleanups run.
func (r *rig) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = r.bus.Close(ctx) // the connection may have been cut
	if err := r.server.Close(); err != nil {
		r.t.Error(err)
	}
}

func in(t *testing.T, test func(t *testing.T, r *rig), options ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, options...)
		defer r.close()
		test(t, r)
	})
}

func (r *rig) send(to, session string, ids ...string) {
	r.t.Helper()
	s := r.bus.Sender(to)
	defer func() { _ = s.Close(r.t.Context()) }()
	for _, id := range ids {
		m := &azservicebus.Message{MessageID: &id, Body: []byte("body of " + id)}
		if session != "" {
			m.SessionID = &session
		}
		err := s.Send(r.t.Context(), m)
		for try := 0; err != nil && try < 3; try++ { // the connection may have been cut
			err = s.Send(r.t.Context(), m)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) accept() *Session {
	r.t.Helper()
	s, err := r.bus.AcceptNext(r.t.Context(), files, 10*time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) receive(s *Session) *azservicebus.ReceivedMessage {
	r.t.Helper()
	m, err := s.Receive(r.t.Context(), time.Second)
	if err != nil || m == nil {
		r.t.Fatalf("received %v, %v", m, err)
	}
	return m
}

func TestASessionIsServedInOrder(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1", "2", "3")
		s := r.accept()
		if granted, until := s.Lock(); until.Sub(granted) < 50*time.Second || s.ID() != "a" {
			t.Errorf("session %q locked for %s", s.ID(), until.Sub(granted))
		}
		if state, err := s.State(t.Context()); err != nil || state != nil {
			t.Errorf("state %q, %v", state, err)
		}
		for _, want := range []string{"1", "2"} {
			m := r.receive(s)
			if m.MessageID != want {
				t.Errorf("received %s, want %s", m.MessageID, want)
			}
			if err := s.Complete(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
		reason := "because"
		if err := s.DeadLetter(t.Context(), r.receive(s), &azservicebus.DeadLetterOptions{Reason: &reason}); err != nil {
			t.Error(err)
		}
		if err := s.SetState(t.Context(), []byte("state")); err != nil {
			t.Error(err)
		}
		if m, err := s.Receive(t.Context(), 100*time.Millisecond); m != nil || err != nil {
			t.Errorf("an empty session gave %v, %v", m, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.State(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("a closed session answered: %v", err)
		}
		if c, _ := r.server.Counts("files"); c.Active != 0 || c.DeadLetter != 1 {
			t.Errorf("%+v", c)
		}
		again, err := r.bus.AcceptByID(t.Context(), files, "a")
		if err != nil {
			t.Fatal(err)
		}
		if state, err := again.State(t.Context()); string(state) != "state" || err != nil {
			t.Errorf("state %q, %v", state, err)
		}
		if err := again.SetState(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if state, err := again.State(t.Context()); state != nil || err != nil {
			t.Errorf("cleared state %q, %v", state, err)
		}
		_ = again.Close(t.Context())
		if n := r.dials.Load(); n != 2 {
			t.Errorf("%d connections, want one for sessions and one for senders", n)
		}
	})
}

func TestNoSessionIsIdleAndNotAFailure(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		for range 5 { // idle is no stall either
			began := time.Now()
			if _, err := r.bus.AcceptNext(t.Context(), files, 3*time.Second); !errors.Is(err, ErrIdle) {
				t.Errorf("%v", err)
			}
			if d := time.Since(began); d < 2*time.Second || d > 4*time.Second {
				t.Errorf("waited %s for three seconds", d)
			}
		}
		if n := r.dials.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		time.AfterFunc(time.Second, func() { cancel(stop) })
		if _, err := r.bus.AcceptNext(ctx, files, time.Minute); !errors.Is(err, stop) {
			t.Errorf("a stop came back as %v", err)
		}
		synctest.Wait()
		if n := r.server.Accepting("files"); n != 0 {
			t.Errorf("%d accepts still wait at the broker", n)
		}
		if _, err := r.bus.AcceptNext(t.Context(), Source{Topic: "orders", Subscription: "fno"}, time.Second); !errors.Is(err, ErrIdle) {
			t.Errorf("%v", err)
		}
		if _, err := r.bus.AcceptNext(t.Context(), Source{Queue: "nowhere"}, time.Second); err == nil || errors.Is(err, ErrIdle) {
			t.Errorf("a queue that is not there: %v", err)
		}
	})
}

func TestASessionHasOneOwner(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		if _, err := r.bus.AcceptByID(t.Context(), files, "a"); !errors.Is(err, ErrTaken) {
			t.Errorf("%v", err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		s, err := r.bus.AcceptByID(t.Context(), files, "a")
		if err != nil {
			t.Fatal(err)
		}
		m := r.receive(s)
		if m.DeliveryCount != 1 {
			t.Errorf("closing counted a delivery: %d", m.DeliveryCount)
		}
		_ = s.Close(t.Context())
	})
}

// Each fault of each call on a session surfaces at once, bounded, as ErrLost, and the receiver is never used again.
func TestAConnectionThatIsCutIsReplacedAsAWhole(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		r.send("files", "b", "1")
		one, two := r.accept(), r.accept()
		waits := make(chan error, 1)
		go func() {
			_, err := two.Receive(t.Context(), time.Second) // gets its message
			if err == nil {
				_, err = two.Receive(t.Context(), time.Minute)
			}
			waits <- err
		}()
		synctest.Wait()
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSetState, Effect: servicebus.Lose, Then: servicebus.Cut})
		if err := one.SetState(t.Context(), []byte("x")); !errors.Is(err, ErrLost) {
			t.Errorf("%v", err)
		}
		if err := <-waits; !errors.Is(err, ErrLost) {
			t.Errorf("a call on the same connection ended with %v", err)
		}
		_, _ = one.Close(t.Context()), two.Close(t.Context())
		again := r.accept()
		if again.g == one.g {
			t.Error("the broken client is still in use")
		}
		_ = again.Close(t.Context())
		if live := r.bus.sessions.live; len(live) != 1 || live[0].users != 0 {
			t.Error("uses are not given back")
		}
	})
}

func TestSessionsSpreadOverConnections(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.bus.sessions.most = 2
		var all []*Session
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			r.send("files", id, "1")
			all = append(all, r.accept())
		}
		if n := r.dials.Load(); n != 1+3 {
			t.Errorf("%d connections for five sessions, two on each, and the senders", n)
		}
		// A cut costs only the sessions of its connection.
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSetState, Effect: servicebus.Lose, Then: servicebus.Cut})
		if err := all[2].SetState(t.Context(), []byte("x")); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		for n, s := range all {
			_, err := s.State(t.Context())
			if lost := n == 2 || n == 3; lost != errors.Is(err, ErrLost) {
				t.Errorf("session %d: %v", n, err)
			}
			_ = s.Close(t.Context())
		}
	})
}

func TestAConnectionThatOnlyStallsIsReplaced(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		for _, id := range []string{"a", "b", "c", "d"} {
			r.send("files", id, "1")
		}
		var all []*Session
		for range 4 {
			all = append(all, r.accept())
		}
		before := r.dials.Load()
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpGetState, Effect: servicebus.Lose, Then: servicebus.Stall})
		for _, s := range all[:strikesBeforeReplace] {
			began := time.Now()
			if _, err := s.State(t.Context()); !errors.Is(err, ErrLost) || time.Since(began) > DefaultCallTimeout+abandonAfter {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		}
		began := time.Now()
		if _, err := all[3].State(t.Context()); !errors.Is(err, ErrLost) || time.Since(began) > time.Millisecond {
			t.Errorf("the stalled connection is still trusted: %v after %s", err, time.Since(began))
		}
		for _, s := range all {
			_ = s.Close(t.Context())
		}
		r.server.Faults().Clear()
		if _, err := r.bus.AcceptNext(t.Context(), files, 2*time.Second); err != nil && !errors.Is(err, ErrIdle) {
			t.Errorf("no new connection: %v", err)
		}
		if r.dials.Load() != before+1 {
			t.Errorf("%d connections, %d before", r.dials.Load(), before)
		}
	})
}

func TestASenderOutlivesItsConnections(t *testing.T) {
	for name, fault := range map[string]servicebus.Fault{
		"refused":    {Effect: servicebus.Refuse},
		"cut":        {Effect: servicebus.Lose, Then: servicebus.Cut},
		"reply cut":  {Effect: servicebus.LoseReply, Then: servicebus.Cut},
		"detached":   {Effect: servicebus.Lose, Then: servicebus.Detach},
		"no answer":  {Effect: servicebus.Lose},
		"reply lost": {Effect: servicebus.LoseReply},
		"stalled":    {Effect: servicebus.Lose, Then: servicebus.Stall},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				s := r.bus.Sender("status")
				id := "first"
				m := func() *azservicebus.Message { return &azservicebus.Message{MessageID: &id} }
				if err := s.Send(t.Context(), m()); err != nil {
					t.Fatal(err)
				}
				fault.Op = servicebus.OpSend
				r.server.Faults().Add(fault)
				failures := 0
				began := time.Now()
				for s.Send(t.Context(), m()) != nil {
					if failures++; failures > 5 {
						t.Fatal("it never recovers")
					}
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("recovered after %s and %d failed sends", d, failures)
				}
				_ = s.Close(t.Context())
			})
		})
	}
}

func TestSeveralMessagesGoInOneSendInOrder(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		s := r.bus.Sender("files")
		session := "a"
		var all []*azservicebus.Message
		for _, id := range []string{"1", "2", "3"} {
			all = append(all, &azservicebus.Message{MessageID: &id, SessionID: &session})
		}
		if err := s.Send(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
		got := r.server.Messages("files")
		if len(got) != 3 {
			t.Fatalf("%d messages", len(got))
		}
		huge := &azservicebus.Message{Body: make([]byte, 300<<10), SessionID: &session}
		if err := s.Send(t.Context(), huge, huge); err == nil {
			t.Error("more than a batch holds was taken")
		}
		_ = s.Close(t.Context())
		_ = s.Close(t.Context())
	})
}

func TestAClosedBusTakesNothing(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		waits := make(chan error, 1)
		go func() {
			_, err := r.bus.AcceptNext(t.Context(), files, time.Hour)
			waits <- err
		}()
		synctest.Wait()
		if err := r.bus.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-waits; err == nil || errors.Is(err, ErrIdle) {
			t.Errorf("%v", err)
		}
		if _, err := r.bus.AcceptNext(t.Context(), files, time.Second); err == nil {
			t.Error("a closed bus accepted")
		}
		id := "x"
		if err := r.bus.Sender("status").Send(t.Context(), &azservicebus.Message{MessageID: &id}); err == nil {
			t.Error("a closed bus sent")
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	connect := func(azservicebus.RetryOptions) (*azservicebus.Client, error) { return nil, errors.New("no network") }
	if _, err := Open(Options{}); err == nil {
		t.Error("no way to connect")
	}
	if _, err := Open(Options{Connect: connect, CallTimeout: 3 * time.Second}); err == nil {
		t.Error("a bound that reaches into the SDK's first retry")
	}
	b, err := Open(Options{Connect: connect})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AcceptNext(t.Context(), files, time.Second); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("%v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if files.String() != "files" || (Source{Topic: "t", Subscription: "s"}).String() != "t/Subscriptions/s" {
		t.Error("names of sources")
	}
}
