package inbound

import (
	"bytes"
	"context"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/telemetry"
)

// A book is the session's ledger, and what the broker is known to hold of it.
type book struct {
	*ownedSession
	w      *Worker
	ledger *ledger.Ledger // nil until it was read
	stored []byte         // what the broker holds, or held before tried
	tried  []byte         // a write whose outcome is not known; nil when there is none
}

// load reads the ledger. state is what was there, also when it is no ledger.
func (b *book) load() (state []byte, err error) {
	began := time.Now()
	err = b.span(b.owned, telemetry.GetSessionState, func(ctx context.Context) error {
		state, err = b.State(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	b.lease.Confirm(began)
	read, err := ledger.Decode(state)
	if err != nil {
		return state, err
	}
	b.ledger, b.stored = read, state
	b.sweep()
	return state, nil
}

// changed reports whether the ledger says something else than what is stored.
func (b *book) changed() bool {
	now, err := b.ledger.Encode()
	return err != nil || !bytes.Equal(now, b.stored)
}

// store writes the ledger, in a span of what ctx is for.
func (b *book) store(ctx context.Context) error {
	now, err := b.ledger.Encode()
	if err != nil {
		return err
	}
	began := time.Now()
	b.tried = now
	if err := b.span(ctx, telemetry.SetSessionState, func(ctx context.Context) error { return b.SetState(ctx, now) }); err != nil {
		return err
	}
	b.lease.Confirm(began)
	b.stored, b.tried = now, nil
	b.sweep()
	b.w.o.At("ledger-written")
	return nil
}

// sweep forgets the posts whose answers the stored ledger does not wait for.
func (b *book) sweep() {
	b.w.flights.sweep(b.src.Name, b.ID(), func(seq int64) bool {
		e := b.ledger.Find(seq)
		return e != nil && e.Phase == ledger.Posting && e.By == b.w.instance
	})
}

// checkpoint is the last thing a lane does while it still owns the session. It writes down the answers to posts that
// this process made and no lane has noted, and whatever else is not stored yet.
func (b *book) checkpoint() error {
	if b.ledger == nil || b.owned.Err() != nil {
		return nil
	}
	for _, e := range b.ledger.Files {
		if e.Phase != ledger.Posting || e.By != b.w.instance {
			continue
		}
		answer := b.w.flights.await(b.owned, b.key(e.Seq))
		switch {
		case b.owned.Err() != nil:
			return context.Cause(b.owned)
		case answer == nil: // it never came to the post
			e.Withdrawn()
		case answer.err == nil:
			e.Accepted(answer.id, time.Now())
		default:
			noteFailure(e, failure.Of(answer.err))
		}
	}
	if !b.changed() {
		return nil
	}
	return b.store(b.owned)
}

// noteFailure writes down a post that failed, for the next owner to go on from.
func noteFailure(e *ledger.Entry, bad *failure.Failure) {
	switch bad.Verdict {
	case failure.Unknown: // that is what the entry says
	case failure.Pause, failure.PauseJob: // an outage is no attempt
		e.Withdrawn()
	default:
		e.BackingOff(bad.Reason, time.Now(), bad.After)
	}
}

// known returns what the broker is known to hold of a file, nil when that is nothing. A post that the last write may have
// announced counts, whether the write arrived or not.
func (b *book) known(seq int64) *ledger.Entry {
	var found *ledger.Entry
	for _, state := range [][]byte{b.stored, b.tried} {
		l, err := ledger.Decode(state)
		if err != nil {
			continue // an unreadable one stays where it is, and so do its files
		}
		e := l.Find(seq)
		switch {
		case e == nil:
		case e.Phase == ledger.Posting:
			return e
		case found == nil:
			found = e
		}
	}
	return found
}
