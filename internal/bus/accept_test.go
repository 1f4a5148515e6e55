package bus_test

import (
	"errors"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/internal/bus"
)

func TestAcceptByID(t *testing.T) {
	t.Parallel()
	for _, src := range []bus.Source{orders, sub} {
		t.Run(src.String(), func(t *testing.T) {
			w := newWorld(t)
			s := w.take(w.bus, src, "empty") // it has no message
			if s.ID() != "empty" || !w.session(src, "empty").Owned {
				t.Errorf("took %q", s.ID())
			}
			other := w.another()
			for range 5 {
				if _, err := other.AcceptByID(t.Context(), src, "empty"); !errors.Is(err, bus.ErrTaken) {
					t.Errorf("got %v, want that it is taken", err)
				}
			}
			// Nor does the owner's own process get it twice, and asking has not harmed what it has.
			if _, err := w.bus.AcceptByID(t.Context(), src, "empty"); !errors.Is(err, bus.ErrTaken) {
				t.Errorf("got %v, want that it is taken", err)
			}
			w.must(s.Renew(t.Context()))
			w.must(s.Close(t.Context()))
			w.take(other, src, "empty")
		})
	}
}

// TestARefusedAcceptSparesTheConnection: what the broker refuses is not repaired by a new connection, and would cost
// every session on this one.
func TestARefusedAcceptSparesTheConnection(t *testing.T) {
	t.Parallel()
	refuse := func(op servicebus.Op, condition string) func(*world) {
		return func(w *world) {
			w.server.Faults().Add(servicebus.Fault{Op: op, Entity: "orders", Times: -1, Effect: servicebus.Refuse, Condition: condition})
		}
	}
	for name, c := range map[string]struct {
		src    bus.Source
		refuse func(*world)
	}{
		"no such queue": {bus.Source{Queue: "nowhere"}, func(*world) {}},
		"no right":      {orders, refuse(servicebus.OpAccept, "amqp:unauthorized-access")},
		"disabled":      {orders, refuse(servicebus.OpAccept, "com.microsoft:entity-disabled")},
		"busy":          {orders, refuse(servicebus.OpAccept, "com.microsoft:server-busy")},
		"token refused": {orders, refuse(servicebus.OpToken, "amqp:unauthorized-access")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			owned := w.take(w.bus, orders, "owned")
			c.refuse(w)
			for range 5 {
				_, err := w.bus.AcceptNext(t.Context(), c.src, enough)
				if err == nil || errors.Is(err, bus.ErrIdle) || errors.Is(err, bus.ErrTaken) {
					t.Fatalf("got %v", err)
				}
				w.must(owned.Renew(t.Context()))
			}
			if n := w.made.Load(); n != 1 {
				t.Errorf("%d clients, want 1", n)
			}
		})
	}
}

// TestSilenceIsNotIdleness: a broker that does not answer an accept is not one that has nothing to give.
func TestSilenceIsNotIdleness(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bound(time.Second))
	s := w.take(w.bus, orders, "a")
	w.must(s.Close(t.Context()))
	if n := w.server.Faults().StallLinks("", ""); n == 0 {
		t.Fatal("nothing was stalled")
	}
	for range 3 {
		if _, err := w.bus.AcceptNext(t.Context(), orders, 50*time.Millisecond); err == nil || errors.Is(err, bus.ErrIdle) {
			t.Errorf("got %v from a broker that says nothing", err)
		}
	}
	// Three calls in a row: the connection is given up, and the next one works.
	if _, err := w.bus.AcceptNext(t.Context(), orders, 50*time.Millisecond); !errors.Is(err, bus.ErrIdle) {
		t.Errorf("got %v on what should be a new connection", err)
	}
	w.server.Faults().Unstall()
}
