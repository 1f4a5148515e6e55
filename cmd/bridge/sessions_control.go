package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// parkedMode reads from the ledger of a session whether it is held or draining, "" for neither. The error is
// bus.ErrTaken while somebody else owns the session.
func parkedMode(
	ctx context.Context, b deadletter.Broker, e contract.Source, session string,
) (ledger.ParkMode, error) {
	s, err := b.Session(ctx, e, session)
	if err != nil {
		return "", fmt.Errorf("look into session %q: %w", session, err)
	}
	defer closeQuietly(s)
	state, err := s.State(ctx)
	if err != nil {
		return "", fmt.Errorf("look into session %q: %w", session, err)
	}
	l, err := ledger.Decode(state)
	switch {
	case errors.Is(err, ledger.ErrCorrupt):
		return ledger.Holding, nil // a lane stops at it and waits for an order
	case err != nil:
		return "", fmt.Errorf("look into session %q: %w", session, err)
	case l.Park == nil:
		return "", nil
	}
	return l.Park.Mode, nil
}

// A control is where an operator's order for one session is written: the state of its control session. The lane of the
// session reads it there, and empties it when it has taken the order.
type control struct {
	broker  deadletter.Broker
	source  contract.Source
	session string
}

// controlLimit is how long to wait for a control session: a lane owns it only for the moment in which it looks.
const controlLimit = 10 * time.Second

// write writes the order in place of any that is there.
func (c control) write(ctx context.Context, o ledger.Order) error {
	state, err := o.Encode()
	if err != nil {
		return err
	}
	_, err = c.change(ctx, func([]byte) ([]byte, bool) { return state, true })
	return err
}

// awaitTaken waits until a lane has taken the order. What no lane took within that time is taken back: it would meet a
// hold that nobody has seen yet.
func (c control) awaitTaken(ctx context.Context, wait time.Duration) (taken bool, err error) {
	for begin := time.Now(); time.Since(begin) < wait && retry.Wait(ctx, time.Second); {
		state, err := c.change(ctx, func([]byte) ([]byte, bool) { return nil, false })
		if err != nil {
			return false, err
		}
		if len(state) == 0 {
			return true, nil
		}
	}
	// Also after Ctrl-C: the order must not stay behind.
	back, err := c.change(context.WithoutCancel(ctx), func(now []byte) ([]byte, bool) { return nil, len(now) > 0 })
	if err != nil {
		return false, fmt.Errorf("take the order back: %w", err)
	}
	return len(back) == 0, nil // empty: it was taken in the last moment
}

// change sets the state of the control session to what next returns for it, unless that says no. It returns the state
// that was there.
func (c control) change(ctx context.Context, next func(now []byte) ([]byte, bool)) ([]byte, error) {
	s, err := c.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("write the order: %w", err)
	}
	defer closeQuietly(s)
	now, err := s.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the order: %w", err)
	}
	if state, ok := next(now); ok {
		if err := s.SetState(ctx, state); err != nil {
			return nil, fmt.Errorf("write the order: %w", err)
		}
	}
	return now, nil
}

// open takes the control session, after a lane that is reading it just now.
func (c control) open(ctx context.Context) (deadletter.Session, error) {
	for begin := time.Now(); ; {
		s, err := c.broker.Session(ctx, c.source, ledger.ControlSession(c.session))
		again := errors.Is(err, bus.ErrTaken) && time.Since(begin) < controlLimit
		if !again || !retry.Wait(ctx, 200*time.Millisecond) {
			return s, err
		}
	}
}
