package admission

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"

	"pgregory.net/rapid"
)

// A model of the gate: what is let through at each moment must follow from the outcomes alone.
func TestTheGateFollowsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			const slots = 3
			g := openGate(slots)
			type entry struct {
				pass   chan *Pass
				cancel context.CancelFunc
			}
			var (
				waiting []*entry // in the order of arrival
				inside  []*Pass
				probe   *Pass
				phase   = GateOpen
				until   time.Time
				opened  = time.Now()
				nominal = gateFirst // of the next closing for which F&O names no time
			)
			// settle moves the model on as the gate should have moved, and takes what the gate let through.
			settle := func() {
				synctest.Wait()
				for len(waiting) > 0 && len(inside) < slots {
					if phase == GateProbing || phase == GateClosed && time.Now().Before(until) {
						break
					}
					e := waiting[0]
					waiting = waiting[1:]
					select {
					case p := <-e.pass:
						inside = append(inside, p)
						if phase == GateClosed {
							phase, probe = GateProbing, p
						}
					default:
						t.Fatalf("phase %s, %d inside, %d waiting: the first in line was not let through", phase, len(inside), len(waiting)+1)
					}
				}
				for _, e := range waiting {
					select {
					case <-e.pass:
						t.Fatalf("phase %s, %d inside: somebody was let through who should wait", phase, len(inside))
					default:
					}
				}
				if s := g.State(); s.Phase != phase {
					t.Fatalf("phase %s, the model says %s", s.Phase, phase)
				} else if phase == GateClosed && !s.Until.Equal(until) {
					t.Fatalf("closed until %v, the model says %v", s.Until, until)
				}
			}
			// closes moves the model to closed. The gate jitters when F&O named no time: its word is taken, within the
			// range.
			closes := func(after time.Duration) {
				if phase == GateOpen && time.Since(opened) > gateMax {
					nominal = gateFirst
				}
				phase, until = GateClosed, time.Now().Add(after)
				if after == 0 {
					until = g.State().Until
					if d := time.Until(until); d < nominal/2 || d > min(nominal*3/2+1, gateMax) {
						t.Fatalf("closed for %v, nominally %v", d, nominal)
					}
				}
				nominal = min(nominal*gateMultiplier, gateMax)
			}
			leave := func(i int, err error, after time.Duration) {
				p := inside[i]
				inside = slices.Delete(inside, i, i+1)
				if p.Probing() != (p == probe) {
					t.Fatalf("Probing() of the probe says %v", p.Probing())
				}
				p.Leave(err)
				heard, _ := hear(err)
				switch {
				case p == probe:
					probe = nil
					switch heard {
					case heardAnswer:
						phase, opened = GateOpen, time.Now()
					case heardPause, heardSilence:
						closes(after)
					default:
						phase, until = GateClosed, time.Now()
					}
				case heard == heardPause && phase == GateOpen:
					closes(after)
				case heard == heardPause && phase == GateClosed && after > 0 && time.Now().Add(after).After(until):
					until = time.Now().Add(after)
				}
				p.Leave(pauseFor(time.Hour)) // a second time says nothing
				settle()
			}
			// who picks one of those inside.
			who := func(r *rapid.T) int {
				if len(inside) == 0 {
					r.Skip()
				}
				if i := slices.Index(inside, probe); i >= 0 && rapid.Bool().Draw(r, "the probe") {
					return i
				}
				return rapid.IntRange(0, len(inside)-1).Draw(r, "who")
			}
			enter := func() {
				ctx, cancel := context.WithCancel(t.Context())
				e := &entry{pass: make(chan *Pass, 1), cancel: cancel}
				waiting = append(waiting, e)
				go func() {
					if p, err := g.AwaitPass(ctx, nil); err == nil {
						e.pass <- p
					}
				}()
				settle()
			}
			rt.Repeat(map[string]func(*rapid.T){
				"enter": func(*rapid.T) { enter() },
				"the outage goes on": func(r *rapid.T) {
					if phase != GateClosed || len(inside) == slots {
						r.Skip()
					}
					for range rapid.IntRange(2, 10).Draw(r, "failed probes") {
						if len(waiting) == 0 {
							enter()
						}
						elapse(time.Until(until))
						settle()
						leave(slices.Index(inside, probe), pauseFor(0), 0)
					}
				},
				"go away": func(r *rapid.T) {
					if len(waiting) == 0 {
						r.Skip()
					}
					i := rapid.IntRange(0, len(waiting)-1).Draw(r, "who")
					waiting[i].cancel()
					waiting = slices.Delete(waiting, i, i+1)
					settle()
				},
				"try to enter": func(*rapid.T) {
					want := phase == GateOpen && len(waiting) == 0 && len(inside) < slots
					p := g.TryPass()
					if (p != nil) != want {
						t.Fatalf("phase %s, %d inside, %d waiting: let through %v", phase, len(inside), len(waiting), p != nil)
					}
					if p != nil {
						inside = append(inside, p)
					}
					settle()
				},
				"wait": func(r *rapid.T) {
					elapse(time.Duration(rapid.IntRange(1, 5000).Draw(r, "ms")) * time.Millisecond)
					settle()
				},
				"wait until it is due": func(r *rapid.T) {
					if phase != GateClosed || !until.After(time.Now()) {
						r.Skip()
					}
					elapse(time.Until(until) - 1)
					settle() // a nanosecond early nobody probes
					elapse(1)
					settle()
				},
				"leave well": func(r *rapid.T) { leave(who(r), nil, 0) },
				"leave with a refusal": func(r *rapid.T) {
					leave(who(r), &failure.Failure{Verdict: failure.Retry, Reason: failure.ServerError, Status: 500}, 0)
				},
				"leave with nothing": func(r *rapid.T) { leave(who(r), errBoom, 0) },
				"leave in silence": func(r *rapid.T) {
					leave(who(r), &failure.Failure{Verdict: failure.Retry, Reason: failure.Timeout}, 0)
				},
				"leave with a pause": func(r *rapid.T) {
					after := time.Duration(rapid.IntRange(1, 8000).Draw(r, "ms")) * time.Millisecond
					leave(who(r), pauseFor(after), after)
				},
				"leave with a pause of no length": func(r *rapid.T) { leave(who(r), pauseFor(0), 0) },
			})
			for _, e := range waiting {
				e.cancel()
			}
			waiting = nil
			for len(inside) > 0 {
				leave(0, nil, 0)
			}
			synctest.Wait()
			if g.used != 0 || len(g.waiting) != 0 {
				t.Fatalf("%d slots taken and %d waiting in the end", g.used, len(g.waiting))
			}
		})
	})
}
