package inbound

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/bus"
	"fnobridge/internal/lease"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
	"fnobridge/internal/telemetry"
)

// A lane is one session: one goroutine, one file at a time into F&O, in order.
//
//	accept --> load ledger --> receive 1 --> begin --> post --> follow --> complete ----+
//	               |               ^           ^ |       |        |                     |
//	               |               |           | +-------+--------+--> dead-letter -----+
//	               |               |           |         |        |                     |
//	               |               |           +-- backing off <--+--> held: operator   |
//	               |               +----------------------------------- next file <-----+
//	               |               |
//	               |               +--> idle: release
//	               +--> unreadable: operator
//
// Everything runs under the lease but a post, which runs under the worker's own context, because a request on its way
// cannot be called back and its answer is worth having (see flights). Waiting ends at a stop, working does not.
type lane struct {
	w      *Worker
	src    *Source
	s      Session
	log    *slog.Logger
	slot   *admission.Slot
	lease  *lease.Lease
	ledger *ledger.Ledger // what this session did with F&O; nil until it was read
	known  ledgerState    // what the broker holds of it

	intake  context.Context // ends at SIGTERM
	work    context.Context // ends when the grace period is over
	owned   context.Context // ends with the lease; state, settle and publish run under it
	waiting context.Context // ends with the lease, with intake, or when the receiver is due: whatever only waits runs under it

	imports []*fileImport // received and not settled, in the order of the session
	highest int64         // sequence number of the last message received
	files   int           // settled

	mu   sync.Mutex // guards view
	view SessionView
}

// A next is what a step of the lane says comes next.
type next int

const (
	goOn    next = iota // ask the files for their phases again
	release             // give the session back: there is nothing to do, or its next owner does it
)

// An ending is how a lane ended.
type ending string

const (
	idle        ending = "idle"         // there was nothing to do
	due         ending = "due"          // its receiver has to be replaced: accept the same session again at once
	stopping    ending = "stopping"     // the worker takes no more
	cutShort    ending = "cut short"    // the grace period is over
	sessionLost ending = "session lost" // it is not ours any more
	brokenOff   ending = "broken off"   // something is wrong with the session; accepted again it may be better
)

// giveBackWait is how long a session that broke off is kept: the broker hands it out again at once.
const giveBackWait = time.Second

// roomyLedger is the size up to which another file is taken beside those in F&O. A file that F&O takes hours for, with a
// window beside it, leaves an entry for every later one that has ended.
const roomyLedger = ledger.MaxBytes / 2

var (
	errStopping = errors.New("the bridge is stopping")
	errDue      = errors.New("the receiver is due to be replaced")
)

func newLane(w *Worker, src *Source, s Session, slot *admission.Slot) *lane {
	return &lane{
		w: w, src: src, s: s, slot: slot, log: w.log.With("source", src.Name, "session", s.ID()),
		view: SessionView{Source: src.Name, Session: s.ID(), Since: time.Now()},
	}
}

// run owns the session until it is idle, lost, or the worker stops. It does not close it. It returns how it ended and,
// at a stop, what was left.
func (l *lane) run(intake, work context.Context) (ending, []Left) {
	defer l.own(intake, work)()
	step, err := l.load()
	for err == nil && step == goOn {
		step, err = l.step()
	}
	end := l.end(err)
	var left []Left
	if intake.Err() != nil {
		left = l.remains()
	}
	for _, f := range slices.Clone(l.imports) {
		l.letGo(f, err)
	}
	return end, left
}

// own starts the lease and makes the contexts that hang on it. The function it returns ends them.
func (l *lane) own(intake, work context.Context) (disown func()) {
	l.intake, l.work = intake, work
	l.lease = lease.Start(work, l.s, l.src.Lock, func(err error) {
		if err == nil {
			l.w.o.Telemetry.LockRenewed(work)
		}
	})
	l.owned = l.lease.Context()
	waiting, stop := context.WithCancelCause(l.owned)
	l.waiting = waiting
	release := context.AfterFunc(intake, func() { stop(errStopping) })
	// The broker detaches a link that has been idle for ten minutes, and with it goes the session, whatever is renewed.
	// So nothing waits on a receiver for longer than that, for whatever reason.
	refresh := time.AfterFunc(l.w.o.Refresh, func() { stop(errDue) })
	return func() {
		refresh.Stop()
		release()
		stop(nil)
		l.lease.Stop()
	}
}

// step lets the first file that can go on do so, or waits for one.
func (l *lane) step() (next, error) {
	l.show("", time.Time{})
	f, soonest := l.first()
	switch {
	case f != nil && (l.waiting.Err() == nil || f.entry.Phase == ledger.Dead): // what was decided is done, also at a stop
		return l.advance(f)
	case l.waiting.Err() != nil:
		return goOn, context.Cause(l.waiting)
	case l.mayReceive():
		f, err := l.receive(l.patience(soonest))
		if f == nil && len(l.imports) == 0 && err == nil {
			return release, nil
		}
		return goOn, err
	}
	l.showBackoff()
	retry.Wait(l.waiting, time.Until(soonest))
	return goOn, nil
}

