package inbound

import (
	"context"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/dynamics"
)

// An access is how a lane comes to make a call to F&O: it waits for the right to it, and lends its slot to others while
// the environment is closed.
type access struct {
	*ownedSession
	slot *admission.Slot
	show func(waiting string, until time.Time)
}

// A permit is the right to post one file: a pass of the job's gate, and one of its environment's.
type permit struct {
	env      *dynamics.Environment
	job, all *admission.Pass
}

// awaitCall waits until the lane may post a file, with enough of the lease left for all of it. It returns for how long
// F&O kept the file waiting, also when the wait goes on in another lane.
//
// Who finds out about an environment asks a question that changes nothing before it lets a file go: one that takes what
// it is sent and never answers would otherwise cost one unknown outcome per probe.
func (a *access) awaitCall(ctx context.Context, r *Route) (p *permit, paused time.Duration, err error) {
	began := time.Now()
	for p == nil {
		if p, err = a.tryCall(ctx, r); err != nil {
			return nil, time.Since(began), context.Cause(a.waiting)
		}
	}
	paused = time.Since(began)
	if err := a.lease.Ensure(r.Timeout); err != nil {
		p.giveBack()
		return nil, paused, err
	}
	return p, paused, nil
}

// tryCall waits for both passes; nil when the environment was closed meanwhile. Who has the pass of a job does not wait
// for the end of an outage with it: others would wait behind it and keep their slots.
func (a *access) tryCall(ctx context.Context, r *Route) (*permit, error) {
	env := r.Environment
	p := &permit{env: env}
	var err error
	if !env.Gate().State().Open() {
		p.all, err = a.awaitGate(a.waiting, env.Gate(), env.Name(), a.slot.Lend)
		if err != nil || p.all.Probing() && !a.answers(ctx, env, p.all) {
			return nil, err
		}
		if p.job = env.Job(r.Activity).TryPass(); p.job != nil {
			return p, nil // the post of the probe decides
		}
		p.all.Leave(nil) // F&O answers questions again; what the job does is another matter
	}
	if p.job, err = a.awaitGate(a.waiting, env.Job(r.Activity), env.Name()+", job "+r.Activity, a.slot.Lend); err != nil {
		return nil, err
	}
	open, closed := context.WithCancel(a.waiting)
	defer closed()
	p.all, err = a.awaitGate(open, env.Gate(), env.Name(), closed)
	if err == nil && (!p.all.Probing() || a.answers(ctx, env, p.all)) {
		return p, nil
	}
	p.job.GiveBack()
	return nil, a.waiting.Err()
}

// giveBack gives a permit back under which nothing was posted.
func (p *permit) giveBack() {
	p.all.GiveBack()
	p.job.GiveBack()
}

// judge gives the permit back after a post, and returns what its error means: for the file, or for everybody.
func (p *permit) judge(ctx context.Context, err error) error {
	err = p.env.Judge(ctx, p.all, err)
	p.env.JudgeJob(p.job, err)
	return err
}

// awaitGate waits for a pass of a gate until ctx ends, and calls onClosed if it has to wait for the end of an outage.
// of says whose gate it is.
func (a *access) awaitGate(ctx context.Context, g *admission.Gate, of string, onClosed func()) (*admission.Pass, error) {
	if pass := g.TryPass(); pass != nil {
		return pass, nil
	}
	if s := g.State(); !s.Open() {
		a.show("for "+of+" ("+string(s.Reason)+")", s.Until)
		defer a.show("", time.Time{})
	}
	defer a.slot.Reclaim()
	return g.AwaitPass(ctx, onClosed)
}

// answers reports whether an environment answers a question that changes nothing. Without an answer the pass is gone
// and the gate is closed; with one, a gate that was only suspect is open, and the call that the pass was for decides
// about one that was closed.
func (a *access) answers(ctx context.Context, env *dynamics.Environment, pass *admission.Pass) bool {
	ctx, cancel := a.untilStopped(ctx)
	defer cancel()
	if err := env.Probe(ctx); err != nil {
		pass.Leave(err)
		return false
	}
	pass.Answered()
	return true
}

// ask makes one call to F&O that changes nothing: within the budget of status calls, through the gate, ended by a stop.
// It returns for how long the environment kept the call waiting.
func (a *access) ask(ctx context.Context, env *dynamics.Environment, call func(ctx context.Context) error) (paused time.Duration, err error) {
	pass, paused, err := a.awaitQuestion(env)
	if err != nil {
		return paused, err
	}
	ctx, cancel := a.untilStopped(ctx)
	defer cancel()
	return paused, env.Judge(ctx, pass, call(ctx))
}

// awaitQuestion waits for the right to ask one question: a turn of the budget, then a pass. Who has waited for the end
// of an outage takes another turn, because all others have waited with a turn in hand, too.
func (a *access) awaitQuestion(env *dynamics.Environment) (pass *admission.Pass, paused time.Duration, _ error) {
	for {
		if err := env.Budget().AwaitTurn(a.waiting); err != nil {
			return nil, paused, err
		}
		began := time.Now()
		pass, err := a.awaitGate(a.waiting, env.Gate(), env.Name(), a.slot.Lend)
		paused += time.Since(began)
		if err != nil {
			return nil, paused, err
		}
		if pass.Probing() || !env.Gate().State().Since.After(began) {
			return pass, paused, nil
		}
		pass.GiveBack()
	}
}
