package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fnobridge/internal/redact"
)

// finish counts the head of a plan, writes its audit line and goes on to the next.
func (r *run) finish(p *plan, it *item, outcome string, cause error) error {
	rec := r.record(p, it, outcome, cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	if it.active {
		r.report.Requeued++
	} else {
		r.count(outcome)
	}
	if p.head() == it {
		p.next++
	}
	if r.o.Audit != nil {
		if err := r.o.Audit(rec); err != nil {
			return fmt.Errorf("write audit trail: %w", err)
		}
	}
	if r.o.Progress != nil && !it.active {
		r.o.Progress(r.settled(), r.report.Selected)
	}
	return nil
}

func (r *run) settled() int {
	p := r.report
	return p.Done + p.Already + p.Gone + p.Locked + p.Blocked + p.Failed + p.Doubt
}

func (r *run) count(outcome string) {
	switch outcome {
	case OutcomeDone:
		r.report.Done++
	case OutcomeAlready:
		r.report.Already++
	case OutcomeGone:
		r.report.Gone++
	case OutcomeLocked:
		r.report.Locked++
	case OutcomeBlocked:
		r.report.Blocked++
	case OutcomeFailed:
		r.report.Failed++
	case OutcomeDoubt:
		r.report.Doubt++
	}
}

func (r *run) record(p *plan, it *item, outcome string, cause error) Record {
	rec := Record{
		Time: time.Now().UTC(), Action: ActionPurge, Outcome: outcome, By: r.o.By, Source: r.o.Entity.String(),
		SequenceNumber: it.seq, MessageID: it.id, Session: p.session, Reason: it.reason,
	}
	if it.key != it.seq {
		rec.Original = it.key
	}
	if r.target != nil {
		rec.Action, rec.Target, rec.CopyID, rec.Edited = ActionResubmit, r.to(), it.copyID, r.edit(it) != nil
		if it.active {
			rec.Action = ActionRequeue
		}
	}
	if cause != nil {
		rec.Error = redact.Text(cause.Error())
	}
	return rec
}

// wrapUp accounts for what was not finished and gives back what was locked.
func (r *run) wrapUp(plans []*plan, stopped bool, ended error) error {
	var errs []error
	for _, p := range plans {
		seen := map[*item]bool{}
		for i, it := range p.items[min(p.next, len(p.items)):] {
			outcome, cause := "", p.blocked
			again := seen[it]
			seen[it] = true
			switch {
			case it.active || again:
			case it.sent || it.tried:
				outcome = OutcomeDoubt
			case p.locked && i == 0:
				outcome = OutcomeLocked
			case p.blocked != nil:
				outcome = OutcomeBlocked
			default:
				r.report.Rest++
			}
			if outcome != "" {
				errs = append(errs, r.finish(p, it, outcome, cause))
			}
		}
	}
	r.report.Stopped = stopped
	if !errors.Is(ended, ErrUnreachable) { // else there is nobody to give back to: the locks end by themselves
		r.release()
	}
	return errors.Join(errs...)
}

// release returns back the messages that were passed over or not finished.
func (r *run) release() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	r.src.Stop(ctx)
	var g errgroup.Group
	g.SetLimit(16)
	for _, l := range r.locks {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if err := r.src.Abandon(ctx, l.token); errors.Is(err, ErrUnreachable) {
				cancel() // nor will the others be: their locks end by themselves
			}
			return nil
		})
	}
	_ = g.Wait() // no step returns an error
	clear(r.locks)
}
