package bus_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/emulator/servicebus"
)

// TestALockLostBetweenCallsIsNoticed takes the lock or the link away between two calls, with and without a new owner.
// The SDK would attach the session again and go on as if nothing had happened.
func TestALockLostBetweenCallsIsNoticed(t *testing.T) {
	t.Parallel()
	harms := map[string]func(*servicebus.Faults){
		"expired":  func(f *servicebus.Faults) { f.ExpireSession("orders", "a") },
		"detached": func(f *servicebus.Faults) { f.DetachLinks("orders", "a", "") },
		"stolen":   func(f *servicebus.Faults) { f.DetachLinks("orders", "a", "com.microsoft:session-lock-lost") },
	}
	for harm, do := range harms {
		for _, d := range deeds {
			if harm == "stolen" && d.op != servicebus.OpReceive {
				continue // only a receive hears of the detach
			}
			for _, owner := range []bool{false, true} {
				name := d.name + " " + harm
				if owner {
					name += ", new owner"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, bound(time.Second))
					w.put("orders", "a", "1", "2")
					s := w.take(w.bus, orders, "a")
					m := w.receive(s)
					w.must(s.SetState(t.Context(), []byte("before")))
					do(w.server.Faults())
					w.await(func() bool { return !w.session(orders, "a").Held })
					want := "before"
					var heir *bus.Session
					var inherited *azservicebus.ReceivedMessage
					if owner {
						heir = w.take(w.another(), orders, "a")
						inherited = w.receive(heir)
						w.must(heir.SetState(t.Context(), []byte("of the new owner")))
						want = "of the new owner"
					}
					w.lost(s, m, d.do(t.Context(), s, m))
					_ = s.Close(t.Context()) // nothing is left to close
					if got := string(w.session(orders, "a").State); got != want {
						t.Errorf("state %q, want %q", got, want)
					}
					if n, dead := len(w.server.Messages("orders")), len(w.server.Messages("orders/$DeadLetterQueue")); n != 2 || dead != 0 {
						t.Errorf("%d messages, %d dead, want both where they were", n, dead)
					}
					if owner {
						w.must(heir.Renew(t.Context()))
						w.must(heir.Complete(t.Context(), inherited))
					}
				})
			}
		}
	}
}

// TestEveryCallIsBounded asks a broker that acts and does not answer, and one that does not even read.
func TestEveryCallIsBounded(t *testing.T) {
	t.Parallel()
	for _, d := range deeds {
		for name, hang := range map[string]func(w *world){
			"no answer": func(w *world) {
				w.server.Faults().Add(servicebus.Fault{Op: d.op, Session: "a", Effect: servicebus.LoseReply, Times: -1})
			},
			"stalled": func(w *world) { w.server.Faults().StallLinks("orders", "a") },
		} {
			t.Run(d.name+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, bound(time.Second))
				w.put("orders", "a", "1", "2")
				s := w.take(w.bus, orders, "a")
				m := w.receive(s)
				if d.op == servicebus.OpReceive {
					// Silence is all that a receive can hear; the next call tells.
					hang(w)
					if got, err := s.Receive(t.Context(), enough); got != nil || err != nil {
						t.Errorf("received %v, %v", got, err)
					}
					return
				}
				hang(w)
				ctx, cancel := context.WithTimeoutCause(t.Context(), enough, errors.New("the call has no bound"))
				defer cancel()
				w.lost(s, m, d.do(ctx, s, m))
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_ = s.Close(ctx) // it may say that it got no answer
				}()
				select {
				case <-ended:
				case <-ctx.Done():
					t.Error("the close has no bound")
				}
				w.server.Faults().Unstall()
			})
		}
	}
}

// TestAnAnswerIsNotALostConnection: the SDK gives most refusals the code of a lost connection. They cost their session,
// and nobody else's.
func TestAnAnswerIsNotALostConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.take(w.bus, orders, "other")
	f := w.server.Faults().Add(servicebus.Fault{
		Op: servicebus.OpSetState, Session: "a", Effect: servicebus.Refuse, Condition: "amqp:not-allowed", Times: -1,
	})
	for range 4 {
		s := w.take(w.bus, orders, "a")
		if err := s.SetState(t.Context(), []byte("x")); !errors.Is(err, bus.ErrLost) {
			t.Errorf("got %v", err)
		}
		w.must(s.Close(t.Context()))
		w.must(other.SetState(t.Context(), []byte("x")))
	}
	if n := f.Count(); n != 4 {
		t.Errorf("asked %d times, want 4: one call, one question", n)
	}
	if n := w.made.Load(); n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
}

// TestALostLinkCostsOneSession detaches many sessions one after another, beside one that is served all the time.
func TestALostLinkCostsOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.take(w.bus, orders, "other")
	for range 4 {
		s := w.take(w.bus, orders, "a")
		w.server.Faults().DetachLinks("orders", "a", "")
		if m, err := s.Receive(t.Context(), enough); m != nil || !errors.Is(err, bus.ErrLost) {
			t.Errorf("got %v, %v", m, err)
		}
		w.must(other.Renew(t.Context()))
		_ = s.Close(t.Context()) // there is no link to close
	}
	if n := w.made.Load(); n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
}

func TestClosingASession(t *testing.T) {
	t.Parallel()
	for _, src := range []bus.Source{orders, sub} {
		t.Run(src.String(), func(t *testing.T) {
			w := newWorld(t)
			other := w.another()
			w.put(src.Queue+src.Topic, "a", "1", "2")
			for range 3 {
				s := w.take(w.bus, src, "a")
				m := w.receive(s)
				if string(m.Body) != "1" || m.DeliveryCount != 1 {
					t.Errorf("received %s, delivery %d", m.Body, m.DeliveryCount)
				}
				w.must(s.Close(t.Context()))
				w.must(s.Close(t.Context())) // a second time does nothing
				w.lost(s, m, s.Renew(t.Context()))
				// Free at once, not when the lock would have run out.
				next := w.take(other, src, "a")
				w.must(next.Close(t.Context()))
			}
			if counts := w.server.Messages(src.String()); slices.ContainsFunc(counts, func(m servicebus.Message) bool { return m.DeliveryCount != 0 }) {
				t.Errorf("closing counted deliveries: %+v", counts)
			}
		})
	}
}
