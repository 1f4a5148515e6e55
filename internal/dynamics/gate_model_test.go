package dynamics

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A model of the gate: what is let through at each moment must follow from the outcomes alone.
func TestTheGateFollowsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			const slots = 3
			g := NewGate(slots)
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
					// The gate jitters when F&O named no time: take its word after checking the range.
					t.Fatalf("closed until %v, the model says %v", s.Until, until)
				}
			}
			leave := func(i int, err error, after time.Duration) {
				p := inside[i]
				inside = slices.Delete(inside, i, i+1)
				p.Leave(err)
				heard, _ := hear(err)
				switch {
				case p == probe:
					probe = nil
					switch heard {
					case heardAnswer:
						phase = GateOpen
					case heardPause, heardSilence:
						phase, until = GateClosed, time.Now().Add(after)
					default:
						phase, until = GateClosed, time.Now()
					}
				case heard == heardPause && phase == GateOpen:
					phase, until = GateClosed, time.Now().Add(after)
				case heard == heardPause && phase == GateClosed && time.Now().Add(after).After(until):
					until = time.Now().Add(after)
				}
				settle()
			}
			rt.Repeat(map[string]func(*rapid.T){
				"enter": func(*rapid.T) {
					ctx, cancel := context.WithCancel(t.Context())
					e := &entry{pass: make(chan *Pass, 1), cancel: cancel}
					waiting = append(waiting, e)
					go func() {
						if p, err := g.Enter(ctx); err == nil {
							e.pass <- p
						}
					}()
					settle()
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
				"wait": func(r *rapid.T) {
					elapse(time.Duration(rapid.IntRange(1, 5000).Draw(r, "ms")) * time.Millisecond)
					settle()
				},
				"leave well": func(r *rapid.T) {
					if len(inside) == 0 {
						r.Skip()
					}
					leave(rapid.IntRange(0, len(inside)-1).Draw(r, "who"), nil, 0)
				},
				"leave with nothing": func(r *rapid.T) {
					if len(inside) == 0 {
						r.Skip()
					}
					leave(rapid.IntRange(0, len(inside)-1).Draw(r, "who"), errBoom, 0)
				},
				"leave with a pause": func(r *rapid.T) {
					if len(inside) == 0 {
						r.Skip()
					}
					after := time.Duration(rapid.IntRange(1, 8000).Draw(r, "ms")) * time.Millisecond
					leave(rapid.IntRange(0, len(inside)-1).Draw(r, "who"), pauseFor(after), after)
				},
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
