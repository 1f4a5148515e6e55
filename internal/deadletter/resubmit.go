package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"golang.org/x/sync/errgroup"

	"fnobridge/internal/bus"
	"fnobridge/internal/redact"
)

// ErrUsage says that the options do not fit what was found.
var ErrUsage = errors.New("nothing was changed")

// sessionsAtOnce is how many session locks a run holds at the same time.
const sessionsAtOnce = 32

// Resubmit sends the selected dead letters back, in the order of their first life, one session after the other file by
// file: the copy first, the completion after it. A held or draining session is locked, its dead letters go before
// everything newer, and its mark is lifted when they are all there.
//
// It can be interrupted (ctx) at any point and repeated: a message is in the dead-letter queue until its copy was
// accepted, and a copy that is sent again has the same MessageID. The report says how every selected message ended; an
// error says why the run ended early.
func Resubmit(ctx context.Context, b Broker, o Options) (Report, error) {
	r := newRun(b, o)
	defer closeQuietly(r.src)
	r.target = b.Sender(r.to())
	defer closeQuietly(r.target)
	r.act = r.resend
	if err := r.checkTarget(ctx); err != nil {
		return Report{}, err
	}
	ix, err := makeIndex(ctx, r.src, o.Entity, o.Filter.Match, false)
	if err != nil {
		return Report{}, err
	}
	if err := r.checkEdits(ix); err != nil {
		return Report{Selected: ix.selected}, err
	}
	r.report = Report{Selected: ix.selected, Highest: ix.highest, DryRun: o.DryRun}

	plans, parked := ix.plans, []*plan(nil)
	if o.Ledger != nil && r.to() == o.Entity.Target() {
		plans, parked, err = r.classify(ctx, ix.plans)
		if err != nil {
			return r.report, err
		}
	}
	if o.DryRun {
		err = r.rehearse(ctx, plans, parked)
		return r.report, err
	}
	err = r.work(ctx, plans)
	worked := plans
	for chunk := range slices.Chunk(parked, sessionsAtOnce) {
		if err != nil || ctx.Err() != nil {
			worked = append(worked, chunk...)
			continue
		}
		if chunk, err = r.adopt(ctx, chunk); err == nil {
			err = r.work(ctx, chunk)
		}
		err = errors.Join(err, r.leave(chunk))
		worked = append(worked, chunk...)
	}
	err = errors.Join(err, r.wrapUp(worked, ctx.Err() != nil, err))
	return r.report, err
}

func (r *run) to() string {
	if r.o.To != "" {
		return r.o.To
	}
	return r.o.Entity.Target()
}

