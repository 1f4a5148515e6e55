package deadletter

import (
	"context"
	"errors"
)

// Purge removes the selected dead letters for good, each with its audit line. Nothing is in order, nothing can be taken
// back; what arrives while it runs is not touched.
func Purge(ctx context.Context, b Broker, o Options) (Report, error) {
	r := newRun(b, o)
	defer closeQuietly(r.src)
	r.act = func(ctx context.Context, p *plan, it *item) error {
		t, err := r.secure(ctx, it)
		if err == nil {
			err = r.complete(ctx, it, t)
		}
		if err != nil {
			return err
		}
		return r.finish(p, it, OutcomeDone, nil)
	}
	ix, err := makeIndex(ctx, r.src, o.Entity, o.Filter.Match, true)
	if err != nil {
		return Report{}, err
	}
	r.report = Report{Selected: ix.selected, Highest: ix.highest, DryRun: o.DryRun}
	if o.DryRun {
		err = r.rehearse(ctx, ix.plans, nil)
		return r.report, err
	}
	err = r.work(ctx, ix.plans)
	err = errors.Join(err, r.wrapUp(ix.plans, ctx.Err() != nil, err))
	return r.report, err
}
