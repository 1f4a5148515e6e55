package deadletter

import "context"

// Purge removes the selected dead letters for good, each with its audit line. Nothing is in order, nothing can be taken
// back; what arrives while it runs is not touched.
func Purge(ctx context.Context, b Broker, o Options) (Report, error) {
	r := newRun(b, o)
	defer closeQuietly(r.queue)
	r.act = r.remove
	ix, err := r.index(ctx)
	if err != nil {
		return Report{}, err
	}
	plans := ix.each()
	if o.DryRun {
		err = r.rehearse(plans)
		return r.report, err
	}
	return r.conclude(ctx, plans, r.work(ctx, plans))
}

// remove is the step of a purge.
func (r *run) remove(ctx context.Context, p *plan, it *item) error {
	t, err := r.locks.secure(ctx, it.seq)
	if err == nil {
		err = r.locks.complete(ctx, it.seq, t)
	}
	if err != nil {
		return err
	}
	return r.finish(p, it, OutcomeDone, nil)
}
