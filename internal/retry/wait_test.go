package retry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitLastsAsLongAsItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !Wait(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("it took %v", time.Since(began))
		}
		if !Wait(t.Context(), 0) || !Wait(t.Context(), -time.Second) || time.Since(began) != time.Minute {
			t.Error("no time is not waited for")
		}
	})
}

func TestTheContextEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if Wait(ctx, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
		if Wait(ctx, 0) {
			t.Error("a wait of no time passed under a context that has ended")
		}
	})
}
