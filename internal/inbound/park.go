package inbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// hold stops the session at a file (onFailure: hold). The file stays in its queue, first in line; the ledger says why,
// so any replica that gets the session holds it too.
func (l *lane) hold(f *file, bad *failure.Failure) error {
	if err := l.flush(f); err != nil {
		return err
	}
	l.ledger.Park = &Park{Mode: Holding, Seq: f.seq, Reason: bad.Reason, Detail: cutDetail(bad.Detail), Since: time.Now()}
	f.intended = false
	f.entry.Phase, f.entry.Reason, f.entry.By, f.entry.After = Waiting, bad.Reason, "", 0
	l.ledger.put(f.entry)
	if a := l.ahead; a != nil && a.intended {
		l.ledger.drop(a.seq)
		a.intended, a.entry = false, Entry{Seq: a.seq, Key: a.key}
	}
	if err := l.store(); err != nil {
		return err
	}
	l.w.flights.recorded(l.key(f.seq))
	l.log.ErrorContext(f.ctx, "session held at a file; an operator decides (bridge sessions release|skip)", "sequence", f.seq,
		"message", f.key, "entity", f.entity, "reason", bad.Reason, "error", bad)
	l.w.o.Telemetry.FileEnded(f.ctx, f.route.Name, telemetry.Held, time.Time{})
	l.cur = f
	l.say(f, l.event(f, status.Held, bad.Reason, bad.Detail))
	return l.flush(f)
}

// parked waits at a held file for an operator's order. It keeps the session's lock, because a session that is given
// back is handed out again at once, and gives back its slot, so that held sessions do not keep others from work.
func (l *lane) parked() error {
	p := l.ledger.Park
	if l.cur == nil {
		f, err := l.take(l.w.o.Idle)
		if err != nil {
			return err
		}
		if f == nil {
			return errRelease // nothing in the queue: nothing to hold back
		}
		if f.seq != p.Seq { // the held file was dealt with otherwise
			l.passed(f.seq)
			return l.begin(f)
		}
		l.cur = f
		if e := l.ledger.find(f.seq); e != nil {
			f.entry = *e
		}
	}
	l.yield()
	f := l.cur
	l.show(func(v *SessionView) { v.Parked, v.Reason = p.Mode, p.Reason })
	o, err := l.awaitOrder()
	if err != nil {
		return err
	}
	l.ledger.Park = nil
	l.log.InfoContext(f.ctx, "held session goes on", "order", o.Do, "by", o.By, "sequence", f.seq)
	if o.Do == Skip {
		return l.move(f, &failure.Failure{
			Verdict: failure.Reject, Reason: failure.OperatorSkipped, Op: "hold",
			Detail: fmt.Sprintf("held for %s (%s) and then skipped by %s", p.Reason, p.Detail, o.By),
		})
	}
	f.entry.Base, f.entry.First, f.entry.Last, f.entry.Reason = f.entry.Attempts, time.Time{}, time.Time{}, ""
	l.ledger.put(f.entry)
	if err := l.store(); err != nil {
		return err
	}
	l.say(f, l.event(f, status.Released, p.Reason, "released by "+o.By))
	if err := l.flush(f); err != nil {
		return err
	}
	if _, err := l.w.resolve(l.src.Name, f.msg); err != nil { // the message itself is wrong: trying again cannot help
		return l.giveUp(f, failure.Of(err))
	}
	f.bad = nil
	return l.post(f)
}

// awaitOrder looks for an operator's order at the parked session's slow cadence.
func (l *lane) awaitOrder() (Order, error) {
	for {
		o, ok, err := l.readOrder()
		switch {
		case err != nil:
			l.log.WarnContext(l.held, "order for a held session not read", "error", err)
		case ok:
			return o, nil
		}
		if time.Since(l.began) > l.w.o.Refresh {
			return Order{}, errAgain
		}
		if !wait(l.waiting, l.w.o.ParkCheck) {
			return Order{}, l.stopped()
		}
	}
}

// readOrder takes the order from the control session, if there is one. It is cleared before it is carried out: an order
// lost to a crash leaves the session held, where it can be seen and given again; one carried out twice could skip
// another file.
func (l *lane) readOrder() (Order, bool, error) {
	ctx, cancel := context.WithTimeout(l.held, 5*time.Second)
	defer cancel()
	s, err := l.src.Acceptor.AcceptByID(ctx, ControlSession(l.s.ID()))
	if errors.Is(err, bus.ErrTaken) {
		return Order{}, false, nil // somebody is writing it
	}
	if err != nil {
		return Order{}, false, err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // its lock runs out by itself
	state, err := s.State(ctx)
	if err != nil {
		return Order{}, false, err
	}
	o, ok, err := DecodeOrder(state)
	if err != nil || !ok {
		return Order{}, false, err
	}
	return o, true, s.SetState(ctx, nil)
}

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
	l.say(f, l.event(f, status.Held, failure.LedgerUnusable, why.Error()))
	if err := l.flush(f); err != nil {
		return err
	}
	o, err := l.awaitOrder()
	if err == nil {
		err = l.keepAside(state)
	}
	if err != nil {
		return err
	}
	bad := &failure.Failure{Verdict: failure.Unknown, Reason: failure.LedgerUnusable, Op: "read ledger", Detail: why.Error(), Err: why}
	if f.bad != nil || o.Do == Skip {
		bad.Verdict = failure.Reject
		return l.move(f, bad)
	}
	l.attempt(f)
	again, err := l.unknown(f, bad)
	if err != nil || !again {
		return err
	}
	return l.post(f)
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
	return nil
}
