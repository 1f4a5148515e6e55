package inbound

import (
	"fmt"
	"fnobridge/internal/ledger"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// seeds returns the seeds of the random schedules: FNOBRIDGE_SEED alone when it is set, else some, many with -long.
func seeds(t *testing.T) []uint64 {
	if s := os.Getenv("FNOBRIDGE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("FNOBRIDGE_SEED: %v", err)
		}
		return []uint64{n}
	}
	n := 12
	if *long {
		n = 1500
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = rand.Uint64()
	}
	return all
}

// Many sessions, two workers, and everything that can go wrong at once: failing, hanging and half-done calls, stolen
// locks, crashes, stops, outages. All promises hold all the same.
func TestRandomSchedulesKeepThePromises(t *testing.T) {
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("FNOBRIDGE_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomSchedule(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func randomSchedule(t *testing.T, r *rand.Rand) {
	pick := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) + time.Millisecond }
	faults := rand.New(rand.NewPCG(r.Uint64(), 1)) // of its own: used under the lock of the plan
	w := newWorld(t)
	w.b.lock = []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute}[r.IntN(3)]
	w.b.skew = pick(2*time.Second) - time.Second
	w.fno.takes = pick(time.Duration(1+r.IntN(40)) * time.Second)
	w.fno.post = pick(4 * time.Second)
	w.o.Refresh = 20*time.Second + pick(8*time.Minute)
	w.o.Sessions, w.o.Accepts = 1+r.IntN(8), 1+r.IntN(4)
	w.requests = 1 + r.IntN(4)
	w.route.ResendUnknown = r.IntN(2) == 0
	if r.IntN(3) == 0 {
		w.route.Overlap, w.route.Window, w.fno.parallel = true, 1+r.IntN(3), true
	}
	w.route.OnFailure = []OnFailure{OnFailureSkip, OnFailureSkip, OnFailureHold, OnFailureDrain}[r.IntN(4)]
	texts := []string{"good", "good", "good", "good", "deadlock", "bad", "bad mended"}
	if w.route.OnFailure == OnFailureHold {
		do := []ledger.Do{ledger.Release, ledger.Skip}[r.IntN(2)]
		w.operator(do)
		if do == ledger.Release {
			texts[5] = "bad mended" // else it is released for ever
		}
	}
	rate := r.Float64() * 0.08
	until := time.Now().Add(time.Hour) // then the world calms down, so that the run ends
	w.plan.pick = func(string, int) faultKind {
		if time.Now().After(until) || faults.Float64() >= rate {
			return ""
		}
		return faultKinds[faults.IntN(len(faultKinds))]
	}
	sessions, files := 1+r.IntN(6), 1+r.IntN(8)
	w.fill(sessions, files, func(int, int) string { return texts[r.IntN(len(texts))] })

	processes := []*running{w.start(), w.start()}
	done := make(chan struct{})
	w.wg.Go(func() {
		for time.Now().Before(until) {
			t := time.NewTimer(pick(3 * time.Minute))
			select {
			case <-t.C:
			case <-done:
				t.Stop()
				return
			}
			i := r.IntN(2)
			switch r.IntN(3) {
			case 0:
				w.crash(processes[i], r.IntN(2) == 0)
			case 1:
				w.stop(processes[i])
			default:
				continue
			}
			if r.IntN(4) == 0 {
				pass(pick(10 * time.Minute)) // nobody but the other one
			}
			processes[i] = w.start()
		}
	})
	w.drained()
	close(done)
	w.check()
}
