package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/bus/bustest"
)

// What the suite needs of Service Bus: what the bridge calls.
type (
	session interface {
		ID() string
		Lock() (granted, until time.Time)
		LastFailure() time.Time
		Renew(ctx context.Context) error
		Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error)
		State(ctx context.Context) ([]byte, error)
		SetState(ctx context.Context, state []byte) error
		Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error)
		Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error
		DeadLetter(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error
		Close(ctx context.Context) error
	}
	receiver interface {
		Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error)
		Receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error)
		ReceiveDeferred(ctx context.Context, seq int64) (*azservicebus.ReceivedMessage, error)
		Complete(ctx context.Context, token bus.Token) error
		Abandon(ctx context.Context, token bus.Token) error
		Renew(ctx context.Context, token bus.Token) (until time.Time, err error)
		Stop(ctx context.Context)
		Close(ctx context.Context) error
	}
	sender interface {
		Send(ctx context.Context, messages ...*azservicebus.Message) error
		SendIf(ctx context.Context, may func() error, messages ...*azservicebus.Message) error
		SendAMQP(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error
	}
	// A process is what has connections of its own.
	process interface {
		AcceptNext(ctx context.Context, src bus.Source, wait time.Duration) (session, error)
		AcceptByID(ctx context.Context, src bus.Source, id string) (session, error)
		DeadLetters(src bus.Source) receiver
		Sender(entity string) sender
		Sessions(ctx context.Context, src bus.Source) iter.Seq2[string, error]
	}
	// A server is Service Bus from its other side: what is there, and what only it can do.
	server interface {
		Messages(address string) []broker.MessageInfo
		Sessions(address string) []broker.SessionInfo
		Accepting(address string) int
		Await(ctx context.Context, check func() bool) error
		ExpireSession(address, id string) bool
		Pass(d time.Duration)                          // lets time pass, for the broker at least
		Defer(t *testing.T, address string, seq int64) // sets a message of a dead-letter queue aside
	}
)

// A world is one Service Bus with two processes.
type world struct {
	*testing.T
	server
	one, other process
}

const (
	lockTime   = 30 * time.Second
	deliveries = 3
	deadFiles  = "files/$DeadLetterQueue"
)

var (
	files = bus.Source{Queue: "files"}
	sub   = bus.Source{Topic: "topic", Subscription: "sub"}
)

// namespace is what every world has: files (sessions, duplicate detection), plain, and a topic with a subscription that
// has sessions.
func namespace() entity.Namespace {
	q := entity.NewQueue("files")
	q.RequiresSession, q.RequiresDuplicateDetection = true, true
	q.LockDuration, q.MaxDeliveryCount = lockTime, deliveries
	s := entity.NewSubscription("sub")
	s.RequiresSession = true
	topic := entity.NewTopic("topic")
	topic.Subscriptions = []entity.SubscriptionDescription{s}
	return entity.Namespace{
		Queues: []entity.QueueDescription{q, entity.NewQueue("plain")}, Topics: []entity.TopicDescription{topic},
	}
}

// A row is one promise of Service Bus that the bridge builds on.
type row struct {
	name string
	test func(w *world)
}

// rows are what the fake and the real thing have in common.
var rows = slices.Concat(acceptRows, lockRows, stateRows, messageRows, sendRows, deadRows)

// calls are all calls on a session but Close and the receipt of a message.
var calls = []struct {
	name string
	do   func(ctx context.Context, s session, m *azservicebus.ReceivedMessage) error
}{
	{"receive", func(ctx context.Context, s session, _ *azservicebus.ReceivedMessage) error {
		_, err := s.Receive(ctx, time.Second)
		return err
	}},
	{"renew", func(ctx context.Context, s session, _ *azservicebus.ReceivedMessage) error { return s.Renew(ctx) }},
	{"get state", func(ctx context.Context, s session, _ *azservicebus.ReceivedMessage) error {
		_, err := s.State(ctx)
		return err
	}},
	{"set state", func(ctx context.Context, s session, _ *azservicebus.ReceivedMessage) error {
		return s.SetState(ctx, []byte("of the old owner"))
	}},
	{"complete", func(ctx context.Context, s session, m *azservicebus.ReceivedMessage) error {
		return s.Complete(ctx, m)
	}},
	{"dead-letter", func(ctx context.Context, s session, m *azservicebus.ReceivedMessage) error {
		return s.DeadLetter(ctx, m, nil)
	}},
}

