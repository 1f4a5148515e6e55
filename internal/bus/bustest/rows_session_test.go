package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
)

// acceptRows are about getting a session.
var acceptRows = []row{
	{"the next session is one with a message and without an owner", func(w *world) {
		w.send("A", "a1")
		w.send("B", "b1")
		a, b := w.next(w.one, files), w.next(w.other, files)
		if a.ID() != "A" || b.ID() != "B" {
			w.Errorf("got %q and %q", a.ID(), b.ID())
		}
	}},
	{"no session with a message is idle, after the wait", func(w *world) {
		w.give(w.take(w.one, "empty"))
		w.idle(w.one, files)
	}},
	{"a session that is owned is not the next one", func(w *world) {
		w.send("A", "a1")
		w.next(w.one, files)
		w.idle(w.other, files)
	}},
	{"an accept that waits gets the session whose first message comes", func(w *world) {
		got := make(chan error, 1)
		go func() {
			s, err := w.one.AcceptNext(w.Context(), files, lockTime)
			if err == nil && s.ID() != "A" {
				err = fmt.Errorf("session %q", s.ID())
			}
			got <- err
		}()
		w.await("an accept", func() bool { return w.Accepting("files") == 1 })
		w.send("A", "a1")
		w.must(<-got)
	}},
	{"sessions of a subscription", func(w *world) {
		w.must(w.one.Sender("topic").Send(w.Context(), message("A", "a1")))
		s := w.next(w.one, sub)
		if m := w.receive(s); string(m.Body) != "a1" {
			w.Errorf("got %q", m.Body)
		}
	}},
	{"a session is taken by its ID, with messages or without", func(w *world) {
		if s := w.take(w.one, "empty"); s.ID() != "empty" {
			w.Errorf("got %q", s.ID())
		}
	}},
	{"an owned session is taken", func(w *world) {
		w.take(w.one, "A")
		if _, err := w.other.AcceptByID(w.Context(), files, "A"); !errors.Is(err, bus.ErrTaken) {
			w.Errorf("got %v", err)
		}
	}},
	{"a closed session is free", func(w *world) {
		w.give(w.take(w.one, "A"))
		w.take(w.other, "A")
	}},
	{"an unknown queue is said to be one, and a queue without sessions too", func(w *world) {
		for queue, want := range map[string]error{"nowhere": bus.ErrNotFound, "plain": bus.ErrNoSessions} {
			src := bus.Source{Queue: queue}
			_, next := w.one.AcceptNext(w.Context(), src, time.Second)
			_, byID := w.one.AcceptByID(w.Context(), src, "A")
			if !errors.Is(next, want) || !errors.Is(byID, want) {
				w.Errorf("%s: next %v, by ID %v", queue, next, byID)
			}
			for _, err := range w.one.Sessions(w.Context(), src) {
				if !errors.Is(err, want) {
					w.Errorf("%s: list %v", queue, err)
				}
			}
		}
	}},
	{"sessions with messages or state are listed", func(w *world) {
		w.send("messages", "a1")
		s := w.take(w.one, "state")
		w.must(s.SetState(w.Context(), []byte("x")))
		w.give(s)
		w.give(w.take(w.one, "neither"))
		var got []string
		for id, err := range w.other.Sessions(w.Context(), files) {
			w.must(err)
			got = append(got, id)
		}
		w.same([]string{"messages", "state"}, got)
	}},
}

