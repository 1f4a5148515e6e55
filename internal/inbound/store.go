package inbound

import (
	"bytes"
	"context"
	"time"

	"fnobridge/internal/ledger"
	"fnobridge/internal/telemetry"
)

// A ledgerState is what the broker holds of a ledger, as far as it is known.
type ledgerState struct {
	stored []byte // what it is known to hold, or to have held before tried
	tried  []byte // a write whose outcome is not known; nil when there is none
}

// load reads the ledger.
func (l *lane) load() (next, error) {
	var state []byte
	began := time.Now()
	err := l.span(telemetry.GetSessionState, func(ctx context.Context) error {
		var err error
		state, err = l.s.State(ctx)
		return err
	})
	if err != nil {
		return goOn, err
	}
	l.lease.Confirm(began)
	l.known = ledgerState{stored: state}
	l.ledger, err = ledger.Decode(state)
	if err != nil {
		return l.unreadable(state, err)
	}
	l.sweep()
	return goOn, nil
}

// changed reports whether the ledger says something else than what is stored.
func (l *lane) changed() bool {
	b, err := l.ledger.Encode()
	return err != nil || !bytes.Equal(b, l.known.stored)
}

// store writes the ledger.
func (l *lane) store() error {
	b, err := l.ledger.Encode()
	if err != nil {
		return err
	}
	began := time.Now()
	l.known.tried = b
	err = l.span(telemetry.SetSessionState, func(ctx context.Context) error { return l.s.SetState(ctx, b) })
	if err != nil {
		return err
	}
	l.lease.Confirm(began)
	l.known = ledgerState{stored: b}
	l.sweep()
	l.w.o.At("ledger-written")
	return nil
}

// sweep forgets the posts whose answers the stored ledger does not wait for.
func (l *lane) sweep() {
	l.w.flights.sweep(l.src.Name, l.s.ID(), func(seq int64) bool {
		e := l.ledger.Find(seq)
		return e != nil && e.Phase == ledger.Posting && e.By == l.w.instance
	})
}
