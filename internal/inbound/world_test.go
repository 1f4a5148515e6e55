package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/ledger"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

func storageFailed() error {
	return &failure.Failure{Verdict: failure.Retry, Reason: failure.StorageFailed, Op: "open payload", Detail: "the storage account is busy"}
}

// A world is a broker, an F&O and a topic, and the processes that work between them. It lives in a synctest bubble.
type world struct {
	t     *testing.T
	plan  *faultPlan
	b     *fakeBroker
	fno   *fakeFno
	topic *fakeTopic
	route Route // what every route starts from
	o     Options
	log   bool
	blobs http.RoundTripper // Blob Storage; nil for none
	meter metric.MeterProvider

	requests int                                       // at once, per process
	asks     float64                                   // status calls a second, per process
	routes   func(r *running, standard Route) []*Route // in place of the one standard route

	over  bool // guarded by b.mu
	sent  []history.Sent
	procs []*running
	wg    sync.WaitGroup
}

// A running is a worker and its process.
type running struct {
	*process
	w           *Worker
	env         *dynamics.Environment
	stopTaking  context.CancelCauseFunc
	stopWorking context.CancelCauseFunc
	done        chan struct{}
	left        []Left
}

const theActivity = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"

func newWorld(t *testing.T) *world {
	plan := &faultPlan{}
	w := &world{t: t, requests: 8, asks: 1000, meter: noop.NewMeterProvider(), plan: plan, b: newFakeBroker(t, 30*time.Second, plan)}
	w.fno = &fakeFno{plan: plan, b: w.b, call: 20 * time.Millisecond, takes: 2 * time.Second, asked: map[string]int{}}
	w.topic = &fakeTopic{plan: plan, b: w.b, seen: map[string]bool{}}
	w.route = Route{
		Name: "all", Activity: theActivity, Timeout: 5 * time.Second, Window: 1, OnFailure: OnFailureSkip, Deadline: 2 * time.Hour,
		RepeatPartial: true, // a collision is repeated
		Retry: retry.Policy{Default: retry.Backoff{
			Attempts: 8, First: time.Second, Multiplier: 2, Max: time.Minute, Jitter: 0.5, Total: 30 * time.Minute,
		}},
		Poll: Poll{First: 500 * time.Millisecond, Fraction: 0.1, Max: 10 * time.Second},
	}
	w.o = Options{Sessions: 16, Accepts: 4, Idle: 200 * time.Millisecond}
	return w
}

// start brings up a process with a worker.
func (w *world) start() *running {
	w.t.Helper()
	r := &running{process: w.b.process(w.t, fmt.Sprintf("process-%d", len(w.procs)+1)), done: make(chan struct{})}
	handler := slog.DiscardHandler
	if w.log {
		handler = slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})
	}
	tel, err := telemetry.New(slog.New(handler).With("process", r.name), tracenoop.NewTracerProvider(), w.meter)
	if err != nil {
		w.t.Fatal(err)
	}
	r.env = w.environment("prod", r.process)
	route := w.route
	route.into(r.env)
	o := w.o
	o.Routes = []*Route{&route}
	if w.routes != nil {
		o.Routes = w.routes(r, route)
	}
	o.Sources = []Source{{Name: "files", Acceptor: fakeAcceptor{w.b, r.process}, Lock: w.b.lock}}
	o.Payloads = fakePayloads{w.plan, w.b, payload.NewOpener(payload.Options{Credential: credential{}, Transport: w.blobs})}
	o.Events = fakePublisher{w.topic, r.process}
	o.Telemetry = tel
	if r.w, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	var intake, work context.Context
	intake, r.stopTaking = context.WithCancelCause(context.Background())
	work, r.stopWorking = context.WithCancelCause(context.Background())
	w.b.mu.Lock()
	w.procs = append(w.procs, r)
	if w.over { // the world ended while this one was coming up
		r.stopTaking(errStopping)
		r.stopWorking(ErrGraceOver)
	}
	w.b.mu.Unlock()
	w.wg.Go(func() {
		defer close(r.done)
		r.left = r.w.Run(intake, work)
	})
	return r
}

// into leads a route to an environment, through its recurring integrations.
func (r *Route) into(env *dynamics.Environment) {
	r.Environment, r.API = env, dynamics.Recurring{Environment: env}
}

