//go:build unix

package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/storage"
)

// A step is one thing that goes wrong, once so many files have ended and a little later. Progress is the clock, so that
// a slow machine gets as many faults per file as a fast one.
type step struct {
	at    int           // files ended
	delay time.Duration // after that
	what  string        // for the report
	do    func(ctx context.Context)
}

// A chaos is a schedule of steps, made from a seed.
type chaos struct {
	w     *world
	f     *fleet
	rnd   *rand.Rand
	size  scale
	names []string // of the sessions
	steps []step

	last  sync.WaitGroup // faults that last
	done  map[string]int // steps carried out
	armed []interface{ hits() int }
}

// plan makes the schedule: kills and others spread over the middle of the run.
func plan(w *world, f *fleet, rnd *rand.Rand, size scale, names []string) *chaos {
	c := &chaos{w: w, f: f, rnd: rnd, size: size, names: names, done: map[string]int{}}
	for range size.kills {
		which := rnd.IntN(1 << 10)
		c.add("kill", func(ctx context.Context) { f.kill(ctx, which) })
	}
	bus, erp := rnd.Perm(busFaults), rnd.Perm(fnoFaults) // all kinds take turns
	for i := range size.faults {
		if i%2 == 0 {
			c.busFault(bus[i/2%busFaults])
		} else {
			c.fnoFault(erp[i/2%fnoFaults])
		}
	}
	slices.SortStableFunc(c.steps, func(a, b step) int { return a.at - b.at })
	return c
}

// add puts a step at a random moment between the first twentieth and the last tenth of the run.
func (c *chaos) add(what string, do func(ctx context.Context)) {
	c.steps = append(c.steps, step{
		at: c.size.files/20 + c.rnd.IntN(c.size.files*17/20), delay: time.Duration(c.rnd.IntN(30_000)) * time.Microsecond, what: what, do: do,
	})
}

// The number of kinds that busFault and fnoFault have.
const (
	busFaults = 11
	fnoFaults = 16
)

// busFault adds something that Service Bus or the network before it does.
func (c *chaos) busFault(kind int) {
	faults := c.w.bus.Faults()
	name := c.names[c.rnd.IntN(len(c.names))]
	pause := time.Duration(c.rnd.IntN(1000)) * time.Millisecond
	switch kind {
	case 0:
		c.add("cut all connections", func(context.Context) { faults.CutAll() })
	case 1:
		c.add("cut connections of the queue", func(context.Context) { faults.CutLinks(inQueue, "") })
	case 2:
		c.add("cut connections of the topic", func(context.Context) { faults.CutLinks(statusTopic, "") })
	case 3:
		c.add("detach", func(context.Context) { faults.DetachLinks(inQueue, name, "") })
	case 4:
		c.add("expire one lock", func(context.Context) { faults.ExpireSession(inQueue, name) })
	case 5:
		c.add("expire all locks", func(context.Context) { faults.ExpireLocks(inQueue) })
	case 6:
		c.add("stall", func(ctx context.Context) {
			faults.StallLinks(inQueue, "")
			c.last.Go(func() {
				pass(ctx, 3*pause) // longer than one call is waited for, at times
				faults.Unstall()
			})
		})
	case 7:
		c.add("refuse connections", func(context.Context) {
			faults.CutAll()
			faults.RefuseConnections(pause / 2)
		})
	case 8:
		which := c.rnd.IntN(1 << 10)
		c.add("freeze a replica while its locks expire", func(ctx context.Context) {
			c.last.Go(func() {
				c.f.freeze(ctx, which, time.Duration(2*c.size.harshness)*pause, func() { faults.ExpireLocks(inQueue) })
			})
		})
	default:
		ops := []servicebus.Op{
			servicebus.OpAccept, servicebus.OpReceive, servicebus.OpGetState, servicebus.OpSetState, servicebus.OpRenew,
			servicebus.OpSend, servicebus.OpComplete, servicebus.OpComplete, servicebus.OpDeadLetter, servicebus.OpSetState,
		}
		effects := []servicebus.Effect{servicebus.Refuse, servicebus.Lose, servicebus.LoseReply, servicebus.LoseLock, servicebus.Delay}
		then := []servicebus.Then{servicebus.Nothing, servicebus.Nothing, servicebus.Cut, servicebus.Detach}
		x := servicebus.Fault{
			Op: ops[c.rnd.IntN(len(ops))], Times: 1 + c.rnd.IntN(c.size.harshness), Effect: effects[c.rnd.IntN(len(effects))],
			Then: then[c.rnd.IntN(len(then))], Delay: pause / 4,
		}
		c.add(fmt.Sprintf("%s %s", x.Effect, x.Op), func(context.Context) { c.armed = append(c.armed, busHits{faults.Add(x)}) })
	}
}

