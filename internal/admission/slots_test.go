package admission

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
)

// accepted asks for an accept at a source, and reports how long that took.
func (s *Slots) accepted(t *testing.T, source string) time.Duration {
	t.Helper()
	begin := time.Now()
	if !s.AwaitAccept(t.Context(), source) {
		t.Fatal("the context ended")
	}
	return time.Since(begin)
}

func TestNoMoreAcceptsWaitThanThereAreSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, 100)
		for range 2 {
			s.accepted(t, "a")
		}
		if d := s.accepted(t, "b"); d != 0 {
			t.Errorf("the first accept of a source waited for %s: an idle source keeps a busy one from its lanes", d)
		}
		time.AfterFunc(time.Minute, func() { s.NothingFound("a") })
		time.AfterFunc(time.Hour, func() { s.NothingFound("b") })
		if d := s.accepted(t, "a"); d != time.Hour {
			t.Errorf("the third accept for two slots came after %s", d)
		}
	})
}

func TestASessionFoundForNoSlotGetsNone(t *testing.T) {
	s := NewSlots(1, 1)
	s.accepted(t, "a")
	s.accepted(t, "b")
	first := s.Take("a")
	if first == nil {
		t.Fatal("no slot for the first session")
	}
	if s.Take("b") != nil {
		t.Error("two sessions got one slot")
	}
	first.GiveBack()
	first.GiveBack() // changes nothing
	s.accepted(t, "b")
	if s.Take("b") == nil {
		t.Error("a slot that was given back is gone")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used != 1 {
		t.Errorf("%d slots are used", s.used)
	}
}

func TestASlotIsLentWithoutBeingLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, 100)
		var lanes []*Slot
		take := func() *Slot {
			s.accepted(t, "a")
			slot := s.Take("a")
			lanes = append(lanes, slot)
			return slot
		}
		take()
		take()
		for _, l := range lanes {
			l.Lend()
		}
		take()
		take() // in place of those that wait
		lanes[2].Lend()
		if s.lent != 2 {
			t.Errorf("%d slots of 2 are lent: an outage collects every session", s.lent)
		}
		lanes[0].Reclaim()
		if s.used != 3 || s.free() != -1 {
			t.Errorf("%d slots are used, %d free: a lane that is back waits for nobody, and nothing is accepted meanwhile", s.used, s.free())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if s.AwaitAccept(ctx, "a") {
			t.Error("a session may be accepted with more lanes at work than slots")
		}
		for _, l := range lanes {
			l.GiveBack()
			l.Reclaim() // of a slot that was given back: nothing
		}
		if s.used != 0 || s.lent != 0 {
			t.Errorf("%d slots used and %d lent by nobody", s.used, s.lent)
		}
	})
}

func TestSlotsAreWantedOnlyWhileAnAcceptWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 1)
		s.accepted(t, "a")
		slot := s.Take("a")
		if s.Wanted() {
			t.Error("wanted, and nobody waits")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { done <- s.AwaitAccept(ctx, "a") }()
		synctest.Wait()
		if !s.Wanted() {
			t.Error("an accept waits for a slot, and none is wanted")
		}
		cancel()
		if <-done || s.Wanted() {
			t.Error("the accept went on waiting")
		}
		slot.GiveBack()
	})
}

func TestWhoWaitsAtAClosedGateIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		first, err := g.AwaitPass(t.Context(), func() { t.Error("told of an open gate") })
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		passed := make(chan *Pass)
		go func() {
			p, _ := g.AwaitPass(t.Context(), func() { told++ })
			passed <- p
		}()
		synctest.Wait()
		if told != 0 {
			t.Error("told of an open gate at which somebody else is in line before it")
		}
		began := time.Now()
		first.Leave(&failure.Failure{Verdict: failure.Pause, Reason: failure.Unavailable})
		(<-passed).Leave(&failure.Failure{Verdict: failure.Pause, Reason: failure.Unavailable})
		if told != 1 {
			t.Errorf("told %d times that the gate closed while it was in line", told)
		}
		p, _ := g.AwaitPass(t.Context(), func() { told++ })
		if told != 2 {
			t.Errorf("told %d times", told)
		}
		if since := g.State().Since; !since.Equal(began) {
			t.Errorf("the outage began %s later than it did: a probe moved it", since.Sub(began))
		}
		p.Leave(nil)
		if !g.State().Since.Equal(time.Now()) {
			t.Error("the gate does not say since when it is open")
		}
	})
}
