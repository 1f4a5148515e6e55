package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fnobridge/internal/bus"
	"fnobridge/internal/redact"
)

// sessionsAtOnce is how many session locks a run owns at the same time.
const sessionsAtOnce = 32

// sortOut tells the sessions that are parked, held or draining, or may be, from those that are free.
func (r *run) sortOut(ctx context.Context, all []*plan) (free, parked []*plan, err error) {
	isParked := make([]bool, len(all))
	var g errgroup.Group
	g.SetLimit(r.o.Parallel)
	for i, p := range all {
		if p.session == nil {
			continue
		}
		g.Go(func() (err error) {
			isParked[i], err = r.mayBeParked(ctx, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, p := range all {
		if isParked[i] {
			parked = append(parked, p)
		} else {
			free = append(free, p)
		}
	}
	return free, parked, nil
}

func (r *run) mayBeParked(ctx context.Context, p *plan) (bool, error) {
	o, err := r.own(ctx, *p.session, 0)
	switch {
	case errors.Is(err, bus.ErrNoSessions):
		return false, nil
	case errors.Is(err, bus.ErrTaken):
		return r.o.MayBeParked == nil || r.o.MayBeParked(*p.session, p.entity, p.company), nil
	case err != nil:
		return false, err
	}
	defer o.close()
	return o.unreadable != nil || o.ledger.Park != nil, nil
}

// workParked puts sessions in order that are parked, and lifts their holds and drains.
func (r *run) workParked(ctx context.Context, plans []*plan) error {
	defer disown(plans)
	if err := r.arrangeAll(ctx, plans); err != nil {
		return err
	}
	errs := []error{r.work(ctx, plans)}
	for _, p := range plans {
		if p.owned != nil && p.blocked == nil && p.done() {
			errs = append(errs, r.lift(p))
		}
	}
	return errors.Join(errs...)
}

// rehearseParked writes what would be done. The sessions are locked for the moment that it takes to look into them.
func (r *run) rehearseParked(ctx context.Context, plans []*plan) error {
	defer disown(plans)
	if err := r.arrangeAll(ctx, plans); err != nil {
		return err
	}
	return r.rehearse(plans)
}

// disown gives the locks of sessions back.
func disown(plans []*plan) {
	for _, p := range plans {
		if p.owned != nil {
			p.owned.close()
			p.owned = nil
		}
	}
}

// arrangeAll locks the sessions and arranges their plans. The dead-letter queue is read again under the locks, once for
// all of them: what a lane drained in between belongs to the group, and its numbers may be anywhere in the queue.
func (r *run) arrangeAll(ctx context.Context, plans []*plan) (err error) {
	ours := map[string]*plan{}
	for _, p := range plans {
		ours[*p.session] = p
		if p.owned, err = r.own(ctx, *p.session, r.o.Wait); err != nil {
			if errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
				return err
			}
			p.blocked = err
		}
	}
	ix, err := makeIndex(ctx, r.queue, r.o.Source, r.o.to(), func(m Message) bool {
		return m.Session != nil && ours[*m.Session] != nil && r.o.Filter.Match(m) && !r.o.LeavesOut(m)
	})
	if err != nil {
		return err
	}
	now := map[string]*plan{}
	for _, q := range ix.plans {
		now[*q.session] = q
	}
	for _, p := range plans {
		q := now[*p.session]
		if q == nil { // all of it is gone
			q = &plan{}
		}
		r.report.Selected += len(q.items) - len(p.items)
		p.items, p.left = q.items, q.left
		if p.blocked == nil {
			p.blocked = r.arrange(p)
		}
	}
	return nil
}

// arrange turns the plan of a session whose lock the run owns into what has to be done to its queue.
func (r *run) arrange(p *plan) error {
	if p.owned.unreadable != nil {
		return fmt.Errorf("the session's state: %w", p.owned.unreadable)
	}
	park := p.owned.ledger.Park
	if park == nil { // it went on meanwhile: an ordinary session
		p.owned.close()
		p.owned = nil
		return nil
	}
	parked := fmt.Sprintf("the session is parked (%s, %s)", park.Mode, park.Reason)
	if busy := p.owned.ledger.Busy(); len(busy) > 0 {
		return fmt.Errorf("%s and F&O still works on its file %d: wait until that has ended", parked, busy[0])
	}
	queue, err := p.owned.queue(r.o.Source)
	if err != nil {
		return fmt.Errorf("look into the session: %w", err)
	}
	if seq := p.torn(park, queue); seq > 0 {
		return fmt.Errorf("%s and dead letter %d, which comes behind, is not selected: its group goes back as a whole",
			parked, seq)
	}
	if len(p.items) > 0 {
		p.last = p.items[len(p.items)-1]
	}
	p.items = arrange(queue, p.items)
	return nil
}

// lift ends the hold or drain of a session that is in order again.
func (r *run) lift(p *plan) error {
	rec := Record{
		Time: time.Now().UTC(), Action: ActionLift, Outcome: OutcomeDone, By: r.o.By, Source: r.o.Source.String(),
		Session: p.session,
	}
	err := p.owned.lift()
	if err != nil {
		rec.Outcome, rec.Error = OutcomeFailed, redact.Text(err.Error())
		err = fmt.Errorf("session %q is in order again, but still parked: %w", *p.session, err)
	} else {
		r.report.Lifted++
	}
	return errors.Join(err, r.audit(rec))
}
