package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
)

// ErrUsage says that the options do not fit what was found.
var ErrUsage = errors.New("nothing was changed")

// Resubmit sends the selected dead letters back, in the order of their first life, one session after the other file by
// file: the copy first, the completion after it. A held or draining session is locked, its dead letters go before
// everything newer, and the hold or drain is lifted when they are all there.
//
// It can be interrupted (ctx) at any point and repeated: a message is in the dead-letter queue until its copy was
// accepted, and a copy that is sent again has the same MessageID. The report says how every selected message ended; an
// error says why the run ended early.
func Resubmit(ctx context.Context, b Broker, o Options) (Report, error) {
	r := newRun(b, o)
	defer closeQuietly(r.queue)
	r.target = b.Sender(o.to())
	defer closeQuietly(r.target)
	r.act = r.resend
	if err := r.checkTarget(ctx); err != nil {
		return Report{}, err
	}
	ix, err := r.index(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := r.checkEdits(ix); err != nil {
		return Report{Selected: ix.selected}, err
	}

	free, parked := ix.plans, []*plan(nil)
	if o.to() == o.Source.Target() {
		if free, parked, err = r.sortOut(ctx, ix.plans); err != nil {
			return r.report, err
		}
	}
	if o.DryRun {
		err = r.rehearse(free)
		for chunk := range slices.Chunk(parked, sessionsAtOnce) {
			if err == nil {
				err = r.rehearseParked(ctx, chunk)
			}
		}
		return r.report, err
	}
	err = r.work(ctx, free)
	for chunk := range slices.Chunk(parked, sessionsAtOnce) {
		if err == nil && ctx.Err() == nil {
			err = r.workParked(ctx, chunk)
		}
	}
	return r.conclude(ctx, slices.Concat(free, parked), err)
}

// edit returns the payload that replaces the one of the message, nil for none.
func (r *run) edit(it *item) []byte {
	switch {
	case it.place == waiting:
		return nil
	case r.o.Edit != nil:
		return r.o.Edit
	}
	return r.o.Edits[it.seq]
}

// checkEdits refuses an edit that would go to no message or to several.
func (r *run) checkEdits(ix *index) error {
	if r.o.Edit != nil && ix.selected != 1 {
		return fmt.Errorf("%w: an edited payload is for one message, but %d are selected", ErrUsage, ix.selected)
	}
	found := map[int64]bool{}
	for _, p := range ix.plans {
		for _, it := range p.items {
			found[it.seq] = true
		}
	}
	for seq := range r.o.Edits {
		if !found[seq] {
			return fmt.Errorf("%w: the message to edit, %d, is not among the selected ones", ErrUsage, seq)
		}
	}
	return nil
}

// resend is the step of a resubmit: send the copy, then complete. A crash before the send changes nothing; between the
// two it leaves the dead letter and a copy, and the next run sends the same ID again; after the completion all is done.
func (r *run) resend(ctx context.Context, p *plan, it *item) error {
	if it.place == waiting {
		return r.requeue(ctx, p, it)
	}
	t, err := r.locks.secure(ctx, it.seq)
	if err != nil {
		return err
	}
	if err := r.send(ctx, p, it, r.queue, r.fresh[it.seq]); err != nil || !it.hasCopy() || p.postponed(it) {
		return err
	}
	if err := r.locks.complete(ctx, it.seq, t); err != nil {
		return err
	}
	return r.finish(p, it, it.completed(), nil)
}

// requeue is the same step for a message that waits in the session itself. What fails there blocks its plan only.
func (r *run) requeue(ctx context.Context, p *plan, it *item) error {
	rm, err := p.owned.receive(it)
	if err == nil {
		if err := r.send(ctx, p, it, p.owned.session, rm); err != nil || !it.hasCopy() {
			return err
		}
		err = p.owned.complete(ctx, it)
	}
	if err != nil {
		p.blocked = fmt.Errorf("message %d of the session: %w", it.seq, err)
		return nil
	}
	return r.finish(p, it, it.completed(), nil)
}

// send sends the copy of an item, unless it was sent before. rm is its message; nil when its turn came later than the
// message itself, and the body has to be read again. Without a copy the item is over, or its plan is blocked.
func (r *run) send(ctx context.Context, p *plan, it *item, from peeker, rm *azservicebus.ReceivedMessage) error {
	if it.hasCopy() {
		return nil
	}
	if rm == nil {
		var err error
		if rm, err = fetch(ctx, from, it); err != nil {
			return err
		}
		if rm == nil {
			r.locks.forget(it.seq)
			return r.finish(p, it, OutcomeGone, nil)
		}
	}
	if p.owned != nil {
		if lock := p.owned.lease.Context(); lock.Err() != nil {
			p.blocked = fmt.Errorf("the session's lock: %w", context.Cause(lock))
			return nil
		}
	}
	c := copyOf(r.o.Source, it, rm)
	if it.place != waiting {
		c = resubmission(r.o.Source, it, rm, r.edit(it))
	}
	it.begun()
	if r.o.To == "" && r.o.Takes != nil {
		if err := r.o.Takes(c); errors.Is(err, ErrNotTaken) || err != nil && !r.o.Unchecked {
			return r.refused(p, it, err)
		}
	}
	if err := r.target.Send(ctx, c); err != nil {
		return r.refused(p, it, err)
	}
	it.taken()
	return nil
}

// refusals are the failures of a send that are about the message: they block its plan. Any other ends the run.
var refusals = []error{azservicebus.ErrMessageTooLarge, bus.ErrNeedSession, ErrNotTaken, ErrCannotTell}

// refused sorts the failure of a send.
func (r *run) refused(p *plan, it *item, err error) error {
	if !slices.ContainsFunc(refusals, func(known error) bool { return errors.Is(err, known) }) {
		return fmt.Errorf("send a copy of message %d to %s: %w", it.seq, r.o.to(), err)
	}
	it.refused()
	p.blocked = fmt.Errorf("it comes behind message %d, which was refused: %w", it.seq, err)
	if it.place == waiting {
		return nil
	}
	return r.finish(p, it, OutcomeFailed, err)
}
