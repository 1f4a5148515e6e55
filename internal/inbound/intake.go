package inbound

import (
	"context"
	"errors"
	"sync"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/bus"
	"fnobridge/internal/lease"
	"fnobridge/internal/retry"
)

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
			wg.Go(func() { w.acceptAll(intake, work, &w.o.Sources[i], &wg) })
		}
	}
	wg.Go(func() { w.tidy(intake) })
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report
}

// acceptAll makes one long accept after another. "No session" is the normal answer of an idle queue, not a failure;
// only real failures are waited out.
func (w *Worker) acceptAll(intake, work context.Context, src *Source, wg *sync.WaitGroup) {
	for w.awaitOpenGate(intake, src) && w.setbacks.awaitSource(intake, src.Name) && w.slots.AwaitAccept(intake, src.Name) {
		began := time.Now()
		s, err := src.Acceptor.AcceptNext(intake, w.o.AcceptWait)
		if err == nil {
			if slot := w.slots.Take(src.Name); slot != nil {
				wg.Go(func() { w.serve(intake, work, src, s, slot, began) })
			} else { // several accepts, one slot: another got it
				w.giveBack(work, s)
			}
			continue
		}
		if errors.Is(err, bus.ErrIdle) {
			w.setbacks.answered(src.Name)
		} else if intake.Err() == nil {
			failures := w.setbacks.refused(src.Name, began)
			w.o.Telemetry.Accepted(intake, src.Destination, began, "", err)
			if failures == 1 || failures%10 == 0 { // the same failure again and again is one piece of news
				w.log.WarnContext(intake, "no session can be accepted", "source", src.Name, "failures", failures, "error", err)
			}
		}
		w.slots.NothingFound(src.Name)
	}
}

// giveBack closes a session: the broker may hand it out at once.
func (w *Worker) giveBack(work context.Context, s Session) {
	if err := lease.Close(work, s); err != nil {
		w.log.DebugContext(work, "session not closed in an orderly way; its lock runs out", "session", s.ID(), "error", err)
	}
}

// awaitOpenGate waits while every environment that this source feeds is closed: an outage is waited out with no session
// in hand but those that were already there, so that other replicas and other environments are not kept from theirs. It
// reports whether ctx goes on.
func (w *Worker) awaitOpenGate(ctx context.Context, src *Source) bool {
	for ctx.Err() == nil {
		until, closed := w.closedUntil(src)
		if !closed {
			return true
		}
		retry.Wait(ctx, time.Until(until))
	}
	return false
}

// closedUntil returns when the first of the environments that this source feeds may be probed, if all of them are
// closed for longer.
func (w *Worker) closedUntil(src *Source) (until time.Time, closed bool) {
	for _, r := range w.o.Routes {
		if r.Source != "" && r.Source != src.Name {
			continue
		}
		s := r.Environment.Gate().State()
		if s.Open() || !s.Until.After(time.Now()) { // closed with its time up: a session is needed to probe
			return time.Time{}, false
		}
		if until.IsZero() || s.Until.Before(until) {
			until = s.Until
		}
	}
	return until, !until.IsZero()
}

// serve runs lanes for one session until it is released. A lane whose receiver is due gets a fresh one.
func (w *Worker) serve(intake, work context.Context, src *Source, s Session, slot *admission.Slot, began time.Time) {
	defer slot.GiveBack()
	w.o.Telemetry.Accepted(work, src.Destination, began, s.ID(), nil)
	w.o.Telemetry.SessionOwned(work, src.Destination, 1)
	defer w.o.Telemetry.SessionOwned(work, src.Destination, -1)
	for {
		end := w.runLane(w.own(intake, work, src, s), slot)
		w.giveBack(work, s)
		if end == idle {
			w.quiet.note(sessionKey{src.Name, s.ID()})
		}
		if end != due || intake.Err() != nil || w.slots.Crowded() {
			return
		}
		// The broker detaches a link that has been idle for ten minutes, and what was received on it can then not be
		// settled any more. Closing gives the messages back without counting a delivery; the ledger finds their place.
		again, err := src.Acceptor.AcceptByID(intake, s.ID())
		if err != nil {
			if !errors.Is(err, bus.ErrTaken) && intake.Err() == nil {
				w.log.InfoContext(intake, "session not taken back; whoever accepts it next goes on", "session", s.ID(), "error", err)
			}
			return
		}
		s = again
	}
}

// runLane runs one lane of a session.
func (w *Worker) runLane(o *ownedSession, slot *admission.Slot) ending {
	defer o.release()
	v := newView(o.src.Name, o.ID())
	w.enter(v)
	end, left := newLane(w, o, slot, v).run()
	w.leave(v, left)
	return end
}
