package inbound

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/lease"
	"fnobridge/internal/telemetry"
)

// errAgain ends a lane whose receiver has to be replaced; errRelease one that has nothing to do.
var (
	errAgain   = errors.New("the receiver is due to be replaced")
	errRelease = errors.New("the session is released")
	errOrder   = errors.New("a message came out of order")
)

// A lane is one session: one goroutine, one file at a time into F&O, in order.
//
//	            +--------------------------------- next file ---------------------------------+
//	            v                                                                             |
//	load --> take 1 --> resolve --> open --> [gate] --> intent --> post --> record --> follow -+--> settle
//	  |         |                               ^                    |                  |
//	  |         idle: release                   +---- backoff -------+---- it passes ---+
//	  |
//	  +--> parked (hold): wait for an operator's order
//
// Everything up to post runs under the lease; a post under the worker's own context, because a request on its way
// cannot be called back and its answer is worth having (see flights). Waiting ends at a stop, working does not.
type lane struct {
	w      *Worker
	src    *Source
	s      Session
	log    *slog.Logger
	ledger *Ledger
	lease  *lease.Lease
	yield  func() // gives the slot back while parked

	intake  context.Context // ends at SIGTERM
	work    context.Context // ends when the grace period is over
	held    context.Context // ends with the lease; state, settle and publish run under it
	waiting context.Context // ends with the lease or with intake: whatever only waits runs under it

	inFno     []*file        // posted and not ended, in order
	cur       *file          // begun, not posted
	kept      *file          // the file this session is held at
	aside     []*file        // failed while the session was held at an earlier file; they get their turn from the ledger
	ahead     *file          // received, not begun
	pass      *dynamics.Pass // the right to post the file in ahead, got before it is needed
	contended int            // so many files more are posted without an intent written ahead: that right was hard to get
	trouble   error          // ends the lane at its next step

	highest int64 // sequence number of the last message received
	began   time.Time
	stored  []byte // what the broker is known to hold of the ledger
	tried   []byte // a write of it whose outcome is not known; nil when there is none
	dirty   bool   // the ledger holds something that is not stored
	fresh   bool   // it holds a published transition that is not stored; worth no write of its own

	mu   sync.Mutex // guards view
	view SessionView
}

// ending is how a lane ended.
type ending struct {
	again bool // accept the same session again at once
	left  []Left
}

func newLane(w *Worker, src *Source, s Session) *lane {
	return &lane{
		w: w, src: src, s: s, began: time.Now(), yield: func() {},
		log:  w.log.With("source", src.Name, "session", s.ID()),
		view: SessionView{Source: src.Name, Session: s.ID(), Since: time.Now()},
	}
}

// run holds the session until it is idle, lost, or the worker stops. It does not close it.
func (l *lane) run(intake, work context.Context) ending {
	l.intake, l.work = intake, work
	l.lease = lease.Start(work, l.s, l.src.Lock, func(err error) {
		if err == nil {
			l.w.o.Telemetry.LockRenewed(work)
		}
	})
	defer l.lease.Stop()
	l.held = l.lease.Context()
	waiting, stop := context.WithCancelCause(l.held)
	defer stop(nil)
	defer context.AfterFunc(intake, func() { stop(errStopping) })()
	// The broker detaches a link that has been idle for ten minutes, and with it goes the session, whatever is renewed.
	// So nothing waits on a receiver for longer than that, for whatever reason.
	due := time.AfterFunc(l.w.o.Refresh, func() { stop(errAgain) })
	defer due.Stop()
	l.waiting = waiting

	err := l.load()
	for err == nil {
		err = l.step()
	}
	l.leave(errNotMade)
	end := ending{again: errors.Is(err, errAgain)}
	switch {
	case work.Err() != nil:
		l.log.InfoContext(work, "session cut short; its ledger says where the next owner goes on", "error", context.Cause(work))
	case lost(err) || l.held.Err() != nil:
		end.again = false
		l.w.o.Telemetry.LockLost(work)
		l.log.WarnContext(work, "session lost; its ledger says where the next owner goes on", "error", cause(l.held, err))
	default:
		if err := l.checkpoint(); err != nil {
			l.log.WarnContext(work, "ledger not written at the end; the next owner goes by what it says", "error", err)
		}
		if !errors.Is(err, errRelease) && !errors.Is(err, errAgain) && !errors.Is(err, errStopping) {
			l.log.ErrorContext(work, "session given back", "error", err)
			wait(l.waiting, time.Second) // the broker hands it out again at once: not in a busy loop
		}
	}
	if intake.Err() != nil {
		end.left = l.remains()
	}
	l.closeFiles(err)
	return end
}

