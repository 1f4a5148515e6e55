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
// so any replica that gets the session holds it too. Files of a window may fail in any order: the session is held at
// the first of them, the others get their turn after it.
func (l *lane) hold(f *file, bad *failure.Failure) error {
	if err := l.flush(f); err != nil {
		return err
	}
	f.intended = false
	f.entry.Phase, f.entry.Reason, f.entry.By, f.entry.After = Waiting, bad.Reason, "", 0
	f.entry.Note = cutDetail(bad.Detail)
	p := l.ledger.Park
	if p != nil && p.Mode == Holding && p.Seq < f.seq {
		f.entry.Phase = HeldBack
	} else {
		if p != nil && p.Mode == Holding && p.Seq > f.seq {
			if e := l.ledger.find(p.Seq); e != nil {
				e.Phase = HeldBack
			}
			if l.kept != nil {
				l.aside, l.kept = append(l.aside, l.kept), nil
			}
		}
		l.ledger.Park = &Park{Mode: Holding, Seq: f.seq, Reason: bad.Reason, Detail: f.entry.Note, Since: time.Now()}
	}
	l.ledger.put(f.entry)
	l.retract()
	if err := l.store(); err != nil {
		return err
	}
	l.w.flights.recorded(l.key(f.seq))
	l.log.ErrorContext(f.ctx, "session held at a file; an operator decides (bridge sessions release|skip)", "sequence", f.seq,
		"message", f.key, "entity", f.entity, "reason", bad.Reason, "error", bad)
	l.w.o.Telemetry.FileEnded(f.ctx, f.route.Name, telemetry.Held, time.Time{})
	l.away(f)
	l.cur = nil
	if f.entry.Phase == HeldBack {
		l.aside = append(l.aside, f)
	} else {
		l.kept = f
	}
	return l.sayHeld(f, bad.Reason, bad.Detail)
}

// later writes down a failed attempt of a file behind the one at which the session is held. It is made again when the
// session goes on.
func (l *lane) later(f *file, bad *failure.Failure) error {
	l.say(f, l.event(f, status.Retrying, bad.Reason, "posted again after the held file before it"))
	if err := l.flush(f); err != nil {
		return err
	}
	f.entry.Phase, f.entry.Reason, f.entry.FnoID, f.entry.ExecID = Waiting, bad.Reason, "", ""
	f.entry.Published, f.entry.Accepted = "", time.Time{}
	l.ledger.put(f.entry)
	l.cur = nil
	l.aside = append(l.aside, f)
	return l.store()
}

// sayHeld tells the world that a session is held at a file, unless that was told before.
func (l *lane) sayHeld(f *file, reason failure.Reason, detail string) error {
	if f.entry.Published == status.Held {
		return nil
	}
	l.say(f, l.event(f, status.Held, reason, detail))
	if err := l.flush(f); err != nil {
		return err
	}
	l.ledger.put(f.entry) // with Published; stored with the next write
	l.dirty = true
	return nil
}

// sayReleased tells the world that an operator let a held file go on, before anything is done with it.
func (l *lane) sayReleased(f *file) error {
	if f.entry.Phase != Waiting || f.entry.Published != status.Held {
		return nil
	}
	l.say(f, l.event(f, status.Released, f.entry.Reason, f.entry.Note))
	if err := l.flush(f); err != nil {
		return err
	}
	f.entry.Note = ""
	l.ledger.put(f.entry)
	l.dirty = true
	return nil
}

// parked waits at a held file for an operator's order. It keeps the session's lock, because a session that is given
// back is handed out again at once, and gives back its slot, so that held sessions do not keep others from work. The
// order is written down; whoever gets the session next, with a slot, carries it out.
func (l *lane) parked() error {
	p := l.ledger.Park
	if l.kept == nil {
		f, err := l.take(l.w.o.Idle)
		switch {
		case err != nil:
			return err
		case f == nil:
			return errRelease // nothing in the queue: nothing to hold back
		case f.seq != p.Seq: // an earlier file of the window, or the held one was dealt with otherwise
			return l.begin(f)
		}
		l.kept = f
		if e := l.ledger.find(f.seq); e != nil {
			f.entry = *e
		}
	}
	f := l.kept
	if err := l.sayHeld(f, p.Reason, p.Detail); err != nil {
		return err
	}
	l.yield()
	l.show(func(v *SessionView) { v.Parked, v.Reason = p.Mode, p.Reason })
	o, err := l.awaitOrder()
	if err != nil {
		return err
	}
	l.log.InfoContext(f.ctx, "held session goes on", "order", o.Do, "by", o.By, "sequence", f.seq)
	l.ledger.Park = nil // stored together with what the order means for the file, and not without it
	if o.Do == Skip {
		err := l.move(f, &failure.Failure{
			Verdict: failure.Reject, Reason: failure.OperatorSkipped, Op: "hold",
			Detail: fmt.Sprintf("held for %s (%s) and then skipped by %s", p.Reason, p.Detail, o.By),
		})
		if err != nil {
			return err
		}
		return errRelease
	}
	f.entry.Phase, f.entry.Note = Waiting, "released by "+o.By
	f.entry.Attempts = max(f.entry.Attempts, 1) // what failed before counts as a try, so that the next one is told apart
	f.entry.Base, f.entry.First, f.entry.Last, f.entry.Off = f.entry.Attempts, time.Time{}, time.Time{}, 0
	l.ledger.put(f.entry)
	if err := l.store(); err != nil {
		return err
	}
	return errRelease
}

// undrained dead-letters a file that stands behind a failed one of a draining session (onFailure: drain); on reports
// that there is nothing to drain. An operator's order ends it; it is looked for with every file, so that what is sent
// after the order is not drained any more.
func (l *lane) undrained(f *file) (on bool, _ error) {
	p := l.ledger.Park
	if p == nil || p.Mode != Draining || f.seq < p.Seq {
		return true, nil
	}
	o, ok, err := l.readOrder()
	switch {
	case err != nil:
		l.log.WarnContext(l.held, "order for a draining session not read", "error", err)
	case ok:
		l.log.InfoContext(f.ctx, "draining session goes on", "order", o.Do, "by", o.By, "sequence", f.seq)
		l.ledger.Park = nil
		return true, l.store()
	}
	bad := &failure.Failure{
		Verdict: failure.Reject, Reason: failure.Drained, Op: "drain session",
		Detail: fmt.Sprintf("file %d of this session failed for %s at %s; the rest of the session is dead-lettered behind it, in order, until an operator releases it",
			p.Seq, p.Reason, p.Since.UTC().Format(time.RFC3339)),
	}
	if f.seq == p.Seq { // a crash came between the mark and the move
		bad.Reason, bad.Detail = p.Reason, p.Detail
	}
	return false, l.move(f, bad)
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
		if !wait(l.waiting, l.w.o.ParkCheck) {
			return Order{}, l.stopped()
		}
	}
}

// orderSlack is how much the operator's clock may be behind the worker's. An older order was meant for an earlier hold.
const orderSlack = time.Minute

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
	if p := l.ledger.Park; p != nil && o.At.Before(p.Since.Add(-orderSlack)) {
		l.log.WarnContext(ctx, "an order from before the session was held is thrown away", "order", o.Do, "by", o.By, "given", o.At, "held", p.Since)
		return Order{}, false, s.SetState(ctx, nil)
	}
	return o, true, s.SetState(ctx, nil)
}