func (r *run) edit(it *item) []byte {
	if it.active {
		return nil
	}
	if r.o.Edit != nil {
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
	var src peeker = r.src
	var t bus.Token
	var rm *azservicebus.ReceivedMessage
	var err error
	if it.active {
		src = p.owned.session
		if rm, err = p.owned.receive(it); err != nil {
			p.blocked = fmt.Errorf("message %d of the session: %w", it.seq, err)
			return nil
		}
	} else {
		rm = r.fresh[it.seq]
		if t, err = r.secure(ctx, it); err != nil {
			return err
		}
	}
	if !it.sent {
		if rm == nil { // its turn came later than the message itself: fetch the body again
			page, err := src.Peek(ctx, it.seq, 1)
			if err != nil {
				return fmt.Errorf("read message %d: %w", it.seq, err)
			}
			if len(page) == 0 || seqOf(page[0]) != it.seq {
				r.forget(it)
				return r.finish(p, it, OutcomeGone, nil)
			}
			rm = page[0]
		}
		if p.owned != nil {
			if lock := p.owned.lease.Context(); lock.Err() != nil {
				p.blocked = fmt.Errorf("the session's lock: %w", context.Cause(lock))
				return nil
			}
		}
		copied := requeued(r.o.Entity, rm)
		if !it.active {
			copied = resubmission(r.o.Entity, rm, r.edit(it))
		}
		if r.o.To == "" && r.o.Takes != nil {
			if err := r.o.Takes(copied); errors.Is(err, ErrNotTaken) || err != nil && !r.o.Unchecked {
				return r.refused(p, it, err)
			}
		}
		it.tried = true
		if err := r.target.Send(ctx, copied); err != nil {
			return r.refused(p, it, err)
		}
		it.sent = true
	}
	if it.anchor {
		it.anchor = false
		p.next++
		return nil
	}
	if it.active {
		if err := p.owned.complete(ctx, it); err != nil {
			p.blocked = fmt.Errorf("message %d of the session: %w", it.seq, err)
			return nil
		}
	} else if err := r.complete(ctx, it, t); err != nil {
		return err
	}
	if it.already {
		return r.finish(p, it, OutcomeAlready, nil)
	}
	return r.finish(p, it, OutcomeDone, nil)
}

// refused sorts the failure of a send: one that is about this message stops its session, any other stops the run.
func (r *run) refused(p *plan, it *item, err error) error {
	about := func(known error) bool { return errors.Is(err, known) }
	if !slices.ContainsFunc([]error{azservicebus.ErrMessageTooLarge, bus.ErrNeedSession, ErrNotTaken, ErrCannotTell}, about) {
		return fmt.Errorf("send a copy of message %d to %s: %w", it.seq, r.to(), err)
	}
	it.tried = false // the broker said no
	p.blocked = fmt.Errorf("message %d was refused: %w", it.seq, err)
	if it.active {
		return nil
	}
	blocked := p.blocked
	p.blocked = nil
	ferr := r.finish(p, it, OutcomeFailed, err)
	p.blocked = fmt.Errorf("stands behind it: %w", blocked)
	return ferr
}

// classify tells the sessions that stand, or may, from the others.
func (r *run) classify(ctx context.Context, all []*plan) (plain, parked []*plan, err error) {
	stands := make([]bool, len(all))
	var g errgroup.Group
	g.SetLimit(r.o.Parallel)
	for i, p := range all {
		if p.session == nil {
			continue
		}
		g.Go(func() error {
			o, err := r.own(ctx, *p.session, 0)
			switch {
			case errors.Is(err, bus.ErrNoSessions):
				return nil
			case errors.Is(err, bus.ErrTaken):
				stands[i] = r.o.Ordered == nil || r.o.Ordered(*p.session, p.entity, p.company)
				return nil
			case err != nil:
				return err
			}
			defer o.close()
			mark, err := r.o.Ledger.Mark(o.state)
			stands[i] = mark != nil || err != nil
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, p := range all {
		if stands[i] {
			parked = append(parked, p)
		} else {
			plain = append(plain, p)
		}
	}
	return plain, parked, nil
}

// adopt locks the sessions and arranges their plans. The dead-letter queue is read again under the locks: what a lane
// drained in between belongs to the group.
func (r *run) adopt(ctx context.Context, plans []*plan) ([]*plan, error) {
	var err error
	for _, p := range plans {
		if p.owned, err = r.own(ctx, *p.session, r.o.Wait); err != nil {
			if errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
				return plans, err
			}
			p.blocked = err
		}
	}
	ours := map[string]bool{}
	for _, p := range plans {
		ours[*p.session] = true
	}
	ix, err := makeIndex(ctx, r.src, r.o.Entity, func(m Message) bool {
		return m.Session != nil && ours[*m.Session] && r.o.Filter.Match(m)
	}, false)
	if err != nil {
		return plans, err
	}
	now := map[string]*plan{}
	for _, p := range ix.plans {
		now[*p.session] = p
	}
	for i, p := range plans {
		q := now[*p.session]
		if q == nil {
			q = &plan{session: p.session}
		}
		q.owned, q.blocked = p.owned, p.blocked
		r.report.Selected += q.counted - p.counted
		plans[i] = q
		if q.owned != nil && q.blocked == nil {
			q.blocked = r.arrangeOwned(q)
		}
	}
	return plans, nil
}

// arrangeOwned turns the plan of a locked session into what has to be done to its queue.
func (r *run) arrangeOwned(p *plan) error {
	mark, err := r.o.Ledger.Mark(p.owned.state)
	if err != nil {
		return fmt.Errorf("the session's state: %w", err)
	}
	if mark == nil { // it went on meanwhile: an ordinary session
		p.owned.close()
		p.owned = nil
		return nil
	}
	if p.leftKey > mark.Seq {
		return fmt.Errorf("the session stands (%s, %s) and later dead letters of it are not selected: its group goes back as a whole", mark.Mode, mark.Reason)
	}
	if len(mark.Busy) > 0 {
		return fmt.Errorf("the session stands (%s) and F&O still works on its file %d: wait until that has ended", mark.Mode, mark.Busy[0])
	}
	queue, err := p.owned.queue(r.o.Entity)
	if err != nil {
		return fmt.Errorf("look into the session: %w", err)
	}
	p.items = anchored(arrange(queue, p.items))
	return nil
}

// leave lifts the marks of the sessions that are in order again and gives all locks back.
func (r *run) leave(plans []*plan) error {
	var errs []error
	for _, p := range plans {
		if p.owned == nil {
			continue
		}
		if p.blocked == nil && p.next == len(p.items) {
			rec := Record{Time: time.Now().UTC(), Action: ActionLift, Outcome: OutcomeDone, By: r.o.By, Source: r.o.Entity.String(), Session: p.session}
			if err := p.owned.lift(r.o.Ledger); err != nil {
				rec.Outcome, rec.Error = OutcomeFailed, redact.Text(err.Error())
				errs = append(errs, fmt.Errorf("session %q is in order again, but still stands: %w", *p.session, err))
			} else {
				r.report.Lifted++
			}
			if r.o.Audit != nil {
				errs = append(errs, r.o.Audit(rec))
			}
		}
		p.owned.close()
		p.owned = nil
	}
	return errors.Join(errs...)
}

// rehearse writes what would be done. Sessions that stand are locked for the moment it takes to look into them.
func (r *run) rehearse(ctx context.Context, plans, parked []*plan) error {
	all := plans
	for chunk := range slices.Chunk(parked, sessionsAtOnce) {
		chunk, err := r.adopt(ctx, chunk)
		for _, p := range chunk {
			if p.owned != nil {
				p.owned.close()
			}
		}
		if err != nil {
			return err
		}
		all = append(all, chunk...)
	}
	for _, p := range all {
		for i, it := range p.items {
			if slices.Contains(p.items[:i], it) && it.anchor {
				continue // its completion, which is one with its copy
			}
			outcome := OutcomeWould
			if p.blocked != nil && !it.active {
				outcome = OutcomeBlocked
				r.report.Blocked++
			}
			if it.active {
				r.report.Requeued++
			}
			if r.o.Audit != nil {
				if err := r.o.Audit(r.record(p, it, outcome, p.blocked)); err != nil {
					return fmt.Errorf("write audit trail: %w", err)
				}
			}
		}
	}
	return nil
}
