package admission

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/failure"

	"github.com/cenkalti/backoff/v4"
)

// How long the gate stays closed when F&O named no time: 1 s, doubling, jittered by half, never more than a minute, so
// that an environment that is back is noticed within a minute.
const (
	gateFirst      = time.Second
	gateMultiplier = 2
	gateJitter     = 0.5
	gateMax        = time.Minute
)

// A GatePhase is the state a Gate is in.
type GatePhase string

// The phases.
const (
	GateOpen    GatePhase = "open"
	GateClosed  GatePhase = "closed"
	GateProbing GatePhase = "probing"
)

// A GateState is what a Gate shows of itself.
type GateState struct {
	Phase  GatePhase
	Since  time.Time      // open: when it opened; closed, probing: when the outage began
	Until  time.Time      // closed: when a probe may go; else zero
	Reason failure.Reason // closed, probing: why it closed; else empty
	Detail string         // closed, probing: the words that came with the reason
}

// Open reports whether calls go through without waiting for an outage to end.
func (s GateState) Open() bool { return s.Phase == GateOpen }

// A Gate holds all calls to one environment while nothing works there for anybody, and bounds how many run at once.
//
//	                    Pause                            time is up and somebody waits
//	     ┌──────┐ ──────────────────▶ ┌───────────────┐ ──────────────────────────────▶ ┌─────────┐
//	───▶ │ open │                     │ closed(until) │                                 │ probing │
//	     └──────┘                     └───────────────┘ ◀────────────────────────────── └─────────┘
//	         ▲                          Pause or silence: closed for longer; no verdict:     │
//	         │                          closed(now), so that the next in line probes         │
//	         └───────────────────────────────────────────────────────────────────────────────┘
//	                                    an answer, good or bad
//
// Exactly one caller is let through while probing; the others wait in line, first come first served, and all go on when
// the gate opens. The closed time is what F&O asked for (Retry-After), else an exponential backoff that starts anew
// with every opening. Only the probe can open a closed gate: a call that was under way when it closed says nothing
// about now, except that a later Retry-After of such a call prolongs the closed time.
//
// Waiting at the gate is not an attempt of the file.
type Gate struct {
	calls int // let through at once

	mu      sync.Mutex
	phase   GatePhase
	since   time.Time
	until   time.Time
	reason  failure.Reason
	detail  string
	used    int
	probe   *Pass     // the pass that probes; nil unless probing
	waiting []*waiter // first come, first served
	backoff *backoff.ExponentialBackOff
	timer   *time.Timer // runs while closed; calls due

	watchers   []func(GateState)
	changes    []GateState // not yet delivered to the watchers, oldest first
	delivering bool        // one goroutine at a time delivers, which keeps the order
}

// A waiter is one call of AwaitPass. Its channel has room for the one pass it may get, so that granting never blocks.
type waiter struct {
	pass     chan *Pass
	onClosed func() // called once, when the waiter has to wait for a closed gate; nil before and after
}

// A Pass is the right to make one call. Leave must be called once the call has ended; calling it again does nothing.
type Pass struct {
	gate *Gate
	left bool // under gate.mu
}

// NewGate returns an open gate that lets so many calls through at once (at least one).
func NewGate(calls int) *Gate {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(gateFirst),
		backoff.WithMultiplier(gateMultiplier),
		backoff.WithRandomizationFactor(gateJitter),
		backoff.WithMaxInterval(gateMax),
		backoff.WithMaxElapsedTime(0), // never gives up
	)
	return &Gate{calls: max(1, calls), phase: GateOpen, since: time.Now(), backoff: b}
}

// AwaitPass waits until the gate lets the caller through. onClosed, which may be nil, is called at most once, if the
// caller has to wait for a closed gate: at once, or when the gate closes while the caller is in line. It must not use the
// gate. The only error is that ctx ended; failure.IsStop knows it.
func (g *Gate) AwaitPass(ctx context.Context, onClosed func()) (*Pass, error) {
	if ctx.Err() != nil {
		return nil, failure.StoppedCall(ctx)
	}
	w := &waiter{pass: make(chan *Pass, 1), onClosed: onClosed}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.admit()
	g.tellClosed()
	g.mu.Unlock()
	g.deliver()

	select {
	case p := <-w.pass:
		if ctx.Err() == nil {
			return p, nil
		}
		p.GiveBack() // both were ready: the call will not be made, pass the right on
		return nil, failure.StoppedCall(ctx)
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.waiting = slices.DeleteFunc(g.waiting, func(o *waiter) bool { return o == w })
	g.mu.Unlock()
	select {
	case p := <-w.pass: // granted between the two: nobody else can hold it
		p.GiveBack()
	default:
	}
	return nil, failure.StoppedCall(ctx)
}

// TryPass returns a pass if the gate is open and a call is free right now, with nobody waiting; else nil. It never waits.
func (g *Gate) TryPass() *Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != GateOpen || len(g.waiting) > 0 || g.used >= g.calls {
		return nil
	}
	g.used++
	return &Pass{gate: g}
}

// Probing reports whether this pass is the one that finds out about a closed gate.
func (p *Pass) Probing() bool {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return p.gate.probe == p
}

// errNotMade is how a pass ends under which no call was made.
var errNotMade = errors.New("the call was not made")

// GiveBack returns a pass back under which no call was made. It says nothing of the environment.
func (p *Pass) GiveBack() { p.Leave(&failure.Failure{Op: "call", Err: errNotMade}) }

