package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
)

func pauseFor(d time.Duration) error {
	return &failure.Failure{Verdict: failure.Pause, Reason: failure.Throttled, Status: 429, After: d, Detail: "slow down"}
}

func enter(t *testing.T, g *Gate) *Pass {
	t.Helper()
	p, err := g.AwaitPass(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRetryAfterClosesTheGateForThatLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(4)
		begin := time.Now()
		enter(t, g).Leave(pauseFor(17 * time.Second))
		s := g.State()
		if s.Open() || s.Phase != GateClosed || s.Reason != failure.Throttled || s.Detail != "slow down" {
			t.Errorf("state %+v", s)
		}
		if !s.Since.Equal(begin) || !s.Until.Equal(begin.Add(17*time.Second)) {
			t.Errorf("closed since %v until %v", s.Since, s.Until)
		}
		enter(t, g).Leave(nil)
		if time.Since(begin) != 17*time.Second {
			t.Errorf("the probe went after %v", time.Since(begin))
		}
		if s := g.State(); !s.Open() || s.Reason != "" || s.Detail != "" || !s.Until.IsZero() {
			t.Errorf("state %+v", s)
		}
	})
}

func TestOneProbeAndThenEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(100)
		enter(t, g).Leave(pauseFor(time.Second))
		var in atomic.Int64
		release := make(chan error)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				p, err := g.AwaitPass(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				in.Add(1)
				err = <-release
				in.Add(-1)
				p.Leave(err)
			})
		}
		synctest.Wait()
		if in.Load() != 0 {
			t.Errorf("%d went through a closed gate", in.Load())
		}
		for i := range 3 { // the probe fails three times, and each time one other probes
			elapse(gateMax)
			synctest.Wait()
			if in.Load() != 1 || g.State().Phase != GateProbing {
				t.Fatalf("%d are through in phase %s, want one probe", in.Load(), g.State().Phase)
			}
			release <- pauseFor(0)
			synctest.Wait()
			if in.Load() != 0 || g.State().Phase != GateClosed {
				t.Fatalf("after failed probe %d: %d are through in phase %s", i+1, in.Load(), g.State().Phase)
			}
		}
		elapse(gateMax)
		synctest.Wait()
		release <- nil
		synctest.Wait()
		if in.Load() != 46 || !g.State().Open() {
			t.Errorf("%d are through in phase %s, want the other 46", in.Load(), g.State().Phase)
		}
		for range 46 {
			release <- nil
		}
		wg.Wait()
	})
}

func TestClosedTimesGrowAndStartAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		closings := func(n int) (ds []time.Duration) {
			for range n {
				p := enter(t, g)
				p.Leave(pauseFor(0))
				ds = append(ds, time.Until(g.State().Until))
			}
			return ds
		}
		base := gateFirst
		for i, d := range closings(12) {
			if lo, hi := base/2, min(base*3/2, gateMax); d < lo || d > hi {
				t.Errorf("closing %d lasts %v, want between %v and %v", i+1, d, lo, hi)
			}
			base = min(base*gateMultiplier, gateMax)
		}
		enter(t, g).Leave(nil)
		if d := closings(1)[0]; d > gateFirst*3/2 {
			t.Errorf("the first closing after an opening lasts %v", d)
		}
	})
}

func TestAProbeWithoutAVerdictPassesTheRightOn(t *testing.T) {
	rows := map[string]func(ctx context.Context) error{
		"its context ended": func(ctx context.Context) error { return context.Canceled },
		"it was stopped":    func(ctx context.Context) error { return failure.StoppedCall(ctx) },
		"the payload failed": func(context.Context) error {
			return &failure.Failure{Verdict: failure.Retry, Reason: failure.StorageFailed}
		},
		"some error of ours":   func(context.Context) error { return errBoom },
		"an undecided failure": func(context.Context) error { return &failure.Failure{} },
	}
	for name, end := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewGate(4)
				begin := time.Now()
				enter(t, g).Leave(pauseFor(time.Second))
				first := enter(t, g)
				second := make(chan *Pass)
				go func() { second <- enter(t, g) }()
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				first.Leave(end(ctx))
				p := <-second
				if g.State().Phase != GateProbing || time.Since(begin) != time.Second {
					t.Errorf("phase %s after %v: the second should probe at once", g.State().Phase, time.Since(begin))
				}
				p.Leave(nil)
				if !g.State().Open() {
					t.Error("not open after a good probe")
				}
			})
		})
	}
}

