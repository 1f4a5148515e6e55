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

// TestACutEndsEverythingOnTheConnection: what waits on a connection that is gone returns, the next accept works, and
// the old client is closed.
func TestACutEndsEverythingOnTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *servicebus.Options, o *bus.Options) { o.Connections = 1 })
	w.put("orders", "a", "1")
	a, b := w.take(w.bus, orders, "a"), w.take(w.bus, orders, "b")
	m := w.receive(a)
	// A settlement without an answer does not hear of the cut from the SDK, which sleeps on it. A state without an
	// answer does.
	mute := []*servicebus.Armed{
		w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Effect: servicebus.Lose}),
		w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpGetState, Effect: servicebus.Lose}),
	}
	waiting := make(chan error, 4)
	go func() { waiting <- a.Complete(t.Context(), m) }()
	go func() { _, err := b.State(t.Context()); waiting <- err }()
	for range 2 {
		go func() {
			_, err := w.bus.AcceptNext(t.Context(), orders, enough)
			waiting <- err
		}()
	}
	for _, f := range mute {
		<-f.Struck()
	}
	w.await(func() bool { return w.server.Accepting("orders") == 2 })
	w.await(func() bool { return w.server.Connections() == 1 })
	w.server.Faults().CutAll()
	for range 4 {
		if err := <-waiting; err == nil || errors.Is(err, bus.ErrIdle) {
			t.Errorf("a call on a connection that was cut ended with %v", err)
		}
	}
	w.must(errors.Join(a.Close(t.Context()), b.Close(t.Context())))
	w.await(func() bool { return w.server.Connections() == 0 })
	if n := w.made.Load(); n != 1 {
		t.Errorf("%d clients before anybody asked for a new one", n)
	}
	fresh, err := w.bus.AcceptNext(t.Context(), orders, enough)
	w.must(err)
	w.giveBack(fresh)
	if m := w.receive(fresh); string(m.Body) != "1" {
		t.Errorf("received %s", m.Body)
	}
	if made, open := w.made.Load(), w.server.Connections(); made != 2 || open != 1 {
		t.Errorf("%d clients, %d connections, want 2 and 1", made, open)
	}
}

// TestASoleSessionThatIsCutOff: one call that fails is all there is to learn from.
func TestASoleSessionThatIsCutOff(t *testing.T) {
	t.Parallel()
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bound(time.Second))
			w.put("orders", "a", "1")
			s := w.take(w.bus, orders, "a")
			m := w.receive(s)
			w.server.Faults().CutAll()
			w.lost(s, m, d.do(t.Context(), s, m))
			_ = s.Close(t.Context())                                      // the connection is gone
			w.await(func() bool { return !w.session(orders, "a").Owned }) // the broker hears of the cut by itself
			// A settlement has told nobody what happened to it; an accept that meets the dead connection may fail once.
			next, err := w.bus.AcceptByID(t.Context(), orders, "a")
			if err != nil && (d.op == servicebus.OpComplete || d.op == servicebus.OpDeadLetter) {
				next, err = w.bus.AcceptByID(t.Context(), orders, "a")
			}
			w.must(err)
			w.must(next.Renew(t.Context()))
			w.must(next.Close(t.Context()))
			w.await(func() bool { return w.server.Connections() == 1 })
		})
	}
}