// Leave returns the pass back and reports how the call ended. A Pause failure closes the gate, an answer of any other
// kind opens it. An error without a verdict (the caller's context ended, the call was never made) does neither; when
// the probe leaves so, the next in line probes.
func (p *Pass) Leave(err error) {
	g := p.gate
	g.mu.Lock()
	if p.left {
		g.mu.Unlock()
		return
	}
	p.left = true
	g.used--
	heard, f := hear(err)
	switch {
	case g.probe == p:
		g.probe = nil
		switch heard {
		case heardAnswer:
			g.open()
		case heardPause, heardSilence:
			g.close(f)
		case heardNothing:
			g.enter(GateClosed, time.Now())
		}
	case g.phase == GateOpen && heard == heardPause:
		g.close(f)
	case g.phase == GateClosed && heard == heardPause && f.After > 0:
		if until := time.Now().Add(f.After); until.After(g.until) {
			g.prolong(f.After)
		}
	}
	g.admit()
	g.mu.Unlock()
	g.deliver()
}

// State returns the present state.
func (g *Gate) State() GateState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.snapshot()
}

// OnChange registers f to be called with the new state on every change of phase: in order, one at a time, under no
// lock, by whichever goroutine brought the change about. f may use the gate, except that it must not wait in AwaitPass.
func (g *Gate) OnChange(f func(GateState)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watchers = append(g.watchers, f)
}

// What a call tells about the environment.
const (
	heardNothing = iota // the call was not made, or it failed on our side
	heardAnswer         // F&O answered
	heardPause          // a Pause failure
	heardSilence        // sent, and no answer came: bad news for a probe, no reason to close an open gate
)

func hear(err error) (int, *failure.Failure) {
	if err == nil {
		return heardAnswer, nil
	}
	if failure.IsStop(err) {
		return heardNothing, nil
	}
	f, ok := errors.AsType[*failure.Failure](err)
	switch {
	case !ok || f.Verdict == failure.Undecided || f.Reason == failure.StorageFailed:
		return heardNothing, nil
	case f.Verdict == failure.Pause:
		return heardPause, f
	case f.Status == 0 && (f.Reason == failure.Timeout || f.Reason == failure.ConnectionBroken || f.Reason == failure.UnknownOutcome):
		return heardSilence, f
	default:
		return heardAnswer, f
	}
}

// The functions below want g.mu held.

// admit lets through whom the phase and the bound allow, first come first served.
func (g *Gate) admit() {
	for len(g.waiting) > 0 && g.used < g.calls {
		switch g.phase {
		case GateProbing:
			return
		case GateClosed:
			if time.Now().Before(g.until) {
				return // the timer calls due
			}
			g.enter(GateProbing, time.Time{})
			g.probe = g.grant()
		case GateOpen:
			g.grant()
		}
	}
}

func (g *Gate) grant() *Pass {
	w := g.waiting[0]
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
	g.used++
	p := &Pass{gate: g}
	w.pass <- p
	return p
}

func (g *Gate) open() {
	g.backoff.Reset()
	g.reason, g.detail = "", ""
	g.enter(GateOpen, time.Time{})
}

func (g *Gate) close(f *failure.Failure) {
	d := min(g.backoff.NextBackOff(), gateMax) // the library caps before it jitters
	if f.After > 0 {
		d = f.After
	}
	g.reason, g.detail = f.Reason, f.Detail
	g.enter(GateClosed, time.Now().Add(d))
	g.prolong(d)
	g.tellClosed()
}

// tellClosed tells those in line that they wait for the end of an outage, not for a call of somebody else.
func (g *Gate) tellClosed() {
	if g.phase == GateOpen {
		return
	}
	for _, w := range g.waiting {
		if w.onClosed != nil {
			w.onClosed()
			w.onClosed = nil
		}
	}
}

// prolong keeps the gate closed for d from now.
func (g *Gate) prolong(d time.Duration) {
	g.until = time.Now().Add(d)
	if g.timer != nil {
		g.timer.Stop() // a due that is already running finds the new until and does nothing
	}
	g.timer = time.AfterFunc(d, g.due)
}

// enter changes the phase. A probe neither begins nor ends an outage. A timer that still runs does no harm: due finds
// nothing to do.
func (g *Gate) enter(p GatePhase, until time.Time) {
	if (p == GateOpen) != (g.phase == GateOpen) {
		g.since = time.Now()
	}
	g.phase, g.until = p, until
	g.changes = append(g.changes, g.snapshot())
}

func (g *Gate) snapshot() GateState {
	return GateState{Phase: g.phase, Since: g.since, Until: g.until, Reason: g.reason, Detail: g.detail}
}

// The functions below take g.mu themselves.

// due runs when the closed time is up.
func (g *Gate) due() {
	g.mu.Lock()
	g.admit()
	g.mu.Unlock()
	g.deliver()
}

// deliver hands the changes to the watchers, unless another goroutine is at it: that one then takes these too.
func (g *Gate) deliver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.delivering {
		return
	}
	g.delivering = true
	for len(g.changes) > 0 {
		s, watchers := g.changes[0], slices.Clone(g.watchers)
		g.changes = g.changes[1:]
		g.mu.Unlock()
		for _, f := range watchers {
			f(s)
		}
		g.mu.Lock()
	}
	g.delivering = false
}
