package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"
	"fnobridge/internal/letter"
)

// world is an embedded Service Bus with the queues q (sessions, duplicate detection), p (plain), and the topic t with
// the session-enabled subscription s.
type world struct {
	*servicebus.Server
	client *azservicebus.Client
	svc    *Service
}

func start(t testing.TB, more ...func(*servicebus.Options)) *world {
	t.Helper()
	q := entity.NewQueue("q")
	q.RequiresSession, q.RequiresDuplicateDetection = true, true
	q.LockDuration, q.MaxMessageSizeInKilobytes = 5*time.Minute, 100<<10
	topic := entity.NewTopic("t")
	sub := entity.NewSubscription("s")
	sub.RequiresSession = true
	topic.Subscriptions = append(topic.Subscriptions, sub)
	o := servicebus.Options{Namespace: entity.Namespace{
		Queues: []entity.QueueDescription{q, entity.NewQueue("p")}, Topics: []entity.TopicDescription{topic},
	}}
	for _, f := range more {
		f(&o)
	}
	srv, err := servicebus.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClientFromConnectionString(srv.ConnectionString(),
			&azservicebus.ClientOptions{RetryOptions: r})
	}
	client, err := connect(azservicebus.RetryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: srv, client: client, svc: serviceOver(t, connect)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.svc.Close(ctx)
		_ = w.client.Close(ctx)
		_ = srv.Close()
	})
	return w
}

// serviceOver opens a Service. Whoever opens it closes it.
func serviceOver(t testing.TB, connect bus.Connect) *Service {
	t.Helper()
	b, err := bus.Open(bus.Options{Connect: connect})
	if err != nil {
		t.Fatal(err)
	}
	return NewService(b)
}