// TestThreeSilencesInARowReplaceTheClient; two with an answer after them do not, however often.
func TestThreeSilencesInARowReplaceTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bound(700*time.Millisecond))
	witness := w.take(w.bus, orders, "witness")
	for range 2 {
		s := []*bus.Session{w.take(w.bus, orders, "a"), w.take(w.bus, orders, "b")}
		for _, x := range s {
			f := w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpGetState, Effect: servicebus.Lose})
			if _, err := x.State(t.Context()); !errors.Is(err, bus.ErrLost) || f.Count() != 1 {
				t.Errorf("got %v after %d questions", err, f.Count())
			}
		}
		w.must(witness.Renew(t.Context())) // an answer
		w.must(errors.Join(s[0].Close(t.Context()), s[1].Close(t.Context())))
	}
	if n := w.made.Load(); n != 1 {
		t.Fatalf("%d clients after silences with answers between them, want 1", n)
	}
	var three []*bus.Session
	for _, id := range []string{"f", "g", "h"} {
		three = append(three, w.take(w.bus, orders, id))
	}
	for _, s := range three {
		w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpGetState, Effect: servicebus.Lose})
		if _, err := s.State(t.Context()); !errors.Is(err, bus.ErrLost) {
			t.Errorf("got %v", err)
		}
		// A wait in which nothing came is no answer.
		if m, err := witness.Receive(t.Context(), time.Millisecond); m != nil || err != nil && s != three[2] {
			t.Errorf("got %v, %v", m, err)
		}
	}
	if err := witness.Renew(t.Context()); !errors.Is(err, bus.ErrLost) {
		t.Errorf("the connection that says nothing is still in use: %v", err)
	}
	w.take(w.bus, orders, "i")
	if n := w.made.Load(); n != 2 {
		t.Errorf("%d clients, want 2", n)
	}
}

func TestABusThatIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.take(w.bus, orders, "a")
	sender := w.bus.Sender("status")
	w.must(sender.Send(t.Context(), &azservicebus.Message{}))
	waiting := make(chan error, 1)
	go func() {
		_, err := w.bus.AcceptNext(t.Context(), orders, enough)
		waiting <- err
	}()
	w.await(func() bool { return w.server.Accepting("orders") == 1 })
	w.must(w.bus.Close(t.Context()))
	if err := <-waiting; err == nil || errors.Is(err, bus.ErrIdle) {
		t.Errorf("a wait ended with %v", err)
	}
	w.await(func() bool { return w.server.Connections() == 0 && !w.session(orders, "a").Owned })
	w.lost(s, nil, s.Renew(t.Context()))
	w.must(s.Close(t.Context()))
	if err := sender.Send(t.Context(), &azservicebus.Message{}); err == nil {
		t.Error("sent on a closed bus")
	}
	if err := w.bus.Sender("status").Send(t.Context(), &azservicebus.Message{}); err == nil {
		t.Error("sent on a closed bus")
	}
	w.must(sender.Close(t.Context()))
	if _, err := w.bus.AcceptNext(t.Context(), orders, enough); err == nil || errors.Is(err, bus.ErrIdle) {
		t.Errorf("an accept ended with %v", err)
	}
	if _, err := w.bus.AcceptByID(t.Context(), orders, "a"); err == nil || errors.Is(err, bus.ErrTaken) {
		t.Errorf("an accept ended with %v", err)
	}
	w.must(w.bus.Close(t.Context()))
	if n := w.server.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// TestABusIsClosedInTheMiddle closes while calls begin and end; the race detector and the leak check judge.
func TestABusIsClosedInTheMiddle(t *testing.T) {
	t.Parallel()
	for range 5 {
		w := newWorld(t)
		w.put("orders", "a", "1")
		w.put("orders", "b", "1")
		began, done := make(chan struct{}, 8), make(chan struct{}, 8)
		for range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				for first := true; ; first = false {
					s, err := w.bus.AcceptNext(t.Context(), orders, time.Millisecond)
					if first {
						began <- struct{}{}
					}
					if err != nil && !errors.Is(err, bus.ErrIdle) {
						return
					}
					if s != nil {
						_, _ = s.State(t.Context())
						_ = s.Close(context.WithoutCancel(t.Context()))
					}
				}
			}()
		}
		for range 4 {
			<-began
		}
		_ = w.bus.Close(t.Context()) // of whatever is open in this moment
		for range 4 {
			<-done
		}
		w.await(func() bool { return w.server.Connections() == 0 })
	}
}
