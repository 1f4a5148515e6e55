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

// awaitCall waits until the lane may post a file, with enough of the lease left for all of it. It returns for how long the
// environment kept the file waiting, also when the wait goes on in another lane.
//
// The probe of a closed gate asks a question that changes nothing before it lets a file go: an environment that takes
// what it is sent and never answers would otherwise cost one unknown outcome per probe.
func (a *access) awaitCall(ctx context.Context, r *Route) (pass *admission.Pass, paused time.Duration, err error) {
	pass = r.Environment.Gate().TryPass()
	for began := time.Now(); pass == nil; paused = time.Since(began) {
		if pass, err = a.awaitGate(r.Environment); err != nil {
			return nil, time.Since(began), context.Cause(a.waiting)
		}
		if pass.Probing() && !a.answers(ctx, r.Environment, pass) {
			pass = nil
		}
	}
	if err := a.lease.Ensure(r.Timeout); err != nil {
		pass.GiveBack()
		return nil, paused, err
	}
	return pass, paused, nil
}

// awaitGate waits for a pass of an environment.
func (a *access) awaitGate(env *dynamics.Environment) (*admission.Pass, error) {
	if s := env.Gate().State(); !s.Open() {
		a.show("for "+env.Name()+" ("+string(s.Reason)+")", s.Until)
		defer a.show("", time.Time{})
	}
	defer a.slot.Reclaim()
	return env.Gate().AwaitPass(a.waiting, a.slot.Lend)
}

// answers reports whether a closed environment answers a question that changes nothing. Without an answer the pass is
// gone and the gate stays closed; with one, the call that the pass was for decides.
func (a *access) answers(ctx context.Context, env *dynamics.Environment, pass *admission.Pass) bool {
	ctx, cancel := a.untilStopped(ctx)
	defer cancel()
	if err := env.Probe(ctx); err != nil {
		pass.Leave(err)
		return false
	}
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
	err = call(ctx)
	pass.Leave(err)
	return paused, err
}

// awaitQuestion waits for the right to ask one question: a turn of the budget, then a pass. Who has waited for the end of
// an outage takes another turn, because all others have waited with a turn in hand, too.
func (a *access) awaitQuestion(env *dynamics.Environment) (pass *admission.Pass, paused time.Duration, _ error) {
	for {
		if err := env.Budget().AwaitTurn(a.waiting); err != nil {
			return nil, paused, err
		}
		began := time.Now()
		pass, err := a.awaitGate(env)
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
