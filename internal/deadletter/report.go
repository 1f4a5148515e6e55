package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fnobridge/internal/redact"
)

// A Report sums up one run. Every selected message is counted in exactly one of the fields up to Doubt, or in Rest.
type Report struct {
	Selected int   `json:"selected"`
	Done     int   `json:"done"`
	Already  int   `json:"already,omitempty"`
	Gone     int   `json:"gone,omitempty"`
	Locked   int   `json:"locked,omitempty"`
	Blocked  int   `json:"blocked,omitempty"`
	Failed   int   `json:"failed,omitempty"`
	Doubt    int   `json:"inDoubt,omitempty"`
	Requeued int   `json:"requeued,omitempty"` // newer messages moved behind
	Lifted   int   `json:"lifted,omitempty"`   // sessions whose hold or drain ended
	LeftOut  int   `json:"leftOut,omitempty"`  // not selected, because somebody has to look first
	Highest  int64 `json:"highestSequenceNumber,omitempty"`
	DryRun   bool  `json:"dryRun,omitempty"`
	Stopped  bool  `json:"interrupted,omitempty"`
	Rest     int   `json:"notReached,omitempty"` // selected, not dealt with because the run was cut short
}

// Complete reports whether every selected message went where it should.
func (r Report) Complete() bool {
	return r.DryRun || r.Selected == r.Done+r.Already+r.Gone
}

// counter returns the field that counts an outcome.
func (r *Report) counter(outcome string) *int {
	return map[string]*int{
		OutcomeDone: &r.Done, OutcomeAlready: &r.Already, OutcomeGone: &r.Gone, OutcomeLocked: &r.Locked,
		OutcomeBlocked: &r.Blocked, OutcomeFailed: &r.Failed, OutcomeDoubt: &r.Doubt,
	}[outcome]
}

func (r *Report) ended() int {
	return r.Done + r.Already + r.Gone + r.Locked + r.Blocked + r.Failed + r.Doubt
}

// finish counts an item, writes its audit line and goes on to the next of its plan.
func (r *run) finish(p *plan, it *item, outcome string, cause error) error {
	it.ended()
	p.pass(it)
	rec := r.record(p, it, outcome, cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	if it.place == waiting {
		r.report.Requeued++
	} else {
		*r.report.counter(outcome)++
	}
	if err := r.audit(rec); err != nil {
		return err
	}
	if r.o.Progress != nil && it.place != waiting {
		r.o.Progress(r.report.ended(), r.report.Selected)
	}
	return it.wrong
}

func (r *run) audit(rec Record) error {
	if r.o.Audit == nil {
		return nil
	}
	if err := r.o.Audit(rec); err != nil {
		return fmt.Errorf("write audit trail: %w", err)
	}
	return nil
}

func (r *run) record(p *plan, it *item, outcome string, cause error) Record {
	rec := Record{
		Time: time.Now().UTC(), Action: ActionPurge, Outcome: outcome, By: r.o.By, Source: r.o.Source.String(),
		SequenceNumber: it.seq, MessageID: it.id, Session: p.session, Reason: it.reason,
	}
	if it.key != it.seq {
		rec.Original = it.key
	}
	if r.target != nil {
		rec.Action, rec.Target, rec.CopyID, rec.Edited = ActionResubmit, r.o.to(), it.copyID, r.edit(it) != nil
	}
	if it.place == waiting {
		rec.Action = ActionRequeue
	}
	if cause != nil {
		rec.Error = redact.Text(cause.Error())
	}
	return rec
}

// conclude accounts for what was not finished, gives back what was locked, and returns the report.
func (r *run) conclude(ctx context.Context, plans []*plan, ended error) (Report, error) {
	errs := []error{ended}
	for _, p := range plans {
		for i, it := range p.items[p.next:] {
			if it.place == waiting {
				continue
			}
			if outcome := unfinished(p, it, i == 0); outcome != "" {
				errs = append(errs, r.finish(p, it, outcome, p.blocked))
			} else {
				r.report.Rest++
			}
		}
	}
	r.report.Stopped = ctx.Err() != nil
	if !errors.Is(ended, ErrUnreachable) { // else there is nobody to give back to: the locks end by themselves
		r.locks.release()
	}
	return r.report, errors.Join(errs...)
}

// unfinished returns the outcome of an item that the run leaves where it is; "" for one that it did not come to.
func unfinished(p *plan, it *item, first bool) string {
	switch {
	case it.stage != planned:
		return OutcomeDoubt
	case p.blocked == nil:
		return ""
	case first && errors.Is(p.blocked, errLockedElsewhere):
		return OutcomeLocked
	}
	return OutcomeBlocked
}

// rehearse writes what would be done.
func (r *run) rehearse(plans []*plan) error {
	for _, p := range plans {
		for _, it := range p.items {
			outcome := OutcomeWould
			switch {
			case it.place == waiting:
				r.report.Requeued++
			case p.blocked != nil:
				outcome = OutcomeBlocked
				r.report.Blocked++
			}
			if err := r.audit(r.record(p, it, outcome, p.blocked)); err != nil {
				return err
			}
		}
	}
	return nil
}