// lockRows are about keeping one, and about losing it.
var lockRows = []row{
	{"the lock lasts as long as the queue says", func(w *world) {
		before := time.Now()
		granted, until := w.take(w.one, "A").Lock()
		if granted.Before(before) || granted.After(time.Now()) {
			w.Errorf("granted %v, asked for at %v", granted, before)
		}
		if left := until.Sub(granted); left < lockTime-2*time.Second || left > lockTime+2*time.Second {
			w.Errorf("it lasts %v", left)
		}
	}},
	{"a renewed lock lasts longer", func(w *world) {
		s := w.take(w.one, "A")
		granted, until := s.Lock()
		w.Pass(lockTime * 2 / 3)
		w.must(s.Renew(w.Context()))
		again, longer := s.Lock()
		if !again.After(granted) || longer.Sub(until) < lockTime/2 {
			w.Errorf("granted %v, then %v; until %v, then %v", granted, again, until, longer)
		}
		w.Pass(lockTime * 2 / 3)
		if _, err := w.other.AcceptByID(w.Context(), files, "A"); !errors.Is(err, bus.ErrTaken) {
			w.Errorf("got %v", err)
		}
		w.alive(s)
	}},
	{"a lock that runs out frees the session and counts a delivery", func(w *world) {
		w.send("A", "a1")
		s := w.take(w.one, "A")
		w.receive(s)
		w.Pass(lockTime + time.Second)
		if m := w.receive(w.take(w.other, "A")); m.DeliveryCount != 2 {
			w.Errorf("delivery %d", m.DeliveryCount)
		}
		w.lost(s.SetState(w.Context(), []byte("of the old owner")))
	}},
	{"the last delivery that counts makes a dead letter", func(w *world) {
		w.send("A", "a1")
		for range deliveries {
			w.receive(w.take(w.one, "A"))
			w.expire("A")
		}
		dead := w.Messages(deadFiles)
		if len(dead) != 1 || dead[0].DeadLetterReason != "MaxDeliveryCountExceeded" {
			w.Errorf("dead letters %+v", dead)
		}
	}},
	{"no call of a session has an effect once its lock is lost", func(w *world) {
		for _, c := range calls {
			w.send(c.name, "a1")
			s := w.take(w.one, c.name)
			m := w.receive(s)
			w.expire(c.name)
			if err := c.do(w.Context(), s, m); !errors.Is(err, bus.ErrLost) {
				w.Errorf("%s: %v", c.name, err)
			}
			w.give(s)
			if now := w.take(w.other, c.name); w.state(now) != "" {
				w.Errorf("%s: state %q", c.name, w.state(now))
			}
		}
		if n := len(w.Messages("files")); n != len(calls) {
			w.Errorf("%d messages are left of %d", n, len(calls))
		}
	}},
	{"a lost session stays lost, and was noted as failed", func(w *world) {
		s, began := w.take(w.one, "A"), time.Now()
		w.expire("A")
		w.lost(s.Renew(w.Context()))
		w.take(w.other, "A")
		for _, c := range calls {
			if err := c.do(w.Context(), s, &azservicebus.ReceivedMessage{}); !errors.Is(err, bus.ErrLost) {
				w.Errorf("%s: %v", c.name, err)
			}
		}
		if s.LastFailure().Before(began) {
			w.Errorf("failed at %v, before %v", s.LastFailure(), began)
		}
	}},
	{"the caller's own stop loses nothing", func(w *world) {
		w.send("A", "a1")
		s := w.take(w.one, "A")
		why := errors.New("stopped")
		ctx, stop := context.WithCancelCause(w.Context())
		stop(why)
		if err := s.SetState(ctx, []byte("x")); !errors.Is(err, why) {
			w.Errorf("got %v", err)
		}
		if _, err := w.one.AcceptByID(ctx, files, "B"); !errors.Is(err, why) {
			w.Errorf("accept: got %v", err)
		}
		w.receive(s)
		ctx, cancel := context.WithTimeout(w.Context(), 100*time.Millisecond)
		defer cancel()
		if m, err := s.Receive(ctx, time.Second); m != nil || !errors.Is(err, context.DeadlineExceeded) {
			w.Errorf("receive: got %v, %v", m, err)
		}
		w.alive(s)
	}},
	{"a closed session does nothing, and closes once", func(w *world) {
		w.send("A", "a1")
		s := w.take(w.one, "A")
		m := w.receive(s)
		w.give(s)
		w.must(s.Close(w.Context()))
		for _, c := range calls {
			if err := c.do(w.Context(), s, m); !errors.Is(err, bus.ErrLost) {
				w.Errorf("%s: %v", c.name, err)
			}
		}
		w.same([]string{"a1"}, w.bodies("files"))
	}},
}

// stateRows are about what is kept with a session.
var stateRows = []row{
	{"there is no state before one is set", func(w *world) {
		state, err := w.take(w.one, "A").State(w.Context())
		if state != nil || err != nil {
			w.Errorf("got %q, %v", state, err)
		}
	}},
	{"the state outlives its session, and is its session's own", func(w *world) {
		s := w.take(w.one, "A")
		w.must(s.SetState(w.Context(), []byte("first")))
		w.must(s.SetState(w.Context(), []byte("second")))
		w.give(s)
		if got := w.state(w.take(w.other, "A")); got != "second" {
			w.Errorf("got %q", got)
		}
		if got := w.state(w.take(w.other, "B")); got != "" {
			w.Errorf("B has %q", got)
		}
	}},
	{"the state can be cleared", func(w *world) {
		s := w.take(w.one, "A")
		w.must(s.SetState(w.Context(), []byte("first")))
		w.must(s.SetState(w.Context(), nil))
		if state, err := s.State(w.Context()); len(state) != 0 || err != nil {
			w.Errorf("got %q, %v", state, err)
		}
	}},
	{"a state that is too large is refused", func(w *world) {
		s := w.take(w.one, "A")
		w.must(s.SetState(w.Context(), []byte("small")))
		w.lost(s.SetState(w.Context(), make([]byte, 300<<10)))
		w.give(s)
		if got := w.state(w.take(w.other, "A")); got != "small" {
			w.Errorf("the state has %d bytes", len(got))
		}
	}},
}