func TestWhatAnAnswerDoesToTheGate(t *testing.T) {
	rows := []struct {
		name             string
		err              error
		probe, otherwise GatePhase // after this outcome of the probe, and of a call through an open gate
	}{
		{"nil", nil, GateOpen, GateOpen},
		{"rejection", &failure.Failure{Verdict: failure.Reject, Reason: failure.PayloadTooLarge, Status: 413}, GateOpen, GateOpen},
		{"rejection without a status", &failure.Failure{Verdict: failure.Reject, Reason: failure.ProcessedWithErrors}, GateOpen, GateOpen},
		{"HTTP 500", &failure.Failure{Verdict: failure.Retry, Reason: failure.ServerError, Status: 500}, GateOpen, GateOpen},
		{"HTTP 504", &failure.Failure{Verdict: failure.Unknown, Reason: failure.GatewayTimeout, Status: 504}, GateOpen, GateOpen},
		{"wrapped pause", fmt.Errorf("x: %w", pauseFor(time.Second)), GateClosed, GateClosed},
		{"silence: timeout", &failure.Failure{Verdict: failure.Retry, Reason: failure.Timeout}, GateClosed, GateOpen},
		{"silence: broken", &failure.Failure{Verdict: failure.Retry, Reason: failure.ConnectionBroken}, GateClosed, GateOpen},
		{"silence: unknown", &failure.Failure{Verdict: failure.Unknown, Reason: failure.UnknownOutcome}, GateClosed, GateOpen},
	}
	for _, r := range rows {
		synctest.Test(t, func(t *testing.T) {
			g := NewGate(1)
			enter(t, g).Leave(r.err)
			if got := g.State().Phase; got != r.otherwise {
				t.Errorf("%s at an open gate: %s, want %s", r.name, got, r.otherwise)
			}
			g = NewGate(1)
			enter(t, g).Leave(pauseFor(time.Second))
			enter(t, g).Leave(r.err)
			if got := g.State().Phase; got != r.probe {
				t.Errorf("%s of the probe: %s, want %s", r.name, got, r.probe)
			}
		})
	}
}

func TestCallsUnderWayDoNotOpenTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(4)
		begin := time.Now()
		a, b, c, d := enter(t, g), enter(t, g), enter(t, g), enter(t, g)
		a.Leave(pauseFor(10 * time.Second))
		b.Leave(nil)
		if g.State().Open() {
			t.Error("a call that began before the closing opened the gate")
		}
		c.Leave(pauseFor(30 * time.Second))
		if got := g.State().Until.Sub(begin); got != 30*time.Second {
			t.Errorf("closed for %v, want the longer Retry-After", got)
		}
		d.Leave(pauseFor(5 * time.Second))
		if got := g.State().Until.Sub(begin); got != 30*time.Second {
			t.Errorf("closed for %v after a shorter Retry-After", got)
		}
		enter(t, g)
		if time.Since(begin) != 30*time.Second {
			t.Errorf("the probe went after %v", time.Since(begin))
		}
	})
}

func TestTheGateBoundsWhatRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(3)
		var in, most, done atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				p, err := g.AwaitPass(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), in.Add(1)))
				elapse(time.Second)
				in.Add(-1)
				done.Add(1)
				p.Leave(nil)
				p.Leave(nil) // a second Leave gives no second slot
			})
		}
		wg.Wait()
		if most.Load() != 3 || done.Load() != 20 {
			t.Errorf("%d at once, %d in all", most.Load(), done.Load())
		}
	})
}

func TestTryPassNeverWaitsNorOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(2)
		a, b := g.TryPass(), g.TryPass()
		if a == nil || b == nil || g.TryPass() != nil {
			t.Fatal("two slots, no more and no less")
		}
		waits := make(chan *Pass)
		go func() { waits <- enter(t, g) }()
		synctest.Wait()
		a.Leave(nil)
		first := <-waits
		if g.TryPass() != nil {
			t.Error("overtook the one who waited")
		}
		b.Leave(pauseFor(time.Second))
		if g.TryPass() != nil {
			t.Error("through a closed gate")
		}
		first.Leave(nil)
		elapse(time.Second)
		if g.TryPass() != nil {
			t.Error("probed: whoever tries has something else to do and may not call at all")
		}
		probe := enter(t, g)
		if g.TryPass() != nil {
			t.Error("beside the probe")
		}
		probe.Leave(nil)
		if p := g.TryPass(); p == nil {
			t.Error("not through an open gate")
		}
	})
}

func TestGoingAwayWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		held := enter(t, g)
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := make(chan error)
		go func() {
			_, err := g.AwaitPass(ctx, nil)
			gone <- err
		}()
		synctest.Wait()
		next := make(chan *Pass)
		go func() { next <- enter(t, g) }()
		synctest.Wait()
		cancel(errBoom)
		err := <-gone
		if !failure.IsStop(err) || !errors.Is(err, errBoom) {
			t.Errorf("error %v", err)
		}
		held.Leave(nil)
		(<-next).Leave(nil) // the slot went to the one behind, not to the one that is gone
		if _, err := g.AwaitPass(ctx, nil); !failure.IsStop(err) {
			t.Errorf("entering with a dead context: %v", err)
		}
		enter(t, g)
	})
}

// The grant and the end of the context happen at the same time: whoever wins, the slot must not be lost.
func TestNoSlotIsLostToThoseWhoGoAway(t *testing.T) {
	g := NewGate(1)
	for range 2000 {
		held, err := g.AwaitPass(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if p, err := g.AwaitPass(ctx, nil); err == nil {
				p.Leave(nil)
			}
		})
		wg.Go(cancel)
		held.Leave(nil)
		wg.Wait()
	}
	if g.used != 0 || len(g.waiting) != 0 {
		t.Errorf("%d slots taken, %d waiting", g.used, len(g.waiting))
	}
}

func TestChangesAreToldInOrderAndUnderNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(8)
		var told []GatePhase
		g.OnChange(func(s GateState) {
			_ = g.State() // would hang under the lock
			told = append(told, s.Phase)
		})
		enter(t, g).Leave(pauseFor(time.Second))
		enter(t, g).Leave(pauseFor(time.Second))
		p := enter(t, g)
		p.Leave(errBoom)
		enter(t, g).Leave(nil)
		want := []GatePhase{GateClosed, GateProbing, GateClosed, GateProbing, GateClosed, GateProbing, GateOpen}
		if !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestChangesStayInOrderFromManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(4)
		last := GateOpen
		told, telling := 0, false
		g.OnChange(func(s GateState) { // no lock of its own: the gate promises one call at a time
			if telling {
				t.Error("two calls at once")
			}
			telling = true
			elapse(time.Microsecond) // lets others try
			telling = false
			told++
			if !legal(last, s.Phase) {
				t.Errorf("told %s after %s", s.Phase, last)
			}
			last = s.Phase
		})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := range 50 {
					p, err := g.AwaitPass(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					switch (i + n) % 4 {
					case 0:
						p.Leave(pauseFor(time.Millisecond))
					case 1:
						p.Leave(errBoom)
					default:
						p.Leave(nil)
					}
				}
			})
		}
		wg.Wait()
		elapse(time.Second) // the last watcher's turn may still be under way
		now := g.State()    // also orders the last watcher's call before what follows
		if told == 0 || last != now.Phase {
			t.Errorf("told %d times, last %s, is %s", told, last, now.Phase)
		}
	})
}

func legal(from, to GatePhase) bool {
	switch from {
	case GateOpen:
		return to == GateClosed
	case GateClosed:
		return to == GateProbing
	default:
		return to == GateOpen || to == GateClosed
	}
}
