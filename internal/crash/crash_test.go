//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/internal/failure"
)

// usual settings: a lock that a stall can outlast, and calls that fit into it.
var usual = settings{lock: 4 * time.Second, timeout: 1500 * time.Millisecond, grace: 20 * time.Second, importTime: 5 * time.Millisecond}

// A scale is the size of a random run.
type scale struct {
	sessions, files int
	replicas        int
	kills, faults   int
	harshness       int // operations that one fault strikes, at most
	patience        time.Duration
}

var (
	short = scale{sessions: 12, files: 240, replicas: 2, kills: 10, faults: 22, harshness: 1, patience: patience}
	long  = scale{sessions: 200, files: 20_000, replicas: 4, kills: 500, faults: 600, harshness: 3, patience: 18 * time.Minute}
)

// TestKilledAtRandomNothingIsLostDoubledOrOutOfOrder is the crash test: several replicas, all of them killed again and
// again, by us and at their named points, while everything around them fails.
func TestKilledAtRandomNothingIsLostDoubledOrOutOfOrder(t *testing.T) {
	t.Parallel()
	size := short
	if os.Getenv(longVariable) != "" {
		size = long
	}
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	w := newWorld(t, usual, size.patience)
	names := someDraining(sessions(size.sessions))
	waves := waves(rnd, names, size.files)

	began := time.Now()
	w.must(w.send(waves[0]...))
	f := w.launch(size.replicas, crashPoints(t), rand.New(rand.NewPCG(rnd.Uint64(), 1)))
	c := plan(w, f, rnd, size, names)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.run(ctx) })
	wg.Go(func() { // the next wave comes when the one before it has almost gone: sessions fall idle and come back
		sent := len(waves[0])
		for _, wave := range waves[1:] {
			if w.waitEnded(ctx, sent-len(wave)/2) != nil {
				return
			}
			if err := w.send(wave...); err != nil {
				t.Error(err)
				cancel()
				return
			}
			sent += len(wave)
		}
	})
	wg.Wait() // the schedule ends before the last file does
	w.waitAll()
	took := time.Since(began)
	f.stop()
	r := w.judge()

	bus, erp := c.struck()
	t.Logf("%d files in %d sessions, %d replicas, %.1f s (%.0f files/s)", r.Files, size.sessions, size.replicas, took.Seconds(), float64(r.Files)/took.Seconds())
	t.Logf("%d killed at random, at their points: %v", f.killed, f.atPoint)
	t.Logf("steps carried out:\n%s  armed faults struck %d operations on Service Bus, %d calls to F&O", c.report(), bus, erp)
	t.Logf("processed %d, dead-lettered %d, unknown outcomes %d, of these imported twice %d", r.Processed, r.DeadLettered, r.Unknown, r.DuplicatedReported)
	t.Logf("lost %d, duplicated %d, out of order %d, transitions missing %d", r.Lost, r.Duplicated, r.OutOfOrder, r.MissingTransitions)
	if r.Files != size.files {
		t.Errorf("%d files were sent, want %d", r.Files, size.files)
	}
	if f.killed < size.kills {
		t.Errorf("only %d of %d kills happened", f.killed, size.kills)
	}
	if n := len(c.steps); sum(c.done) != n || erp == 0 {
		t.Errorf("%d of %d steps were carried out, %d calls to F&O and %d operations on Service Bus struck", sum(c.done), n, erp, bus)
	}
	if !slices.ContainsFunc(w.bus.Messages(deadLetters), func(m servicebus.Message) bool { return m.DeadLetterReason == string(failure.Drained) }) {
		t.Error("no session drained")
	}
	if points := crashPoints(t); size == long && (len(f.atPoint) < len(points) || bus == 0) {
		t.Errorf("killed at %d of %d named points, %d operations on Service Bus struck", len(f.atPoint), len(points), bus)
	}
	for i := range size.replicas {
		(&replica{log: logOf(w, fmt.Sprintf("replica-%d", i))}).inspect(t)
	}
}

// TestKilledAtEveryNamedPointNothingIsLost kills a replica at each point in turn and lets the next one go on.
func TestKilledAtEveryNamedPointNothingIsLost(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(seed(t), 2))
	w := newWorld(t, usual, patience)
	names := append(sessions(6), session(draining, 6))
	points := crashPoints(t)
	for _, p := range points {
		var batch []parcel
		for range 3 {
			for _, s := range names {
				batch = append(batch, parcel{session: s})
			}
		}
		i := rnd.IntN(len(batch))
		batch[i].broken, batch[(i+1)%len(batch)].broken = true, true // in two sessions
		w.must(w.send(batch...))
		crash := fmt.Sprintf("%s:%d", p, 1+rnd.IntN(2))
		r, err := w.start("replica", crash)
		w.must(err)
		if _, err := r.wait(w.ctx); err != nil || !r.killed() {
			t.Fatalf("%s: %v, %s", crash, err, r.cmd.ProcessState)
		}
	}
	r, err := w.start("replica", "")
	w.must(err)
	w.waitAll()
	stop(t, w, r)
	rep := w.judge()
	t.Logf("%d points; processed %d, dead-lettered %d, unknown outcomes %d", len(points), rep.Processed, rep.DeadLettered, rep.Unknown)
	r.inspect(t)
}

// sessions returns names of sessions, of the three companies in turn.
func sessions(n int) []string {
	companies := []string{keeping, resending, windowed}
	names := make([]string, n)
	for i := range names {
		names[i] = session(companies[i%len(companies)], i)
	}
	return names
}

// someDraining makes every sixth session one of the company that drains.
func someDraining(names []string) []string {
	for i := 5; i < len(names); i += 6 {
		names[i] = session(draining, i)
	}
	return names
}

// waves returns the files in five waves, each session's in turn. One in fifty is broken, and in the middle of each session
// that drains there is one.
func waves(rnd *rand.Rand, names []string, files int) [][]parcel {
	waves := make([][]parcel, 5)
	for i := range files {
		n := i * len(waves) / files
		p := parcel{session: names[i%len(names)], broken: rnd.IntN(50) == 0}
		p.broken = p.broken || drains(p.session) && n == len(waves)/2
		waves[n] = append(waves[n], p)
	}
	return waves
}

func sum(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}
