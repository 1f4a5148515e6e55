package inbound

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/line"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

// A tcpWorld is both emulators on ports and workers that reach them with the real clients.
type tcpWorld struct {
	t     testing.TB
	sb    *servicebus.Server
	fno   *fno.Server
	route Route
	o     Options
	lock  time.Duration
	sends time.Duration // what one send may take

	far   *line.Line    // between the workers and Service Bus; nil is loopback
	fnoAt string        // where the workers reach F&O; as it says itself when empty
	calls time.Duration // what one call on a session may take

	drains time.Duration // how long a queue may take to drain; two minutes when 0

	takeBack  func(session string)      // called before a session is accepted by its ID; may be nil
	publisher func(Publisher) Publisher // what a process publishes with; may be nil

	logger *slog.Logger // of the buses; may be nil
	sent   []history.Sent
	procs  []*tcpProcess
	index  int
}

// A tcpProcess is a worker with its own connections.
type tcpProcess struct {
	w           *Worker
	bus         *bus.Bus
	transport   interface{ CloseIdleConnections() }
	stopTaking  context.CancelCauseFunc
	stopWorking context.CancelCauseFunc
	done        chan struct{}
	left        []Left
}

const source = "files"

// A tcpPolicy is the route of a row over TCP.
type tcpPolicy struct {
	name    string
	overlap bool // and what comes back without an answer is posted again
}

var tcpPolicies = []tcpPolicy{{name: "processed, dead-letter unknown"}, {name: "enqueued, window 3, resend unknown", overlap: true}}