// fresh returns the test's own client a connection that nobody has cut.
func (w *world) fresh(t testing.TB) {
	t.Helper()
	_ = w.client.Close(context.Background())
	c, err := azservicebus.NewClientFromConnectionString(w.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.client = c
}

// send puts n messages of a session into a queue or topic.
func (w *world) send(t testing.TB, to, session string, from, n int) {
	t.Helper()
	tx, err := w.client.NewSender(to, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Close(context.Background()) }()
	for n > 0 {
		b, err := tx.NewMessageBatch(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range min(n, 100) {
			m := &azservicebus.Message{
				MessageID: new(fmt.Sprintf("%s-%d", session, from)), SessionID: &session,
				Body: fmt.Appendf(nil, "%s%d", session, from),
				ApplicationProperties: map[string]any{
					"entity": "Groups", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
				},
			}
			if session == "" {
				m.SessionID = nil
			}
			if err := b.AddMessage(m, nil); err != nil {
				t.Fatal(err)
			}
			from++
			n--
		}
		if err := tx.SendMessageBatch(context.Background(), b, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// kill dead-letters everything that waits in a session as the lane does.
func (w *world) kill(t testing.TB, queue, session, reason string) {
	t.Helper()
	ctx := context.Background()
	rx, err := w.client.AcceptSessionForQueue(ctx, queue, session, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rx.Close(ctx) }()
	for range w.waiting(queue, session) {
		got, err := rx.ReceiveMessages(ctx, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			l := letter.Letter{
				Reason: "ProcessedWithErrors", Description: "the value is not found", Entity: "Groups",
				SequenceNumber: *m.SequenceNumber, Attempts: 2,
			}
			o := l.Options(ctx, nil)
			o.Reason = &reason
			if err := rx.DeadLetterMessage(ctx, m, o); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// waiting returns the bodies of a session in an entity.
func (w *world) waiting(address, session string) (out []string) {
	for _, m := range w.Messages(address) {
		if m.SessionID == session {
			out = append(out, string(m.Body))
		}
	}
	return out
}

func TestServiceListsAndResubmits(t *testing.T) {
	w := start(t)
	for _, s := range []string{"A", "B"} {
		w.send(t, "q", s, 1, 120)
		w.kill(t, "q", s, "ProcessedWithErrors")
	}
	groups, n := Groups{}, 0
	for m, err := range Walk(t.Context(), w.svc, q, Filter{Entity: "groups"}) {
		if err != nil {
			t.Fatal(err)
		}
		groups.Add(m)
		n++
	}
	if g := groups.Sorted(); n != 240 || len(g) != 1 || g[0].Count != 240 || g[0].Reason != "ProcessedWithErrors" {
		t.Fatalf("%d listed, %+v", n, g)
	}
	rep, err := Resubmit(t.Context(), w.svc, Options{Source: q, Filter: Filter{Session: new("B")}})
	if err != nil || rep.Done != 120 {
		t.Fatalf("%+v %v", rep, err)
	}
	rep, err = Resubmit(t.Context(), w.svc, Options{Source: q})
	if err != nil || rep.Done != 120 {
		t.Fatalf("%+v %v", rep, err)
	}
	for _, s := range []string{"A", "B"} {
		if d := cmp.Diff(names(s, 120), w.waiting("q", s)); d != "" {
			t.Fatal(d)
		}
	}
	m := w.Messages("q")[0]
	if m.MessageID != "B-1~r1-121" || m.Properties[contract.PropKey] != "B-1" || m.Properties["traceparent"] == nil {
		t.Fatalf("the copy says too little: %s %v", m.MessageID, m.Properties)
	}
	if m.Properties["DeadLetterReason"] != nil || m.Properties[letter.PropAttempts] != nil {
		t.Fatalf("the copy says how its original failed: %v", m.Properties)
	}
	if c, _ := w.Counts("q/$DeadLetterQueue"); c.Active != 0 {
		t.Fatalf("%+v left", c)
	}
}

func TestServiceKeepsAStandingSessionInOrder(t *testing.T) {
	w := start(t)
	w.send(t, "q", "A", 1, 5)
	w.kill(t, "q", "A", "Drained")
	w.send(t, "q", "A", 6, 3)
	w.send(t, "q", "B", 1, 2) // a peek through a session answers with these too
	rx, err := w.client.AcceptSessionForQueue(t.Context(), "q", "A", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rx.SetSessionState(t.Context(), parkedAt(t, ledger.Draining, 1), nil); err != nil {
		t.Fatal(err)
	}
	rep, err := Resubmit(t.Context(), w.svc, Options{Source: q})
	if err != nil || rep.Blocked != 5 {
		t.Fatalf("while a worker has it: %+v %v", rep, err)
	}
	if err := rx.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rep, err = Resubmit(t.Context(), w.svc, Options{Source: q})
	if err != nil || rep.Done != 5 || rep.Requeued != 3 || rep.Lifted != 1 {
		t.Fatalf("%+v %v", rep, err)
	}
	if d := cmp.Diff(names("A", 8), w.waiting("q", "A")); d != "" {
		t.Fatal(d)
	}
	for _, s := range w.Sessions("q") {
		if l, err := ledger.Decode(s.State); err != nil || l.Park != nil {
			t.Fatalf("still parked: %v %v", l, err)
		}
	}
}

func TestServiceNamesWhatIsWrong(t *testing.T) {
	w := start(t)
	nowhere := contract.Source{Queue: "nowhere"}
	if _, err := Resubmit(t.Context(), w.svc, Options{Source: nowhere}); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("unknown queue: %v", err)
	}
	if _, err := Resubmit(t.Context(), w.svc, Options{Source: q, To: "t"}); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("a topic as the target: %v", err)
	}
	sub := contract.Source{Topic: "t", Subscription: "s"}
	if _, err := Resubmit(t.Context(), w.svc, Options{Source: sub}); !errors.Is(err, ErrCannotTell) {
		t.Errorf("a topic whose rules are unknown: %v", err)
	}
	if _, err := w.svc.Session(t.Context(), contract.Source{Queue: "p"}, "A"); !errors.Is(err, bus.ErrNoSessions) {
		t.Errorf("a session of a queue without: %v", err)
	}
	err := w.svc.Sender("q").Send(t.Context(), &azservicebus.AMQPAnnotatedMessage{
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: "x"},
		Body:       azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("x")}},
	})
	if !errors.Is(err, bus.ErrNeedSession) {
		t.Errorf("no session where one is needed: %v", err)
	}
	_ = w.Close()
	if _, err := w.svc.DeadLetters(q).Peek(t.Context(), 1, 1); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
}

// The connection is cut at one operation after the other, and the command is repeated until it is complete.
func TestServiceCutAtOperations(t *testing.T) {
	w := start(t)
	for _, op := range []servicebus.Op{
		servicebus.OpPeek, servicebus.OpReceive, servicebus.OpSend, servicebus.OpComplete, servicebus.OpAccept,
	} {
		for _, effect := range []servicebus.Effect{servicebus.Lose, servicebus.LoseReply} {
			session := fmt.Sprintf("%s %s", op, effect)
			w.send(t, "q", session, 1, 30)
			w.kill(t, "q", session, "Timeout")
			cut := w.Faults().Add(servicebus.Fault{Op: op, Skip: 1, Effect: effect, Then: servicebus.Cut})
			if op == servicebus.OpAccept || op == servicebus.OpReceive {
				cut.Disarm()
				cut = w.Faults().Add(servicebus.Fault{Op: op, Effect: effect, Then: servicebus.Cut})
			}
			for try := 0; ; try++ {
				rep, err := Resubmit(t.Context(), w.svc, Options{Source: q, Filter: Filter{Session: &session}})
				if err == nil && rep.Complete() {
					break
				}
				if try == 3 {
					t.Fatalf("%s: %+v %v", session, rep, err)
				}
				w.Faults().ExpireLocks("q/$DeadLetterQueue") // those of a link that was cut while messages were on it
			}
			if cut.Count() == 0 {
				t.Errorf("%s: nothing was cut", session)
			}
			w.Faults().Clear()
			if d := cmp.Diff(names(session, 30), w.waiting("q", session)); d != "" {
				t.Fatalf("%s: %s", session, d)
			}
		}
	}
	if left := w.Messages("q/$DeadLetterQueue"); len(left) != 0 {
		t.Fatalf("%d left", len(left))
	}
}

func TestServicePurgesAndExports(t *testing.T) {
	w := start(t)
	w.send(t, "q", "A", 1, 150)
	w.kill(t, "q", "A", "Timeout")
	dir := t.TempDir()
	if n, err := ExportDir(t.Context(), w.svc, q, Filter{To: 140}, dir); err != nil || n != 140 {
		t.Fatalf("%d %v", n, err)
	}
	if _, err := ExportDir(t.Context(), w.svc, q, Filter{}, dir); err == nil {
		t.Fatal("exported twice into one directory")
	}
	rep, err := Purge(t.Context(), w.svc, Options{Source: q, Filter: Filter{From: 3}})
	if err != nil || rep.Done != 148 {
		t.Fatalf("%+v %v", rep, err)
	}
	left := w.Messages("q/$DeadLetterQueue")
	foreign := func(m servicebus.Message) bool { return string(m.Body) != "A1" && string(m.Body) != "A2" }
	if len(left) != 2 || slices.ContainsFunc(left, foreign) {
		t.Fatalf("%d left", len(left))
	}
}