// cause prefers why a context ended over the bare fact that it did.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return c
	}
	return err
}

// step does the next thing there is to do. Its error ends the lane.
func (l *lane) step() error {
	if l.trouble != nil {
		return l.trouble
	}
	if l.waiting.Err() != nil {
		return l.stopped()
	}
	if l.holding() && len(l.inFno) == 0 {
		return l.parked()
	}
	if l.room() {
		f, err := l.take(l.patience())
		switch {
		case err != nil:
			return err
		case f != nil && l.fits(f):
			return l.begin(f)
		case f != nil:
			l.ahead = f
		case len(l.inFno) == 0:
			return errRelease
		}
	}
	if len(l.inFno) == 0 {
		return nil
	}
	if !l.room() && !wait(l.waiting, time.Until(l.soonest().nextPoll)) {
		return l.stopped()
	}
	for _, f := range slices.Clone(l.inFno) {
		if time.Until(f.nextPoll) > 0 {
			continue
		}
		if err := l.follow(f); err != nil {
			return err
		}
	}
	return nil
}

// holding reports whether the session is held at a file.
func (l *lane) holding() bool { return l.ledger.Park != nil && l.ledger.Park.Mode == Holding }

// roomyLedger is the size up to which another file is taken into a ledger that has files in flight. A file that F&O takes
// hours for, with a window beside it, leaves an entry for every later one that has ended.
const roomyLedger = MaxLedgerBytes / 2

// room reports whether another file may be begun now.
func (l *lane) room() bool {
	if l.holding() || l.ahead != nil && !l.fits(l.ahead) || len(l.inFno) > 0 && len(l.stored) > roomyLedger {
		return false
	}
	return !slices.ContainsFunc(l.inFno, func(f *file) bool { return !f.overlaps() || len(l.inFno) >= f.route.Window })
}

// fits reports whether f itself may be begun beside the files in F&O. Files of one session may have different routes:
// the stricter of two neighbours decides.
func (l *lane) fits(f *file) bool {
	return len(l.inFno) == 0 || f.route == nil || f.overlaps() && len(l.inFno) < f.route.Window
}

// overlaps reports whether another file of the session may be in F&O together with f.
func (f *file) overlaps() bool { return f.route != nil && f.route.Overlap && f.route.Window > 1 }

// patience is how long to wait for another message: until the next question is due, or until the session counts as idle.
func (l *lane) patience() time.Duration {
	if len(l.inFno) > 0 {
		return max(0, time.Until(l.soonest().nextPoll))
	}
	return l.w.idle()
}

func (l *lane) soonest() *file {
	return slices.MinFunc(l.inFno, func(a, b *file) int { return a.nextPoll.Compare(b.nextPoll) })
}

// stopped gives why waiting ended.
func (l *lane) stopped() error { return context.Cause(l.waiting) }

func (l *lane) key(seq int64) flightKey { return flightKey{l.src.Name, l.s.ID(), seq} }

// span runs one call to the broker under the lease and in a span.
func (l *lane) span(op telemetry.Operation, call func(context.Context) error) error {
	ctx, end := l.w.o.Telemetry.Generic(l.tracing(), l.src.Destination, op, l.s.ID())
	err := call(ctx)
	end(err)
	return err
}

// tracing gives the context of the file in hand, so that ledger calls show in its trace; the lane's own without one.
func (l *lane) tracing() context.Context {
	switch {
	case l.cur != nil:
		return l.cur.ctx
	case len(l.inFno) > 0:
		return l.inFno[len(l.inFno)-1].ctx
	}
	return l.held
}
