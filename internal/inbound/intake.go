package inbound

import (
	"context"
	"errors"
	"sync"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/lease"
)

// errStopping is the cause with which everything that only waits ends when the worker stops.
var errStopping = errors.New("the bridge is stopping")

// ErrGraceOver is the cause with which work that is still under way ends when the grace period is over.
var ErrGraceOver = errors.New("the grace period is over")

// Run takes sessions until intake ends, then lets every lane finish or write down what it has in hand, until work ends.
// It returns when every goroutine it started has returned, with what was left behind.
//
// Two contexts, because stopping to take and stopping to work are two things: intake ends at SIGTERM, work when the
// grace period is over or at a second signal.
func (w *Worker) Run(intake, work context.Context) []Left {
	var wg sync.WaitGroup
	each := max(1, min(w.o.Accepts, w.o.Sessions)/len(w.o.Sources))
	for i := range w.o.Sources {
		for range each {
			wg.Go(func() { w.take(intake, work, &w.o.Sources[i], &wg) })
		}
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report
}

// take is one long accept after another. "No session" is the normal answer of an idle queue, not a failure; only real
// failures are waited out.
func (w *Worker) take(intake, work context.Context, src *Source, wg *sync.WaitGroup) {
	failures := 0
	for intake.Err() == nil {
		if !w.passable(intake, src) {
			return
		}
		if !w.slots.ask(intake, src) {
			return
		}
		began := time.Now()
		s, err := src.Acceptor.AcceptNext(intake, w.o.AcceptWait)
		switch {
		case err == nil:
			failures = 0
			if w.slots.taken(src) {
				wg.Go(func() { w.serve(intake, work, src, s, began) }) // gives the slot back
			} else { // several accepts, one slot: another got it
				w.giveBack(work, s)
			}
			continue
		case errors.Is(err, bus.ErrIdle):
			failures = 0
		case intake.Err() == nil:
			failures++
			w.o.Telemetry.Accepted(intake, src.Destination, began, "", err)
			if failures == 1 || failures%10 == 0 { // the same failure again and again is one piece of news
				w.log.WarnContext(intake, "no session can be accepted", "source", src.Name, "failures", failures, "error", err)
			}
			wait(intake, min(50*time.Millisecond<<min(failures-1, 8), 10*time.Second))
		}
		w.slots.idle(src)
	}
}

// idle is how long a lane waits for another message before it releases its session: shortly when sessions could be
// taken but for the slots, because then thousands of short ones would each cost the whole wait.
func (w *Worker) idle() time.Duration {
	if w.slots.wanted() {
		return min(w.o.Idle, wantedIdle)
	}
	return w.o.Idle
}

// wantedIdle is more than a message that is already there takes to arrive.
const wantedIdle = 20 * time.Millisecond

// giveBack closes a session of a lane.
func (w *Worker) giveBack(ctx context.Context, s Session) {
	if err := lease.Close(ctx, s); err != nil {
		w.log.DebugContext(ctx, "session not closed in an orderly way; its lock runs out", "session", s.ID(), "error", err)
	}
}

// passable waits while every environment that this source feeds is closed: an outage is waited out with no session in
// hand but those that were already there, so that other replicas and other environments are not kept from theirs.
func (w *Worker) passable(ctx context.Context, src *Source) bool {
	for {
		var until time.Time
		open := false
		for _, r := range w.o.Routes {
			if r.Source != "" && r.Source != src.Name {
				continue
			}
			s := r.Environment.Gate().State()
			if s.Open() || !s.Until.After(time.Now()) { // closed with its time up: a session is needed to probe
				open = true
				break
			}
			if until.IsZero() || s.Until.Before(until) {
				until = s.Until
			}
		}
		if open || until.IsZero() {
			return true
		}
		if !wait(ctx, time.Until(until)) {
			return false
		}
	}
}

// serve runs lanes for one session until it is released. A lane that asks for a fresh receiver gets one.
func (w *Worker) serve(intake, work context.Context, src *Source, s Session, began time.Time) {
	held := true // the slot
	defer func() {
		if held {
			w.slots.give()
		}
	}()
	w.o.Telemetry.Accepted(work, src.Destination, began, s.ID(), nil)
	w.o.Telemetry.SessionHeld(work, src.Destination, 1)
	defer w.o.Telemetry.SessionHeld(work, src.Destination, -1)
	for {
		l := newLane(w, src, s)
		l.yield = func() {
			if held {
				held = false
				w.slots.give()
			}
		}
		w.enter(l)
		end := l.run(intake, work)
		w.leave(l, end.left)
		w.giveBack(work, s)
		if !end.again || intake.Err() != nil {
			return
		}
		// The broker detaches a link that has been idle for ten minutes, and what was received on it can then not be
		// settled any more. Closing gives the messages back without counting a delivery; the ledger finds their place.
		var err error
		if s, err = src.Acceptor.AcceptByID(intake, s.ID()); err != nil {
			if !errors.Is(err, bus.ErrTaken) && intake.Err() == nil {
				w.log.InfoContext(intake, "session not taken back; whoever accepts it next goes on", "session", l.s.ID(), "error", err)
			}
			return
		}
	}
}
