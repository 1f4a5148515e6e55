package inbound

import (
	"context"
	"slices"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/telemetry"
)

// load reads the ledger.
func (l *lane) load() error {
	var state []byte
	begun := time.Now()
	err := l.span(telemetry.GetSessionState, func(ctx context.Context) error {
		var err error
		state, err = l.s.State(ctx)
		return err
	})
	if err != nil {
		return err
	}
	l.lease.Confirm(begun)
	l.stored = state
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
	begun := time.Now()
	l.tried = b
	err = l.span(telemetry.SetSessionState, func(ctx context.Context) error { return l.s.SetState(ctx, b) })
	if err != nil {
		return err
	}
	l.lease.Confirm(begun)
	l.stored, l.tried = b, nil
	l.dirty, l.fresh = false, false
	l.w.o.At("ledger-written")
	return nil
}

// checkpoint is the last thing a lane does while it still holds the session. It takes back an intent that was written
// ahead and not carried out, writes down the answer to a post that an earlier lane of this process made, and stores
// what is not stored yet.
func (l *lane) checkpoint() error {
	if l.ledger == nil || l.held.Err() != nil {
		return nil
	}
	for _, e := range slices.Clone(l.ledger.Files) {
		if e.Phase != Posting || e.By != l.w.instance {
			continue
		}
		switch fl := l.w.flights.find(l.held, l.key(e.Seq)); {
		case l.held.Err() != nil:
			return context.Cause(l.held)
		case fl == nil && (e.Attempts > 1 || e.Unknown):
			e.back()
			l.ledger.put(e)
		case fl == nil:
			l.ledger.drop(e.Seq)
		case fl.err == nil:
			e.accepted(fl.fnoID, time.Now())
			l.ledger.put(e)
		case failure.Of(fl.err).Verdict == failure.Unknown:
			continue // that is what the entry says
		default:
			e.Phase, e.Reason, e.By, e.After = Waiting, failure.Of(fl.err).Reason, "", 0
			l.ledger.put(e)
		}
		l.dirty = true
	}
	if !l.dirty && !l.fresh {
		return nil
	}
	return l.store()
}

// writeAhead puts the intent for the next file into the write that records f, when that file will be posted next
// without any doubt and only once f has left the queue: After says so, and until then a crash leaves no doubt behind.
func (l *lane) writeAhead(f *file) {
	a := l.ahead
	if a == nil || a.bad != nil || a.route == nil || a.dataref != "" || l.ledger.Doubt > 0 ||
		l.ledger.find(a.seq) != nil || l.ledger.settled(a.seq) {
		return
	}
	if len(l.inFno) > 0 || f.overlaps() || l.contended > 0 {
		return
	}
	if l.open(a); a.bad != nil {
		return
	}
	now := time.Now()
	a.entry = Entry{Seq: a.seq, Key: a.key, Phase: Posting, After: f.seq, By: l.w.instance, Attempts: 1, First: now, Last: now}
	l.ledger.put(a.entry)
	a.intended = true
}

// retract takes the intent that was written ahead back, in memory. It reports whether there was one.
func (l *lane) retract() bool {
	a := l.ahead
	if a == nil || !a.intended {
		return false
	}
	l.ledger.drop(a.seq)
	a.intended, a.entry = false, Entry{Seq: a.seq, Key: a.key}
	l.dirty = true
	return true
}
