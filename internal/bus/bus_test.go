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

var (
	files        = Source{Queue: "files"}
	subscription = Source{Topic: "orders", Subscription: "fno"}
)

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

// locked counts the messages of src that somebody has in hand.
func (r *rig) locked(src Source) (n int) {
	for _, m := range r.server.Messages(PathOf(src)) {
		if m.State == "locked" {
			n++
		}
	}
	return n
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
	for _, src := range []Source{files, subscription} {
		t.Run(src.String(), func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.send(src.Target(), "a", "1", "2", "3")
				s, err := r.bus.AcceptNext(t.Context(), src, 10*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				if granted, until := s.Lock(); until.Sub(granted) < 50*time.Second || s.ID() != "a" {
					t.Errorf("session %q locked for %s", s.ID(), until.Sub(granted))
				}
				for _, want := range []string{"1", "2"} {
					if m := r.receive(s); m.MessageID != want {
						t.Errorf("received %s, want %s", m.MessageID, want)
					} else if n := r.locked(src); n != 1 {
						t.Errorf("%d messages in hand", n)
					} else if err := s.Complete(t.Context(), m); err != nil {
						t.Error(err)
					}
				}
				if err := s.DeadLetter(t.Context(), r.receive(s), &azservicebus.DeadLetterOptions{
					Reason: new("why"), ErrorDescription: new("how"), PropertiesToModify: map[string]any{"attempts": int64(3)},
				}); err != nil {
					t.Error(err)
				}
				dead := r.server.Messages(PathOf(src) + "/$DeadLetterQueue")
				if len(dead) != 1 || dead[0].DeadLetterReason != "why" || dead[0].DeadLetterDescription != "how" || dead[0].Properties["attempts"] != int64(3) {
					t.Errorf("%+v", dead)
				}
				if m, err := s.Receive(t.Context(), 100*time.Millisecond); m != nil || err != nil {
					t.Errorf("an empty session gave %v, %v", m, err)
				}
				r.send(src.Target(), "a", "late")
				if m := r.receive(s); m.MessageID != "late" || m.DeliveryCount != 1 {
					t.Errorf("received %s, delivery %d", m.MessageID, m.DeliveryCount)
				}
				_ = s.Close(t.Context())
				if n := r.dials.Load(); n != 2 {
					t.Errorf("%d connections, want one for sessions and one for senders", n)
				}
			})
		})
	}
}

func TestAClosedSessionIsGivenBackAsItWas(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		r.receive(s)
		if state, err := s.State(t.Context()); err != nil || state != nil {
			t.Errorf("state %q, %v", state, err)
		}
		if err := errors.Join(s.SetState(t.Context(), []byte("state")), s.Close(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
		if _, err := s.State(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("a closed session answered: %v", err)
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
		if m := r.receive(again); m.DeliveryCount != 1 {
			t.Errorf("closing counted a delivery: %d", m.DeliveryCount)
		}
		_ = again.Close(t.Context())
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
		if _, err := r.bus.AcceptNext(t.Context(), subscription, time.Second); !errors.Is(err, ErrIdle) {
			t.Errorf("%v", err)
		}
		if _, err := r.bus.AcceptNext(t.Context(), Source{Queue: "nowhere"}, time.Second); err == nil || errors.Is(err, ErrIdle) {
			t.Errorf("a queue that is not there: %v", err)
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
				if n := r.dials.Load(); fault.Effect == servicebus.Lose && fault.Then != servicebus.Detach && n != 2 {
					t.Errorf("%d connections, want a new one after the first call without an answer", n)
				}
				_ = s.Close(t.Context())
			})
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	connect := func(azservicebus.RetryOptions) (*azservicebus.Client, error) { return nil, errors.New("no network") }
	if _, err := Open(Options{}); err == nil {
		t.Error("no way to connect")
	}
	if _, err := Open(Options{Connect: connect, CallTimeout: 3 * time.Second}); err == nil {
		t.Error("a bound that reaches into the SDK's first retry")
	}
	b, err := Open(Options{Connect: connect, CallTimeout: 3*time.Second - 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AcceptNext(t.Context(), files, time.Second); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("%v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if files.String() != "files" || (Source{Topic: "t", Subscription: "s"}).String() != "t/s" {
		t.Error("names of sources")
	}
}
