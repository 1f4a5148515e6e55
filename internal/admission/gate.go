package admission

import (
	"context"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/failure"

	"github.com/cenkalti/backoff/v4"
)

// How long a gate stays closed when F&O named no time: 1 s, doubling, jittered by half, never more than a minute for an
// environment, so that one that is back is noticed within a minute, and five for a job.
const (
	gateFirst      = time.Second
	gateMultiplier = 2
	gateJitter     = 0.5
	gateMax        = time.Minute
	jobMax         = 5 * time.Minute
)

// A GatePhase is the state a Gate is in.
type GatePhase string

// The phases.
const (
	GateOpen    GatePhase = "open"
	GateSuspect GatePhase = "suspect" // nobody knows yet whether it should be closed; said to nobody
	GateClosed  GatePhase = "closed"
	GateProbing GatePhase = "probing"
)

// A GateState is what a Gate shows of itself.
type GateState struct {
	Phase  GatePhase
	Since  time.Time      // open, suspect: when it opened; closed, probing: when the outage began
	Until  time.Time      // closed: when a probe may go; else zero
	Reason failure.Reason // closed, probing: why it is closed; else empty
	Detail string         // closed, probing: the words that came with the reason
}

// Open reports whether no outage is known: a gate that is only suspect is not closed.
func (s GateState) Open() bool { return s.Phase == GateOpen || s.Phase == GateSuspect }

// A Gate holds all calls to one environment, or to one job of it, while nothing works there for anybody, and bounds how
// many run at once.
//
//	                     Pause                           time is up and somebody waits
//	      ┌──────┐ ─────────────────▶ ┌───────────────┐ ──────────────────────────────▶ ┌─────────┐
//	      │ open │                    │ closed(until) │                                 │ probing │
//	      └──────┘                    └───────────────┘ ◀────────────────────────────── └─────────┘
//	Doubt │  ▲ ▲                          ▲   Pause or silence: closed for longer; no verdict:  │
//	      ▼  │ │ an answer                │   closed(now), so that the next in line probes      │
//	  ┌─────────┐                         │ Pause                                               │
//	─▶│ suspect │ ────────────────────────┘                                                     │
//	  └─────────┘                                                    an answer, good or bad: open ┘
//
// Suspect is a gate of which nobody knows: a new one, and one of which a call had a doubtful answer. In it whoever
// doubts finds out; where nobody does, one caller is let through, as while probing. The others wait in line, first come
// first served, and all go on when the gate opens. The closed time is what F&O asked for (Retry-After), else an
// exponential backoff, which starts anew once the gate has been open for a minute: what closes again
// and again does so ever more slowly. Only the probe can open a closed gate: a call that was under way when it closed
// says nothing about now, except that a later Retry-After of such a call prolongs the closed time.
//
// Waiting at the gate is not an attempt of the file.
type Gate struct {
	calls int // let through at once
	max   time.Duration

	mu       sync.Mutex
	phase    GatePhase
	since    time.Time
	until    time.Time
	reason   failure.Reason
	detail   string
	used     int
	probe    *Pass     // the pass that probes; nil unless probing or suspect
	doubting int       // passes that find out about a doubt of theirs
	waiting  []*waiter // first come, first served
	backoff  *backoff.ExponentialBackOff
	timer    *time.Timer // runs while closed; calls due

	watchers   []func(GateState)
	changes    []GateState // not yet delivered to the watchers, oldest first
	delivering bool        // one goroutine at a time delivers, which keeps the order
}

// A waiter is one call of AwaitPass. Its channel has room for the one pass it may get, so that granting never blocks.
type waiter struct {
	pass     chan *Pass
	onClosed func() // called once, when the waiter has to wait for a closed gate; nil before and after
}

// NewGate returns the gate of an environment, which lets so many calls through at once (at least one). Nobody has heard
// of the environment yet, so it begins suspect.
func NewGate(calls int) *Gate { return newGate(calls, gateMax) }

// NewJobGate returns the gate of one job of an environment. It begins open: there is no question that a job answers, and a
// first file that takes long must not keep the others waiting.
func NewJobGate(calls int) *Gate {
	g := newGate(calls, jobMax)
	g.phase = GateOpen
	return g
}

func newGate(calls int, longest time.Duration) *Gate {
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(gateFirst),
		backoff.WithMultiplier(gateMultiplier),
		backoff.WithRandomizationFactor(gateJitter),
		backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0), // never gives up
	)
	return &Gate{calls: max(1, calls), max: longest, phase: GateSuspect, since: time.Now(), backoff: b}
}

// AwaitPass waits until the gate lets the caller through. onClosed, which may be nil, is called at most once, if the
// caller has to wait for a closed gate: at once, or when the gate closes while the caller is in line. It must not use
// the gate. The only error is that ctx ended; failure.IsStop knows it.
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

// TryPass returns a pass if the gate is not closed and lets somebody in right now, with nobody waiting; else nil. It
// never waits.
func (g *Gate) TryPass() *Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen() || len(g.waiting) > 0 || g.used >= g.calls || g.phase == GateSuspect && (g.probe != nil || g.doubting > 0) {
		return nil
	}
	g.used++
	p := &Pass{gate: g}
	if g.phase == GateSuspect {
		g.probe = p
	}
	return p
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
