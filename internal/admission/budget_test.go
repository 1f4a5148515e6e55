package admission

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
)

func TestATurnThatIsNotUsedIsNotSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		turns := func(n int) time.Duration {
			begin := time.Now()
			for range n {
				if err := b.AwaitTurn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begin)
		}
		if d := turns(100); d != 9*time.Second {
			t.Errorf("100 turns in %v, want 9 s: a burst of 10, then 10 a second", d)
		}
		elapse(time.Hour) // an outage; what was not used in it is gone, but for a second's worth
		if d := turns(100); d != 9*time.Second {
			t.Errorf("100 turns in %v after an hour", d)
		}
	})
}

func TestWaitingForTheBudgetEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(0.001)
		if err := b.AwaitTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := b.AwaitTurn(ctx); !failure.IsStop(err) || time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if err := b.AwaitTurn(ctx); !failure.IsStop(err) {
			t.Errorf("a turn with a dead context: %v", err)
		}
	})
}
