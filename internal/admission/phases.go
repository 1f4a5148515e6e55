package admission

import (
	"slices"
	"time"

	"fnobridge/internal/failure"
)

// The functions below want g.mu held.

// isOpen reports whether no outage is known.
func (g *Gate) isOpen() bool { return g.snapshot().Open() }

// admit lets through whom the phase and the bound allow, first come first served.
func (g *Gate) admit() {
	for len(g.waiting) > 0 && g.used < g.calls {
		switch g.phase {
		case GateProbing:
			return
		case GateSuspect:
			if g.probe != nil || g.doubting > 0 {
				return
			}
			g.probe = g.grant()
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

// probed acts on what the probe heard.
func (g *Gate) probed(heard hearing, f *failure.Failure) {
	switch {
	case heard == heardAnswer:
		g.open()
	case heard == heardPause, heard == heardSilence:
		g.close(f)
	case g.phase == GateProbing:
		g.enter(GateClosed, time.Now())
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
	g.reason, g.detail = "", ""
	g.enter(GateOpen, time.Time{})
}

func (g *Gate) close(f *failure.Failure) {
	if g.isOpen() && time.Since(g.since) > gateMax {
		g.backoff.Reset()
	}
	d := min(g.backoff.NextBackOff(), g.max) // the library caps before it jitters
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
	if g.isOpen() {
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

// enter changes the phase. Neither a probe nor a doubt begins or ends an outage. A timer that still runs does no harm:
// due finds nothing to do.
func (g *Gate) enter(p GatePhase, until time.Time) {
	if (GateState{Phase: p}).Open() != g.isOpen() {
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