// environment returns a client of F&O for a process.
func (w *world) environment(name string, p *process) *dynamics.Environment {
	w.t.Helper()
	env, err := dynamics.New(dynamics.Options{
		Name: name, URL: "https://" + name + ".example", Credential: credential{}, Transport: fakeRoad{w.fno, p},
		Timeout: w.route.Timeout, Requests: w.requests, StatusCalls: w.asks,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return env
}

// crash ends the process as kill -9 does: nothing it does from now on has an effect. With cut the broker notices at
// once, else its locks have to run out.
func (w *world) crash(r *running, cut bool) {
	r.Kill()
	r.stopTaking(errKilled)
	r.stopWorking(errKilled)
	if cut {
		r.Cut()
	}
}

// stop is a SIGTERM with its grace period. It waits for the worker.
func (w *world) stop(r *running) {
	r.stopTaking(errStopping)
	t := time.AfterFunc(25*time.Second, func() { r.stopWorking(ErrGraceOver) })
	<-r.done
	t.Stop()
	r.stopWorking(context.Canceled)
}

// end ends every process and waits for them.
func (w *world) end() {
	w.b.mu.Lock()
	w.over = true
	procs := slices.Clone(w.procs)
	w.b.mu.Unlock()
	for _, r := range procs {
		r.stopTaking(errStopping)
		r.stopWorking(ErrGraceOver)
	}
	w.wg.Wait()
}

// send sends one file.
func (w *world) send(session, id, body string) {
	w.sendWith(session, id, body, nil)
}

func (w *world) sendWith(session, id, body string, props map[string]any) {
	sum := sha256.Sum256([]byte(body))
	seq := w.b.send(session, id, []byte(body), props)
	w.sent = append(w.sent, history.Sent{Session: session, Index: int(seq), MessageID: id, Hash: hex.EncodeToString(sum[:])})
}

// fill sends files to sessions, round robin. body gives the content of each.
func (w *world) fill(sessions, files int, body func(s, f int) string) {
	for f := range files {
		for s := range sessions {
			text := ""
			if body != nil {
				text = body(s, f)
			}
			w.send(fmt.Sprintf("Entity %d", s), fmt.Sprintf("s%d-f%d", s, f), fmt.Sprintf("%s file %d of session %d", text, f, s))
		}
	}
}

// drained waits until nothing is left in the queue.
func (w *world) drained() {
	w.t.Helper()
	w.waitFor("the queue to be empty", func() bool { return w.b.left() == 0 })
}

// waitFor waits until ok, which is called with the broker's lock held.
func (w *world) waitFor(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 48*time.Hour)
	defer cancel()
	if err := w.b.await(ctx, ok); err != nil {
		for _, s := range w.b.SessionsOf(theQueue) {
			w.t.Logf("session %q: %d messages, owned %v, state %s", s.ID, s.Messages, s.Owned, s.State)
		}
		for _, r := range w.procs {
			for _, v := range r.w.Sessions() {
				w.t.Logf("%s: %+v", r.name, v)
			}
		}
		w.end()
		w.t.Fatalf("waited two days for %s; faults: %v", what, w.plan.story())
	}
}

// check ends the world and holds what happened against the promises.
func (w *world) check() history.Report {
	w.t.Helper()
	w.end()
	h := history.History{Sent: w.sent, Repeatable: w.route.RepeatPartial, Recorded: w.fno.recorded(), Events: w.topic.events()}
	if w.route.Overlap {
		h.Mode = history.Enqueued
	}
	w.b.mu.Lock()
	for _, d := range w.b.dead {
		h.DeadLettered = append(h.DeadLettered, history.DeadLettered{MessageID: d.id, Reason: failure.Reason(d.reason)})
	}
	for _, m := range w.b.Messages(theQueue) {
		h.Remaining = append(h.Remaining, m.MessageID)
	}
	if n := len(w.b.Messages(theDeadLetters)); n != len(w.b.dead) {
		w.t.Errorf("%d dead letters, and the workers know of %d", n, len(w.b.dead))
	}
	for _, m := range w.b.broken {
		w.t.Errorf("fencing: %s", m)
	}
	w.b.mu.Unlock()
	for _, d := range h.DeadLettered {
		if d.Reason == failure.OperatorSkipped && !slices.Contains(w.topic.of(d.MessageID), status.Held) {
			w.t.Errorf("%s was skipped by an operator, and nobody was told that it was held", d.MessageID)
		}
	}
	r := history.Check(h)
	if !r.OK() {
		w.t.Errorf("promises broken (faults: %v):\n%s", w.plan.story(), r.Error(20))
		w.topic.mu.Lock()
		for _, e := range w.topic.list {
			w.t.Logf("  %s %s attempt %d %s %s %s", e.MessageID, e.Status, e.Attempt, e.Reason, e.FnoMessageID, e.Detail)
		}
		w.topic.mu.Unlock()
	}
	return r
}

// order returns an operator's order for a session, as `bridge sessions` does.
func (w *world) order(session string, do ledger.Do) {
	w.t.Helper()
	b, err := ledger.Order{Do: do, By: "a test", At: time.Now()}.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.b.setState(ledger.ControlSession(session), b)
}

// operator starts somebody who looks once a minute for sessions that are held, and gives the same order for each.
func (w *world) operator(do ledger.Do) {
	w.wg.Go(func() {
		for {
			pass(time.Minute)
			w.b.mu.Lock()
			over := w.over
			w.b.mu.Unlock()
			for _, s := range w.b.SessionsOf(theQueue) {
				l, err := ledger.Decode(s.State)
				if err == nil && l.Park != nil && l.Park.Mode == ledger.Holding && s.Messages > 0 {
					w.order(s.ID, do)
				}
			}
			if over {
				return
			}
		}
	})
}

// letter returns the dead letter of a file.
func (w *world) letter(id string) (deadMessage, bool) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	i := slices.IndexFunc(w.b.dead, func(d deadMessage) bool { return d.id == id })
	if i < 0 {
		return deadMessage{}, false
	}
	return w.b.dead[i], true
}

// posts returns how often F&O took a file.
func (w *world) posts(id string) int {
	n := 0
	for _, r := range w.fno.recorded() {
		if r.ExternalID == id {
			n++
		}
	}
	return n
}

// pass lets time pass in the bubble.
func pass(d time.Duration) { retry.Wait(context.Background(), d) }