// fnoFault adds something that F&O, Blob Storage or the network before them does.
func (c *chaos) fnoFault(kind int) {
	x := fno.Fault{Operation: fno.Enqueue, Times: 1 + c.rnd.IntN(c.size.harshness)}
	switch kind {
	case 0:
		x.Act, x.Status, x.RetryAfter = fno.Answer, 429, fno.Duration(time.Second)
	case 1:
		x.Act, x.Status = fno.AnswerAfter, 502
	case 2:
		x.Act, x.Status = fno.Answer, 400
	case 3:
		x.Act, x.Times = fno.Hang, 1
	case 4:
		x.Act, x.Times = fno.HangAfter, 1
	case 5:
		x.Act = fno.ResetBefore
	case 6:
		x.Act = fno.ResetHalf
	case 7:
		x.Act = fno.ResetAfter
	case 8:
		x.Act = fno.Truncate
	case 9:
		x.Act, x.Outcome = fno.ImportEnds, fno.Deadlock
	case 10:
		x.Act, x.Outcome = fno.ImportEnds, "PreProcessingError"
	case 11:
		x.Operation, x.Act, x.Status = fno.Status, fno.Answer, 500
	case 12:
		x.Operation, x.Act = fno.Status, fno.ResetAfter
	case 13, 14:
		s := storage.Fault{Times: x.Times, Status: 503, Code: "ServerBusy"}
		what := "503 of Blob Storage"
		if kind == 14 {
			s, what = storage.Fault{Times: 4 * x.Times, Method: http.MethodGet, Cut: -1}, "downloads do not begin"
		}
		c.add(what, func(context.Context) { c.w.blobs.Break(s) })
		return
	default:
		c.add("revoke tokens", func(context.Context) { c.w.fno.RevokeTokens() })
		return
	}
	what := strings.TrimSpace(fmt.Sprintf("%s %s %s", x.Act, x.Operation, x.Outcome))
	if x.Act == fno.Answer {
		what = fmt.Sprintf("%d %s", x.Status, x.Operation)
	}
	c.add(what, func(context.Context) { c.armed = append(c.armed, fnoHits{c.w.fno.Faults().MustAdd(x)}) })
	if x.Status == 429 && c.size.harshness == 1 {
		// It closes the gates, and each other fault that hits a probe keeps them closed for longer: a short run has it
		// before all others.
		c.steps[len(c.steps)-1].at = 0
	}
}

type busHits struct{ *servicebus.Armed }

func (h busHits) hits() int { return h.Count() }

type fnoHits struct{ *fno.Armed }

func (h fnoHits) hits() int { return h.Fired() }

// run carries out the schedule; it returns when that is done, or ctx ends.
func (c *chaos) run(ctx context.Context) {
	defer c.last.Wait()
	for _, s := range c.steps {
		if c.w.waitEnded(ctx, s.at) != nil || !pass(ctx, s.delay) {
			return
		}
		s.do(ctx)
		c.done[s.what]++
	}
}

// struck counts the operations that armed faults have hit.
func (c *chaos) struck() (bus, erp int) {
	for _, a := range c.armed {
		if _, ok := a.(busHits); ok {
			bus += a.hits()
		} else {
			erp += a.hits()
		}
	}
	return bus, erp
}

// report lists what was done, by name.
func (c *chaos) report() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.done)) {
		fmt.Fprintf(&b, "  %4d %s\n", c.done[what], what)
	}
	return b.String()
}

// pass waits and reports whether d passed before ctx ended.
func pass(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