func message(session, body string) *azservicebus.Message {
	return &azservicebus.Message{SessionID: &session, Body: []byte(body)}
}

func texts(page []*azservicebus.ReceivedMessage) (out []string) {
	for _, m := range page {
		out = append(out, string(m.Body))
	}
	return out
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) same(want, got any) {
	w.Helper()
	if d := cmp.Diff(want, got); d != "" {
		w.Error(d)
	}
}

func (w *world) lost(err error) {
	w.Helper()
	if !errors.Is(err, bus.ErrLost) {
		w.Errorf("got %v, want that the session is lost", err)
	}
}

// alive checks that a session can still be used.
func (w *world) alive(s session) {
	w.Helper()
	if err := s.Renew(w.Context()); err != nil {
		w.Errorf("the session was lost: %v", err)
	}
}

func (w *world) send(session string, bodies ...string) {
	w.Helper()
	for _, b := range bodies {
		w.must(w.one.Sender("files").Send(w.Context(), message(session, b)))
	}
}

// kill dead-letters n files of a session: A1, A2 and so on.
func (w *world) kill(session string, n int) {
	w.Helper()
	s := w.take(w.one, session)
	for i := range n {
		w.send(session, fmt.Sprint(session, i+1))
		w.must(s.DeadLetter(w.Context(), w.receive(s), nil))
	}
	w.give(s)
}

func (w *world) next(p process, src bus.Source) session {
	w.Helper()
	s, err := p.AcceptNext(w.Context(), src, time.Second)
	w.must(err)
	w.Cleanup(func() { _ = s.Close(context.Background()) }) // it may be lost, or closed
	return s
}

func (w *world) take(p process, id string) session {
	w.Helper()
	s, err := p.AcceptByID(w.Context(), files, id)
	w.must(err)
	w.Cleanup(func() { _ = s.Close(context.Background()) }) // it may be lost, or closed
	return s
}

// give closes a session, which may be lost.
func (w *world) give(s session) {
	w.Helper()
	_ = s.Close(w.Context())
	w.await("the session to be free", func() bool {
		i := slices.IndexFunc(w.Sessions("files"), func(i broker.SessionInfo) bool { return i.ID == s.ID() })
		return i < 0 || !w.Sessions("files")[i].Owned
	})
}

func (w *world) dead(p process) receiver {
	d := p.DeadLetters(files)
	w.Cleanup(func() { w.closed(d) })
	return d
}

func (w *world) closed(d receiver) { _ = d.Close(context.Background()) }

func (w *world) receive(s session) *azservicebus.ReceivedMessage {
	w.Helper()
	m, err := s.Receive(w.Context(), time.Second)
	w.must(err)
	if m == nil {
		w.Fatal("no message came")
	}
	return m
}

func (w *world) state(s session) string {
	w.Helper()
	state, err := s.State(w.Context())
	w.must(err)
	return string(state)
}

// bodies returns what is left at an address, in order.
func (w *world) bodies(address string) (out []string) {
	for _, m := range w.Messages(address) {
		out = append(out, string(m.Body))
	}
	return out
}

// expire ends the lock of a session, and waits until its owner could know.
func (w *world) expire(id string) {
	w.Helper()
	if !w.ExpireSession("files", id) {
		w.Fatalf("nobody owned %q", id)
	}
}

// idle checks that an accept waits, and then finds nothing.
func (w *world) idle(p process, src bus.Source) {
	w.Helper()
	const wait = time.Second
	got := make(chan error, 1)
	go func() {
		_, err := p.AcceptNext(w.Context(), src, wait)
		got <- err
	}()
	w.await("an accept", func() bool { return w.Accepting(bustest.Address(src)) == 1 })
	select {
	case err := <-got:
		w.Fatalf("it did not wait: %v", err)
	default:
	}
	w.Pass(wait + 10*time.Millisecond)
	if err := <-got; !errors.Is(err, bus.ErrIdle) {
		w.Errorf("got %v", err)
	}
}

func (w *world) await(what string, check func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	if err := w.Await(ctx, check); err != nil {
		w.Fatalf("waited for %s: %v", what, err)
	}
}
