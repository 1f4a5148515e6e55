package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/dynamics"
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
	lease  *lease
	yield  func() // gives the slot back while parked

	intake  context.Context // ends at SIGTERM
	work    context.Context // ends when the grace period is over
	held    context.Context // ends with the lease; state, settle and publish run under it
	waiting context.Context // ends with the lease or with intake: whatever only waits runs under it

	inFno     []*file        // posted and not ended, in order
	cur       *file          // begun, not posted
	ahead     *file          // received, not begun
	pass      *dynamics.Pass // the right to post, got before it is needed
	contended bool           // the last time, that right was not to be had at once

	highest int64 // sequence number of the last message received
	began   time.Time
	dirty   bool // the ledger holds something that is not stored

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
	l.lease = hold(work, l.s, l.src.Lock, func(err error) {
		if err == nil {
			l.w.o.Telemetry.LockRenewed(work)
		}
	})
	defer l.lease.stop()
	l.held = l.lease.ctx
	waiting, stop := context.WithCancelCause(l.held)
	defer stop(nil)
	defer context.AfterFunc(intake, func() { stop(errStopping) })()
	l.waiting = waiting

	err := l.load()
	for err == nil {
		err = l.step()
	}
	l.leave(errNotMade)
	end := ending{again: errors.Is(err, errAgain)}
	switch {
	case errors.Is(err, errRelease), errors.Is(err, errAgain), errors.Is(err, errStopping):
		if err := l.checkpoint(); err != nil {
			l.log.WarnContext(work, "ledger not written at the end; the next owner goes by what it says", "error", err)
		}
	case lost(err) || l.held.Err() != nil:
		l.w.o.Telemetry.LockLost(work)
		l.log.WarnContext(work, "session lost; its ledger says where the next owner goes on", "error", cause(l.held, err))
	default:
		l.log.ErrorContext(work, "session given back", "error", err)
		wait(l.waiting, time.Second) // the broker hands it out again at once: not in a busy loop
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
	if l.waiting.Err() != nil {
		return context.Cause(l.waiting)
	}
	if l.ledger.Park != nil && l.ledger.Park.Mode == Holding && len(l.inFno) == 0 {
		return l.parked()
	}
	if time.Since(l.began) > l.w.o.Refresh && len(l.inFno) > 0 {
		return errAgain
	}
	if l.room() {
		f, err := l.take(l.patience())
		if err != nil {
			return err
		}
		if f != nil {
			return l.begin(f)
		}
		if len(l.inFno) == 0 {
			return errRelease
		}
	} else if f := l.soonest(); !wait(l.waiting, time.Until(f.nextPoll)) {
		return context.Cause(l.waiting)
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

// room reports whether another file may be begun now.
func (l *lane) room() bool {
	if l.ledger.Park != nil && l.ledger.Park.Mode == Holding {
		return false
	}
	if len(l.inFno) == 0 {
		return true
	}
	for _, f := range l.inFno {
		if !f.route.Overlap || len(l.inFno) >= f.route.Window {
			return false
		}
	}
	return true
}

// patience is how long to wait for another message: until the next question is due, or until the session counts as idle.
func (l *lane) patience() time.Duration {
	if len(l.inFno) > 0 {
		return max(0, time.Until(l.soonest().nextPoll))
	}
	return l.w.o.Idle
}

func (l *lane) soonest() *file {
	return slices.MinFunc(l.inFno, func(a, b *file) int { return a.nextPoll.Compare(b.nextPoll) })
}

// take gives the next message of the session as a file, nil when none came within d.
func (l *lane) take(d time.Duration) (*file, error) {
	if f := l.ahead; f != nil {
		l.ahead = nil
		return f, nil
	}
	until := time.Now().Add(d)
	for {
		f, err := l.receive(l.waiting, max(time.Until(until), time.Millisecond))
		if f != nil || err != nil {
			return f, err
		}
		if time.Until(until) <= 0 { // one receive is bounded below the idle time
			return nil, nil
		}
	}
}

// receive waits for one message. A message that is older than one seen before means that the broker or the SDK changed
// the order: better to start over than to post it.
func (l *lane) receive(ctx context.Context, d time.Duration) (*file, error) {
	began := time.Now()
	m, err := l.s.Receive(ctx, d)
	if err != nil || m == nil {
		return nil, err
	}
	if *m.SequenceNumber <= l.highest {
		return nil, fmt.Errorf("%w: sequence number %d after %d", errOrder, *m.SequenceNumber, l.highest)
	}
	l.highest = *m.SequenceNumber
	return l.newFile(m, began), nil
}

// load reads the ledger.
func (l *lane) load() error {
	var state []byte
	err := l.span(telemetry.GetSessionState, func(ctx context.Context) error {
		var err error
		state, err = l.s.State(ctx)
		return err
	})
	if err != nil {
		return err
	}
	l.ledger, err = DecodeLedger(state)
	if err != nil {
		return l.unreadable(state, err)
	}
	l.w.flights.sweep(l.src.Name, l.s.ID(), func(seq int64) bool {
		e := l.ledger.find(seq)
		return e != nil && e.Phase == Posting && e.By == l.w.instance
	})
	l.show(nil)
	return nil
}

// store writes the ledger.
func (l *lane) store() error {
	b, err := l.ledger.Encode()
	if err != nil {
		return err
	}
	err = l.span(telemetry.SetSessionState, func(ctx context.Context) error { return l.s.SetState(ctx, b) })
	if err != nil {
		return err
	}
	l.dirty = false
	l.w.o.At("ledger-written")
	return nil
}

// checkpoint takes back an intent that was written ahead and is not needed, and stores what is not stored yet.
func (l *lane) checkpoint() error {
	if l.ledger == nil || l.held.Err() != nil {
		return nil
	}
	for _, e := range slices.Clone(l.ledger.Files) {
		if e.Phase == Posting && e.By == l.w.instance && l.w.flights.find(l.held, l.key(e.Seq)) == nil {
			l.dirty = true
			if e.Attempts > 1 || e.Unknown {
				e.Phase, e.Attempts = Waiting, e.Attempts-1
				l.ledger.put(e)
			} else {
				l.ledger.drop(e.Seq)
			}
		}
	}
	if !l.dirty {
		return nil
	}
	return l.store()
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
