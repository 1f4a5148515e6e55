package admission

import (
	"errors"
	"time"

	"fnobridge/internal/failure"
)

// A Pass is the right to make one call. Leave must be called once the call has ended; calling it again does nothing.
type Pass struct {
	gate  *Gate
	state passState // under gate.mu
}

type passState int

const (
	inside   passState = iota
	doubting           // its call had an answer that says nothing good, and it finds out what that means
	gone
)

// Probing reports whether this pass is the one that finds out about a gate that is not open.
func (p *Pass) Probing() bool {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return p.gate.probe == p
}

// Answered notes that a question that was asked under this pass was answered. A gate that was only suspect opens at
// once; one that was closed waits for the call that the pass is for.
func (p *Pass) Answered() {
	g := p.gate
	g.mu.Lock()
	if g.probe == p && g.phase == GateSuspect {
		g.probe = nil
		g.open()
		g.admit()
	}
	g.mu.Unlock()
	g.deliver()
}

// Doubt notes that the call had an answer, or none, of which nobody knows yet whether all others would have the same.
// Until this pass leaves, nobody else is let in.
func (p *Pass) Doubt() {
	g := p.gate
	g.mu.Lock()
	if p.state == inside && g.isOpen() {
		p.state = doubting
		g.doubting++
		if g.phase == GateOpen {
			g.enter(GateSuspect, time.Time{})
		}
	}
	g.mu.Unlock()
	g.deliver()
}

// LeaveInDoubt gives the pass back after a call whose bad answer may or may not be that of all others. The gate lets one
// caller through to find out; if this is that one, the gate closes, as Leave with a Pause failure does.
func (p *Pass) LeaveInDoubt(f *failure.Failure) {
	g := p.gate
	g.mu.Lock()
	again := g.probe == p
	if g.phase == GateOpen && p.state == inside {
		g.enter(GateSuspect, time.Time{})
	}
	g.mu.Unlock()
	if !again {
		p.GiveBack()
		return
	}
	closing := *f
	closing.Verdict = failure.Pause
	p.Leave(&closing)
}

// errNotMade is how a pass ends under which no call was made.
var errNotMade = errors.New("the call was not made")

// GiveBack gives a pass back under which no call was made. It says nothing of the environment.
func (p *Pass) GiveBack() { p.Leave(&failure.Failure{Op: "call", Err: errNotMade}) }

// Leave gives the pass back and reports how the call ended. A Pause failure closes the gate, an answer of any other
// kind opens it. An error without a verdict (the caller's context ended, the call was never made), or with one that is
// about a job, does neither; when the probe leaves so, the next in line probes.
func (p *Pass) Leave(err error) {
	g := p.gate
	g.mu.Lock()
	if p.state == gone {
		g.mu.Unlock()
		return
	}
	if p.state == doubting {
		g.doubting--
	}
	p.state = gone
	g.used--
	heard, f := hear(err)
	switch {
	case g.probe == p:
		g.probe = nil
		g.probed(heard, f)
	case g.isOpen() && heard == heardPause:
		g.close(f)
	case g.phase == GateSuspect && heard == heardAnswer && g.doubting == 0 && g.probe == nil:
		g.open()
	case g.phase == GateClosed && heard == heardPause && f.After > 0:
		if until := time.Now().Add(f.After); until.After(g.until) {
			g.prolong(f.After)
		}
	}
	g.admit()
	g.mu.Unlock()
	g.deliver()
}

// What a call tells about the environment.
type hearing int

const (
	heardNothing hearing = iota // the call was not made, it failed on our side, or it says something of one job
	heardAnswer                 // F&O answered
	heardPause                  // a Pause failure
	heardSilence                // sent, and no answer came: bad news for a probe, no reason to close an open gate
)

func hear(err error) (hearing, *failure.Failure) {
	if err == nil {
		return heardAnswer, nil
	}
	if failure.IsStop(err) {
		return heardNothing, nil
	}
	f, ok := errors.AsType[*failure.Failure](err)
	switch {
	case !ok, f.Verdict == failure.Undecided, f.Verdict == failure.PauseJob, f.Reason == failure.StorageFailed:
		return heardNothing, nil
	case f.Verdict == failure.Pause:
		return heardPause, f
	case f.Verdict == failure.Unknown, f.Reason == failure.BadAnswer:
		return heardSilence, f
	case f.Status == 0 && (f.Reason == failure.Timeout || f.Reason == failure.ConnectionBroken):
		return heardSilence, f
	default:
		return heardAnswer, f
	}
}