func newTCPWorld(t testing.TB, lock time.Duration, p tcpPolicy) *tcpWorld {
	t.Helper()
	q := entity.NewQueue(source)
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount, q.MaxMessageSizeInKilobytes = true, lock, 2000, 100<<10
	events := entity.NewQueue("status")
	events.RequiresDuplicateDetection = true
	sb, err := servicebus.Start(servicebus.Options{Namespace: entity.Namespace{Queues: []entity.QueueDescription{q, events}}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := fno.Start(fno.Options{Jobs: []fno.Job{{ID: theActivity, InOrder: p.overlap}}, AnyEntity: true, ImportTime: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w := &tcpWorld{t: t, sb: sb, fno: f, lock: lock, sends: 600 * time.Millisecond, calls: 600 * time.Millisecond}
	w.route = Route{
		RepeatPartial: true,
		Name:          "all", Activity: theActivity, Timeout: time.Second, Window: 1, OnFailure: OnFailureSkip, Deadline: time.Minute,
		Retry: retry.Policy{Default: retry.Backoff{
			Attempts: 8, First: 10 * time.Millisecond, Multiplier: 2, Max: 200 * time.Millisecond, Jitter: 0.5, Total: time.Minute,
		}},
		Poll: Poll{First: 20 * time.Millisecond, Fraction: 0.1, Max: 200 * time.Millisecond},
	}
	if p.overlap {
		w.route.Overlap, w.route.Window, w.route.ResendUnknown = true, 3, true
	}
	w.o = Options{Sessions: 8, Accepts: 3, Idle: 100 * time.Millisecond, AcceptWait: 5 * time.Second, FirstWait: time.Second}
	t.Cleanup(func() {
		w.end()
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err := sb.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// acceptor returns bus sessions as the lane's; nil interfaces stay nil.
type busAcceptor struct {
	b        *bus.Bus
	src      bus.Source
	takeBack func(session string)
}

func (a busAcceptor) AcceptNext(ctx context.Context, wait time.Duration) (Session, error) {
	s, err := a.b.AcceptNext(ctx, a.src, wait)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (a busAcceptor) AcceptByID(ctx context.Context, id string) (Session, error) {
	if a.takeBack != nil {
		a.takeBack(id)
	}
	s, err := a.b.AcceptByID(ctx, a.src, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// senderEvents publishes with a bus sender; outbound does it in production.
type senderEvents struct{ s *bus.Sender }

func (p senderEvents) PublishIf(ctx context.Context, may func() error, events ...status.Event) error {
	var messages []*azservicebus.Message
	for _, e := range events {
		_, body, err := e.Encode()
		if err != nil {
			return err
		}
		id := e.ID()
		messages = append(messages, &azservicebus.Message{MessageID: &id, Body: body})
	}
	return p.s.SendIf(ctx, may, messages...)
}

func (w *tcpWorld) connect(retry azservicebus.RetryOptions) (*azservicebus.Client, error) {
	return azservicebus.NewClientFromConnectionString(w.sb.ConnectionString(), &azservicebus.ClientOptions{RetryOptions: retry})
}

// connectFar is how the workers connect.
func (w *tcpWorld) connectFar(retry azservicebus.RetryOptions) (*azservicebus.Client, error) {
	if w.far == nil {
		return w.connect(retry)
	}
	at := strings.Replace(w.sb.ConnectionString(), w.sb.Addr(), w.far.Addr(), 1)
	return azservicebus.NewClientFromConnectionString(at, &azservicebus.ClientOptions{RetryOptions: retry})
}

func (w *tcpWorld) start() *tcpProcess {
	w.t.Helper()
	b, err := bus.Open(bus.Options{Connect: w.connectFar, CallTimeout: w.calls, SendTimeout: w.sends, Logger: w.logger})
	if err != nil {
		w.t.Fatal(err)
	}
	transport := dynamics.NewTransport()
	env, err := dynamics.New(dynamics.Options{
		Name: "prod", URL: cmp.Or(w.fnoAt, w.fno.URL()), Credential: w.fno.Credential("app"), Timeout: w.route.Timeout, Requests: 64, StatusCalls: 100000,
		Transport: transport,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	route := w.route
	route.into(env)
	o := w.o
	o.Sources = []Source{{Name: source, Acceptor: busAcceptor{b, bus.Source{Queue: source}, w.takeBack}, Lock: w.lock}}
	o.Routes, o.Payloads, o.Events = []*Route{&route}, payload.NewOpener(payload.Options{}), senderEvents{b.Sender("status")}
	if w.publisher != nil {
		o.Events = w.publisher(o.Events)
	}
	p := &tcpProcess{bus: b, transport: transport, done: make(chan struct{})}
	if p.w, err = New(o); err != nil {
		w.t.Fatal(err)
	}
	var intake, work context.Context
	intake, p.stopTaking = context.WithCancelCause(context.Background())
	work, p.stopWorking = context.WithCancelCause(context.Background())
	w.procs = append(w.procs, p)
	go func() { // joined by stop
		defer close(p.done)
		p.left = p.w.Run(intake, work)
	}()
	return p
}

// stop ends a process: in an orderly way when work goes on for the grace period.
func (w *tcpWorld) stop(p *tcpProcess, grace time.Duration) {
	p.stopTaking(errStopping)
	t := time.AfterFunc(grace, func() { p.stopWorking(ErrGraceOver) })
	<-p.done
	t.Stop()
	p.stopWorking(context.Canceled)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = p.bus.Close(ctx) // its connection may have been cut
	p.transport.CloseIdleConnections()
}

func (w *tcpWorld) end() {
	var wg sync.WaitGroup
	for _, p := range w.procs {
		wg.Go(func() { w.stop(p, 0) })
	}
	wg.Wait()
	w.procs = nil
}

// fill sends files to sessions, in turn.
func (w *tcpWorld) fill(sessions, files int) {
	w.t.Helper()
	client, err := w.connect(azservicebus.RetryOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx := context.Background()
	defer func() { _ = client.Close(ctx) }()
	s, err := client.NewSender(source, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	batch, err := s.NewMessageBatch(ctx, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	flush := func() {
		if err := s.SendMessageBatch(ctx, batch, nil); err != nil {
			w.t.Fatal(err)
		}
		if batch, err = s.NewMessageBatch(ctx, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	for f := range files {
		for n := range sessions {
			session, id := fmt.Sprintf("Entity %d", n), fmt.Sprintf("s%d-f%d", n, f)
			body := fmt.Appendf(nil, "NAME\nfile %d of session %d\n", f, n)
			sum := sha256.Sum256(body)
			w.index++
			w.sent = append(w.sent, history.Sent{Session: session, Index: w.index, MessageID: id, Hash: hex.EncodeToString(sum[:])})
			m := &azservicebus.Message{MessageID: &id, SessionID: &session, Body: body}
			if batch.AddMessage(m, nil) != nil {
				flush()
				if err := batch.AddMessage(m, nil); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	flush()
}

// drained waits until the queue is empty.
func (w *tcpWorld) drained() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(w.drains, 2*time.Minute))
	defer cancel()
	err := w.sb.Await(ctx, func() bool {
		c, _ := w.sb.Counts(source)
		return c.Active == 0
	})
	if err != nil {
		for _, s := range w.sb.Sessions(source) {
			w.t.Logf("session %q: %d messages, owned %v, state %s", s.ID, s.Messages, s.Owned, s.State)
		}
		for _, p := range w.procs {
			for _, v := range p.w.Sessions() {
				w.t.Logf("%+v", v)
			}
		}
		w.t.Fatalf("the queue is not empty: %v", err)
	}
}

// check ends all processes and holds what happened against the promises.
func (w *tcpWorld) check() history.Report {
	w.t.Helper()
	w.end()
	h := history.History{Sent: w.sent, Repeatable: w.route.RepeatPartial}
	if w.route.Overlap {
		h.Mode = history.Enqueued
	}
	for n, i := range w.fno.Imports() {
		h.Recorded = append(h.Recorded, history.Recorded{
			ExternalID: i.ExternalID, MessageID: i.MessageID, Hash: i.SHA256, Order: n, Accepted: i.AcceptedAt, Ended: i.EndedAt, Status: i.Status,
		})
	}
	for n, m := range w.sb.Messages("status") {
		e, err := status.Decode(m.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		h.Events = append(h.Events, history.FromEvent(e, n))
	}
	for _, m := range w.sb.Messages(source + "/$DeadLetterQueue") {
		h.DeadLettered = append(h.DeadLettered, history.DeadLettered{MessageID: m.MessageID, Reason: failure.Reason(m.DeadLetterReason)})
	}
	for _, m := range w.sb.Messages(source) {
		h.Remaining = append(h.Remaining, m.MessageID)
	}
	r := history.Check(h)
	if !r.OK() {
		w.t.Errorf("promises broken:\n%s", r.Error(20))
		for _, e := range h.Events {
			w.t.Logf("  %s %s %s %s", e.MessageID, e.Status, e.Reason, e.FnoMessageID)
		}
	}
	return r
}

// within holds the outcomes against what the row's fault can have done: so many posts in doubt at most, and no dead
// letters but the bad files and, where the route says so, those in doubt.
func (w *tcpWorld) within(r history.Report, bad, doubts int) {
	w.t.Helper()
	if r.Unknown > doubts {
		w.t.Errorf("%d unknown outcomes, at most %d is right", r.Unknown, doubts)
	}
	if !w.route.ResendUnknown {
		bad += r.Unknown
	}
	if r.DeadLettered != bad {
		w.t.Errorf("%d dead letters, want %d", r.DeadLettered, bad)
	}
}

// spoil makes F&O refuse the data of some files.
func (w *tcpWorld) spoil(ids ...string) {
	for _, id := range ids {
		w.fno.Faults().MustAdd(fno.Fault{
			Operation: fno.Enqueue, ExternalID: id, Act: fno.ImportEnds, Outcome: "ProcessedWithErrors",
			Errors: []fno.ExecutionError{{RecordID: "1", Field: "NAME", ErrorMessage: "the value is not valid"}},
		})
	}
}
