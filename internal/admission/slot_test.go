package admission

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/retry"
)

// taken returns the slot of a session that was accepted.
func (s *Slots) taken(t *testing.T) *Slot {
	t.Helper()
	s.accepted(t, "a")
	slot := s.Take("a")
	if slot == nil {
		t.Fatal("no room for a session that was worth accepting")
	}
	return slot
}

func TestSlotsGoRoundByTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 10)
		var order []string
		lane := func(name string, slot *Slot) func() {
			return func() {
				for file := range int64(3) {
					if !slot.AwaitTurn(t.Context(), file+1, time.Time{}) {
						t.Error("no turn")
					}
					if !slot.AwaitTurn(t.Context(), file+1, time.Time{}) { // for the same file
						t.Error("the turn was not kept")
					}
					order = append(order, name)
					pass(time.Second)
				}
				slot.GiveBack()
			}
		}
		a, b := s.taken(t), s.taken(t)
		var wg sync.WaitGroup
		wg.Go(lane("a", a))
		wg.Go(lane("b", b))
		wg.Wait()
		if got := len(order); got != 6 || order[0] != "a" || order[1] != "b" || order[2] != "a" || order[3] != "b" {
			t.Errorf("turns %v", order)
		}
		if s.used != 0 || s.owned != 0 || len(s.queue) != 0 {
			t.Errorf("%d used, %d owned, %d wait", s.used, s.owned, len(s.queue))
		}
	})
}

func TestALaneThatRestsKeepsNobodyFromWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 3)
		for range 3 {
			s.taken(t).Rest()
		}
		if s.used != 0 || s.owned != 3 {
			t.Errorf("%d used, %d owned", s.used, s.owned)
		}
		if s.Crowded() {
			t.Error("crowded, and nobody waits")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		done := make(chan bool)
		go func() { done <- s.AwaitAccept(ctx, "a") }()
		synctest.Wait()
		if !s.Crowded() {
			t.Error("another session is wanted, and no more may be owned")
		}
		if <-done {
			t.Error("a fourth session may be accepted, three may be owned")
		}
	})
}

func TestATurnThatIsNotAwaitedAnyMoreIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 10)
		a, b := s.taken(t), s.taken(t)
		a.AwaitTurn(t.Context(), 1, time.Time{})
		if b.AwaitTurn(t.Context(), 1, time.Now().Add(time.Second)) {
			t.Error("two turns of one slot")
		}
		a.Rest()
		if !b.Has() || !b.AwaitTurn(t.Context(), 1, time.Time{}) {
			t.Error("who waited has no turn")
		}
		b.GiveBack()
		if !a.AwaitTurn(t.Context(), 2, time.Time{}) {
			t.Error("the slot is gone")
		}
	})
}

// A broker that always hands out the same sessions first must not keep another one waiting for ever, and a worker must not
// collect the sessions that others have slots for.
func TestNewcomersJoinTheQueueSlowlyOnceItIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(2, 10)
		var lanes []*Slot
		for range 4 { // two at work, two in the queue once they have worked
			l := s.taken(t)
			l.worked = true
			lanes = append(lanes, l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if s.AwaitAccept(ctx, "a") {
			t.Error("a fifth session for two slots within half a minute")
		}
		pass(time.Minute)
		if d := s.accepted(t, "a"); d != 0 {
			t.Errorf("the fifth session came %s after a minute", d)
		}
		for _, l := range lanes {
			l.GiveBack()
		}
	})
}

// pass lets time pass in the bubble.
func pass(d time.Duration) { retry.Wait(context.Background(), d) }
