package inbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// unreadable deals with session state that is no ledger this version can read. Nothing is guessed: the session stands
// still and says so.
//
// A newer version's state is left alone, and the session is given back after a while, for a replica of that version. A
// corrupt one waits for an operator's order; the bytes are then kept as the state of the session AsideSession names,
// and the first file counts as one whose outcome is unknown.
func (l *lane) unreadable(state []byte, why error) error {
	l.log.ErrorContext(l.held, "session state cannot be read; the session stands still", "bytes", len(state), "error", why)
	l.yield()
	l.show(func(v *SessionView) { v.Parked, v.Reason, v.Waiting = Holding, failure.LedgerUnusable, why.Error() })
	if errors.Is(why, ErrNewerLedger) {
		if !wait(l.waiting, 6*l.w.o.ParkCheck) {
			return l.stopped()
		}
		return errRelease
	}
	l.ledger = &Ledger{} // in memory: nothing stores it before the order has come
	f, err := l.take(l.w.o.Idle)
	switch {
	case err != nil:
		return err
	case f == nil:
		return errRelease
	}
	l.cur = f
	if !l.w.told(l.key(f.seq)) {
		l.say(f, l.event(f, status.Held, failure.LedgerUnusable, why.Error()))
		if err := l.flush(f); err != nil {
			return err
		}
		l.w.tell(l.key(f.seq), true)
	}
	o, err := l.awaitOrder()
	if err == nil {
		err = l.keepAside(state)
	}
	if err != nil {
		return err
	}
	l.w.tell(l.key(f.seq), false)
	if o.Do == Release {
		l.say(f, l.event(f, status.Released, failure.LedgerUnusable, "released by "+o.By))
	}
	if f.overlaps() {
		l.ledger.Doubt = f.route.Window - 1 // they may have been posted too
	}
	bad := &failure.Failure{Verdict: failure.Unknown, Reason: failure.LedgerUnusable, Op: "read ledger", Detail: why.Error(), Err: why}
	if f.bad != nil || o.Do == Skip {
		bad.Verdict = failure.Reject
		if err := l.move(f, bad); err != nil {
			return err
		}
		return errRelease
	}
	l.attempt(f)
	if _, err := l.unknown(f, bad); err != nil {
		return err
	}
	return errRelease // the rest is in the ledger, and needs a slot
}

// AsideSession names the session whose state keeps the unreadable bytes of another one.
func AsideSession(session string) string { return ControlSession(session) + "-aside" }

func (l *lane) keepAside(state []byte) error {
	ctx, cancel := context.WithTimeout(l.held, 10*time.Second)
	defer cancel()
	s, err := l.src.Acceptor.AcceptByID(ctx, AsideSession(l.s.ID()))
	if err != nil {
		return fmt.Errorf("keep unreadable session state aside: %w", err)
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // its lock runs out by itself
	if err := s.SetState(ctx, state); err != nil {
		return fmt.Errorf("keep unreadable session state aside: %w", err)
	}
	l.log.WarnContext(ctx, "unreadable session state kept aside as the state of another session", "aside", s.ID(), "bytes", len(state))
	return nil
}