// advance does the next thing there is to do for a file. Its phase says what that is, and every way out of a phase is a
// transition of the ledger's table: this is the whole life of a file.
func (l *lane) advance(f *fileImport) (next, error) {
	switch f.entry.Phase {
	case ledger.New, ledger.Waiting:
		return l.begin(f) // -> Posting -> InFno; or Waiting, Held, Dead
	case ledger.Posting:
		return l.recall(f) // an earlier owner began its post -> InFno, Waiting, Held, Dead
	case ledger.InFno:
		return l.follow(f) // -> Settled; or Waiting, Held, Dead
	case ledger.Held:
		return l.awaitOrder(f) // -> Waiting, Dead
	case ledger.Dead:
		return l.deadLetter(f) // -> Settled
	default: // ledger.Settled: handed out again
		return l.completeAgain(f)
	}
}

// first returns the first file that can go on now. If there is none it returns the earliest time at which one can.
func (l *lane) first() (_ *fileImport, soonest time.Time) {
	for i, f := range l.imports {
		if !l.hasTurn(i) {
			continue
		}
		if time.Until(f.due) <= 0 {
			return f, time.Time{}
		}
		if soonest.IsZero() || f.due.Before(soonest) {
			soonest = f.due
		}
	}
	return nil, soonest
}

// hasTurn reports whether nothing but time keeps the ith file from its next step. A file that F&O has, or whose end is
// decided, waits for no other; all else happens in order, and not beside files that must be alone in F&O.
func (l *lane) hasTurn(i int) bool {
	f := l.imports[i]
	switch f.entry.Phase {
	case ledger.InFno, ledger.Dead, ledger.Settled:
		return true
	case ledger.Held:
		if l.ledger.Holds() {
			return l.ledger.HeldAt(f.msg.seq) && l.inFno() == 0
		}
	default:
		if l.ledger.Holds() {
			return false
		}
	}
	inOrder := !slices.ContainsFunc(l.imports[:i], func(o *fileImport) bool { return o.entry.Phase != ledger.InFno })
	return inOrder && l.fits(f)
}

// fits reports whether f may be begun beside the files in F&O. Files of one session may have different routes: the
// stricter of two neighbours decides.
func (l *lane) fits(f *fileImport) bool {
	n := l.inFno()
	return n == 0 || l.roomBeside() && (f.route == nil || f.route.overlaps() && n < f.route.Window)
}

// roomBeside reports whether the files in F&O allow another one beside them.
func (l *lane) roomBeside() bool {
	n := l.inFno()
	return !slices.ContainsFunc(l.imports, func(f *fileImport) bool {
		return f.entry.Phase == ledger.InFno && (!f.route.overlaps() || n >= f.route.Window)
	})
}

// mayReceive reports whether another message may be received: nothing is in hand, or all that is in hand is in F&O and
// allows another one beside it. A session that stands at a held file needs that file in hand, and no other.
func (l *lane) mayReceive() bool {
	if len(l.imports) == 0 {
		return true
	}
	return !l.ledger.Holds() && l.inFno() == len(l.imports) && len(l.known.stored) <= roomyLedger && l.roomBeside()
}

// patience is how long to wait for another message: until a file in hand has its turn, or until the session counts as
// idle.
func (l *lane) patience(soonest time.Time) time.Duration {
	if len(l.imports) == 0 {
		return l.w.idle()
	}
	return max(0, time.Until(soonest))
}

// end says how the lane ended, and writes down what is not written yet if it still owns the session.
func (l *lane) end(err error) ending {
	end := l.ended(err)
	switch end {
	case cutShort:
		l.log.InfoContext(l.work, "session cut short; its ledger says where the next owner goes on", "error", context.Cause(l.work))
		return end
	case sessionLost:
		l.w.o.Telemetry.LockLost(l.work)
		l.log.WarnContext(l.work, "session lost; its ledger says where the next owner goes on", "error", causeOf(l.owned, err))
		return end
	}
	if failed := l.checkpoint(); failed != nil {
		l.log.WarnContext(l.work, "ledger not written at the end; the next owner goes by what it says", "error", failed)
	}
	if end == brokenOff {
		l.log.ErrorContext(l.work, "session given back", "error", err)
		retry.Wait(l.waiting, giveBackWait)
	}
	return end
}

func (l *lane) ended(err error) ending {
	switch {
	case l.work.Err() != nil:
		return cutShort
	case lost(err) || l.owned.Err() != nil:
		return sessionLost
	case err == nil:
		return idle
	case l.intake.Err() != nil:
		return stopping
	case l.waiting.Err() != nil:
		return due
	}
	return brokenOff
}

// lost reports whether err says that the session is not ours any more.
func lost(err error) bool {
	return errors.Is(err, bus.ErrLost) || errors.Is(err, lease.ErrLost)
}

// causeOf prefers why a context ended over the bare fact that it did.
func causeOf(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return c
	}
	return err
}

func (l *lane) key(seq int64) flightKey { return flightKey{l.src.Name, l.s.ID(), seq} }

// span makes one call to the broker under the lease and in a span of the file that it is for, if there is one.
func (l *lane) span(op telemetry.Operation, call func(context.Context) error) error {
	within := l.owned
	if n := len(l.imports); n > 0 {
		within = l.imports[n-1].ctx
	}
	ctx, end := l.w.o.Telemetry.Generic(within, l.src.Destination, op, l.s.ID())
	err := call(ctx)
	end(err)
	return err
}
