package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
)

// The tests of this package run over TCP, because cuts, stalls and refused connections are a matter of sockets. Those of
// package bus itself run in memory and in synthetic time.

// enough is a wait that only a failing test runs out of.
const enough = 20 * time.Second

var (
	orders = bus.Source{Queue: "orders"}
	sub    = bus.Source{Topic: "topic", Subscription: "sub"}
)

// world is a broker and, unless a test makes more, one Bus on it.
type world struct {
	t      *testing.T
	server *servicebus.Server
	bus    *bus.Bus
	made   *atomic.Int32 // clients, by the one Bus
}

func newWorld(t *testing.T, more ...func(*servicebus.Options, *bus.Options)) *world {
	t.Helper()
	q := entity.NewQueue("orders")
	q.RequiresSession = true
	s := entity.NewSubscription("sub")
	s.RequiresSession = true
	topic := entity.NewTopic("topic")
	topic.Subscriptions = []entity.SubscriptionDescription{s}
	so := servicebus.Options{Namespace: entity.Namespace{
		Queues: []entity.QueueDescription{q, entity.NewQueue("status")}, Topics: []entity.TopicDescription{topic},
	}}
	w := &world{t: t, made: &atomic.Int32{}}
	bo := bus.Options{Connect: w.connect, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range more {
		f(&so, &bo)
	}
	var err error
	if w.server, err = servicebus.Start(so); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.bus = w.open(bo)
	return w
}

// bound sets the bound of one call on a session.
func bound(d time.Duration) func(*servicebus.Options, *bus.Options) {
	return func(_ *servicebus.Options, o *bus.Options) { o.CallTimeout = d }
}

func (w *world) connect(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
	w.made.Add(1)
	return w.client(r)
}

func (w *world) client(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
	return azservicebus.NewClientFromConnectionString(w.server.ConnectionString(), &azservicebus.ClientOptions{RetryOptions: r})
}

func (w *world) open(o bus.Options) *bus.Bus {
	w.t.Helper()
	b, err := bus.Open(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		_ = b.Close(ctx) // its connection may have been cut
	})
	return b
}

// another opens a Bus of another process.
func (w *world) another() *bus.Bus { return w.open(bus.Options{Connect: w.client}) }

// put sends one message after another to a session from outside the bus under test.
func (w *world) put(entity, session string, bodies ...string) {
	w.t.Helper()
	client, err := w.client(azservicebus.RetryOptions{})
	w.must(err)
	defer func() { _ = client.Close(w.t.Context()) }() // the messages are there
	s, err := client.NewSender(entity, nil)
	w.must(err)
	for _, b := range bodies {
		w.must(s.SendMessage(w.t.Context(), &azservicebus.Message{Body: []byte(b), SessionID: &session}, nil))
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) await(check func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), enough)
	defer cancel()
	if err := w.server.Await(ctx, check); err != nil {
		w.t.Fatalf("it never came to that: %v", err)
	}
}

// take takes one session by its ID; it is closed at the end at the latest.
func (w *world) take(b *bus.Bus, src bus.Source, id string) *bus.Session {
	w.t.Helper()
	s, err := b.AcceptByID(w.t.Context(), src, id)
	w.must(err)
	w.giveBack(s)
	return s
}

func (w *world) giveBack(s *bus.Session) {
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		_ = s.Close(ctx) // it may be lost
	})
}

func (w *world) receive(s *bus.Session) *azservicebus.ReceivedMessage {
	w.t.Helper()
	for range 10 { // one wait is cut short by the bound of a call
		m, err := s.Receive(w.t.Context(), enough)
		w.must(err)
		if m != nil {
			return m
		}
	}
	w.t.Fatal("no message came")
	return nil
}

// session tells what the broker knows of a session; the zero value when nothing.
func (w *world) session(src bus.Source, id string) servicebus.Session {
	for _, s := range w.server.Sessions(bus.PathOf(src)) {
		if s.ID == id {
			return s
		}
	}
	return servicebus.Session{}
}

// A deed is a call on a session; m is a message received on it.
type deed struct {
	name string
	op   servicebus.Op
	do   func(ctx context.Context, s *bus.Session, m *azservicebus.ReceivedMessage) error
}

// deeds are all calls but Close. Receive fails the test's way when it takes a loss for an empty session.
var deeds = []deed{
	{"receive", servicebus.OpReceive, func(ctx context.Context, s *bus.Session, _ *azservicebus.ReceivedMessage) error {
		m, err := s.Receive(ctx, enough)
		if err == nil {
			return fmt.Errorf("received %v", m)
		}
		return err
	}},
	{"renew", servicebus.OpRenew, func(ctx context.Context, s *bus.Session, _ *azservicebus.ReceivedMessage) error {
		return s.Renew(ctx)
	}},
	{"state", servicebus.OpGetState, func(ctx context.Context, s *bus.Session, _ *azservicebus.ReceivedMessage) error {
		_, err := s.State(ctx)
		return err
	}},
	{"set state", servicebus.OpSetState, func(ctx context.Context, s *bus.Session, _ *azservicebus.ReceivedMessage) error {
		return s.SetState(ctx, []byte("of the old owner"))
	}},
	{"complete", servicebus.OpComplete, func(ctx context.Context, s *bus.Session, m *azservicebus.ReceivedMessage) error {
		return s.Complete(ctx, m)
	}},
	{"dead-letter", servicebus.OpDeadLetter, func(ctx context.Context, s *bus.Session, m *azservicebus.ReceivedMessage) error {
		return s.DeadLetter(ctx, m, nil)
	}},
}

// lost checks that an error says that the session is lost and that the next calls say so without asking the broker.
func (w *world) lost(s *bus.Session, m *azservicebus.ReceivedMessage, err error) {
	w.t.Helper()
	if !errors.Is(err, bus.ErrLost) {
		w.t.Errorf("got %v, want that the session is lost", err)
	}
	asked := w.server.Faults().Add(servicebus.Fault{Effect: servicebus.Pass, Times: -1})
	defer asked.Disarm()
	for _, d := range deeds {
		if err := d.do(w.t.Context(), s, m); !errors.Is(err, bus.ErrLost) {
			w.t.Errorf("then %s: %v", d.name, err)
		}
	}
	if n := asked.Count(); n > 0 {
		w.t.Errorf("a lost session asked the broker %d times", n)
	}
}
