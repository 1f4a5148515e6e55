package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/bus"
	"fnobridge/internal/lease"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
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
	*ownedSession // the session, its lease and its contexts
	*book         // what it did with F&O
	hand          // what it has received and not settled
	w             *Worker
	access        *access    // to F&O
	events        *announcer // to the world
	orders        *orders    // of an operator
	view          *view      // for people
	patience      patience   // with its session
	highest       int64      // sequence number of the last message received
	began         time.Time
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

// roomyLedger is the size up to which another file is taken beside those in F&O. A file that F&O takes hours for, with a
// window beside it, leaves an entry for every later one that has ended.
const roomyLedger = ledger.MaxBytes / 2

func newLane(w *Worker, o *ownedSession, slot *admission.Slot, v *view) *lane {
	l := &lane{ownedSession: o, w: w, view: v, began: time.Now(), book: &book{ownedSession: o, w: w}}
	l.access = &access{ownedSession: o, slot: slot, show: l.show}
	l.events = &announcer{ownedSession: o, to: w.o.Events, at: w.o.At, show: l.show}
	l.orders = &orders{ownedSession: o}
	l.patience = patience{session: o.key(0), barren: w.barren, least: w.o.FirstWait}
	return l
}

// run works at the session until it is idle, lost, or the worker stops. It does not close it. It returns how it ended
// and, at a stop, what was left.
func (l *lane) run() (ending, []Left) {
	step, err := l.begun()
	for err == nil && step == goOn {
		step, err = l.step()
	}
	end := l.end(err)
	var left []Left
	if l.intake.Err() != nil {
		left = l.remains()
	}
	for _, f := range slices.Clone(l.imports) {
		l.letGo(f, err)
	}
	return end, left
}

// begun reads the ledger, from which all else follows. A session that was lost lately is left alone first.
func (l *lane) begun() (next, error) {
	if !l.awaitRecovery() {
		return goOn, context.Cause(l.waiting)
	}
	state, err := l.load()
	if errors.Is(err, ledger.ErrNewer) || errors.Is(err, ledger.ErrCorrupt) {
		return l.unreadable(state, err)
	}
	return goOn, err
}

// step lets the first file that can go on do so, or waits for one.
func (l *lane) step() (next, error) {
	l.show("", time.Time{})
	f, soonest := l.first(l.ledger)
	switch {
	case f != nil && (l.waiting.Err() == nil || f.entry.Phase == ledger.Dead): // what was decided is done, also at a stop
		return l.advance(f)
	case l.waiting.Err() != nil:
		return goOn, context.Cause(l.waiting)
	case l.givesWay():
		return release, nil
	case l.hasRoom(l.ledger) && (len(l.imports) == 0 || len(l.stored) <= roomyLedger):
		if len(l.imports) > 0 {
			l.access.slot.Rest()
		}
		f, err := l.receive(soonest)
		if f == nil && len(l.imports) == 0 && err == nil {
			if l.adoptRest() {
				return goOn, nil
			}
			return release, nil
		}
		return goOn, err
	}
	l.showBackoff()
	l.access.slot.Rest()
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

// end says how the lane ended, and writes down what is not written yet if it still owns the session.
func (l *lane) end(err error) ending {
	end := l.ended(err)
	switch end {
	case cutShort:
		l.log.InfoContext(l.work, "session cut short; its ledger says where the next owner goes on", "error", context.Cause(l.work))
		return end
	case sessionLost:
		l.w.setbacks.lost(l.place(), l.began)
		l.tel.LockLost(l.work)
		l.log.WarnContext(l.work, "session lost; its ledger says where the next owner goes on", "error", causeOf(l.owned, err))
		if b := l.w.setbacks.of(l.place()); b.refusals >= parkAfter {
			l.log.ErrorContext(l.work, "session stands still: the broker refuses to settle a file", "sequence", b.file,
				"refusals", b.refusals, "again in", parkedFor)
		}
		return end
	}
	if failed := l.checkpoint(); failed != nil {
		l.log.WarnContext(l.work, "ledger not written at the end; the next owner goes by what it says", "error", failed)
	}
	if end == brokenOff {
		l.log.ErrorContext(l.work, "session given back", "error", err)
		l.w.setbacks.lost(l.place(), l.began)
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

// receive waits for the next file: until a file in hand has its turn, or until the session counts as idle. It returns
// nil when none came. A message that is older than one seen before means that the broker or the SDK changed the order:
// better to start over than to post it.
func (l *lane) receive(soonest time.Time) (*fileImport, error) {
	wait := max(0, time.Until(soonest))
	if len(l.imports) == 0 || soonest.IsZero() {
		wait = l.patience.wait(l.w.o.Idle, l.w.slots.Wanted(), l.RoundTrip())
	}
	raw, began, err := l.await(wait)
	if err != nil {
		return nil, err
	}
	if raw == nil {
		if len(l.imports) == 0 {
			l.warnBarren(l.owned, l.patience.nothing(), wait)
		}
		return nil, nil
	}
	l.patience.came(began)
	if seq := *raw.SequenceNumber; seq <= l.highest {
		return nil, fmt.Errorf("a message came out of order: sequence number %d after %d", seq, l.highest)
	}
	l.highest = *raw.SequenceNumber
	return l.take(l.received(raw, began)), nil
}
