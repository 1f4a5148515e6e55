package inbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// hold stops the session at a file (onFailure: hold). The file stays in its queue, first in line; the ledger says why,
// so any replica that gets the session stops at it too.
func (l *lane) hold(f *fileImport, bad *failure.Failure) (next, error) {
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	l.ledger.Hold(f.entry, bad.Reason, bad.Detail, time.Now())
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	l.log.ErrorContext(f.ctx, "session held at a file; an operator decides (bridge sessions release|skip)", "sequence", f.msg.seq,
		"message", f.msg.Key, "entity", f.msg.Entity, "reason", bad.Reason, "error", bad)
	if f.route != nil {
		l.tel.FileEnded(f.ctx, f.route.Name, telemetry.Held, time.Time{})
	}
	f.due = time.Time{}
	return goOn, l.sayHeld(f)
}

// sayHeld tells the world that a file is held, unless that was told before.
func (l *lane) sayHeld(f *fileImport) error {
	if f.entry.Published == status.Held {
		return nil
	}
	l.events.say(f, status.Held, f.entry.Reason, f.entry.Note)
	return l.events.flush(f)
}

// sayReleased tells the world that an operator let a held file go on, before anything is done with it.
func (l *lane) sayReleased(f *fileImport) (next, error) {
	l.events.say(f, status.Released, f.entry.Reason, f.entry.Note)
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	f.entry.Note = ""
	return goOn, nil
}

// awaitOrder looks once for the order of an operator about the file at which the session stands. The lane keeps the
// session's lock, because a session that is given back is handed out again at once, and rests, so that held sessions do
// not keep others from work. The order is written down; what it asks for needs a slot, so the next owner of
// the session carries it out.
func (l *lane) awaitOrder(f *fileImport) (next, error) {
	if !l.ledger.Holds() { // it was given up behind another held file, and now it is the first
		l.ledger.Hold(f.entry, f.entry.Reason, f.entry.Note, time.Now())
		if err := l.store(f.ctx); err != nil {
			return goOn, err
		}
	}
	if err := l.sayHeld(f); err != nil {
		return goOn, err
	}
	l.access.slot.Rest()
	l.show("", time.Time{})
	o, ok := l.orders.next(l.ledger.Park)
	if !ok && l.turnIsOver() {
		return release, nil // held sessions of which there are too many take turns, too
	}
	if !ok {
		f.due = time.Now().Add(l.orders.pause(l.w.o.ParkCheck))
		return goOn, nil
	}
	l.log.InfoContext(f.ctx, "held session goes on", "order", o.Do, "by", o.By, "sequence", f.msg.seq)
	park := *l.ledger.Park
	l.ledger.Park = nil // stored together with what the order means for the file, and not without it
	if o.Do == ledger.Release {
		f.entry.Released(o.By)
		return release, l.store(f.ctx)
	}
	return l.skip(f, &failure.Failure{
		Verdict: failure.Reject, Reason: failure.OperatorSkipped, Op: "hold",
		Detail: fmt.Sprintf("held for %s (%s) and then skipped by %s", park.Reason, park.Detail, o.By),
	})
}

// skip dead-letters a file for an operator, and gives the session back.
func (l *lane) skip(f *fileImport, bad *failure.Failure) (next, error) {
	if _, err := l.giveUpForGood(f, bad); err != nil {
		return goOn, err
	}
	_, err := l.deadLetter(f)
	return release, err
}

// drain dead-letters a file that stands behind a failed one of a draining session (onFailure: drain). An operator's
// order ends it; it is looked for with every file, so that what is sent after the order is not drained any more.
func (l *lane) drain(f *fileImport) (next, error) {
	p := l.ledger.Park
	if o, ok := l.orders.next(l.ledger.Park); ok {
		l.log.InfoContext(f.ctx, "draining session goes on", "order", o.Do, "by", o.By, "sequence", f.msg.seq)
		l.ledger.Park = nil
		return goOn, l.store(f.ctx)
	}
	bad := &failure.Failure{
		Verdict: failure.Reject, Reason: failure.Drained, Op: "drain session",
		Detail: fmt.Sprintf("file %d of this session failed for %s at %s; the rest of the session is dead-lettered behind it, in order, until an operator releases it",
			p.Seq, p.Reason, p.Since.UTC().Format(time.RFC3339)),
	}
	if f.msg.seq == p.Seq { // a crash came between the mark and the move
		bad.Reason, bad.Detail = p.Reason, p.Detail
	}
	return l.giveUpForGood(f, bad)
}

// orders is where a lane finds what an operator wants of its parked session.
type orders struct {
	*ownedSession
	looks int // in vain
}

// pause returns how long to wait before the next look: longer each time, up to twelve times the first, because each look
// accepts a session, and a thousand sessions may be held at once.
func (o *orders) pause(first time.Duration) time.Duration {
	o.looks++
	return retry.Doubling{First: first, Max: 12 * first}.After(o.looks)
}

// orderSlack is how much the operator's clock may be behind the worker's. An older order was meant for an earlier hold.
const orderSlack = time.Minute

// controlTimeout bounds what is done with a control session. Accepting it alone takes twenty round trips.
const controlTimeout = 30 * time.Second

// next takes the order of an operator for a session that is parked like this, if there is one that can be read.
func (o *orders) next(park *ledger.Park) (ledger.Order, bool) {
	order, ok, err := o.read(park)
	if err != nil {
		o.log.WarnContext(o.owned, "order for a parked session not read", "error", err)
	}
	return order, ok && err == nil
}

// read takes the order from the control session, if there is one. It is cleared before it is carried out: an order
// lost to a crash leaves the session parked, where it can be seen and given again; one carried out twice could skip
// another file.
func (o *orders) read(park *ledger.Park) (ledger.Order, bool, error) {
	ctx, cancel := context.WithTimeout(o.owned, controlTimeout)
	defer cancel()
	s, err := o.src.Acceptor.AcceptByID(ctx, ledger.ControlSession(o.ID()))
	if errors.Is(err, bus.ErrTaken) {
		return ledger.Order{}, false, nil // somebody is writing it
	}
	if err != nil {
		return ledger.Order{}, false, err
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // its lock runs out by itself
	state, err := s.State(ctx)
	if err != nil {
		return ledger.Order{}, false, err
	}
	order, ok, err := ledger.DecodeOrder(state)
	if err != nil || !ok {
		return ledger.Order{}, false, err
	}
	if park != nil && order.At.Before(park.Since.Add(-orderSlack)) {
		o.log.WarnContext(ctx, "an order from before the session was parked is thrown away",
			"order", order.Do, "by", order.By, "given", order.At, "parked", park.Since)
		return ledger.Order{}, false, s.SetState(ctx, nil)
	}
	return order, true, s.SetState(ctx, nil)
}

// keepAside keeps the bytes of an unreadable ledger as the state of another session, for people.
func (o *orders) keepAside(state []byte) error {
	ctx, cancel := context.WithTimeout(o.owned, controlTimeout)
	defer cancel()
	s, err := o.src.Acceptor.AcceptByID(ctx, ledger.AsideSession(o.ID()))
	if err != nil {
		return fmt.Errorf("keep unreadable session state aside: %w", err)
	}
	defer func() { _ = s.Close(context.WithoutCancel(ctx)) }() // its lock runs out by itself
	if err := s.SetState(ctx, state); err != nil {
		return fmt.Errorf("keep unreadable session state aside: %w", err)
	}
	o.log.WarnContext(ctx, "unreadable session state kept aside as the state of another session", "aside", s.ID(), "bytes", len(state))
	return nil
}
