package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/internal/bus"
)

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
			w.put("orders", "a", "2")
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
			w.put("orders", "a", "1")
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
