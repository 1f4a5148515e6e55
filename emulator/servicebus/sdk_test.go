package servicebus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"

	sb "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// namespace is what most tests use: q, s (sessions), dup (duplicate detection), t with subscriptions a and, with
// sessions, b.
func namespace() entity.Namespace {
	s := entity.NewQueue("s")
	s.RequiresSession = true
	dup := entity.NewQueue("dup")
	dup.RequiresDuplicateDetection = true
	topic := entity.NewTopic("t")
	b := entity.NewSubscription("b")
	b.RequiresSession = true
	topic.Subscriptions = []entity.SubscriptionDescription{entity.NewSubscription("a"), b}
	return entity.Namespace{Queues: []entity.QueueDescription{entity.NewQueue("q"), s, dup},
		Topics: []entity.TopicDescription{topic}}
}

type rig struct {
	t      *testing.T
	server *servicebustest.Bus
	client *sb.Client
}

func start(t *testing.T, o servicebus.Options) *rig {
	t.Helper()
	if len(o.Namespace.Queues) == 0 && len(o.Namespace.Topics) == 0 {
		o.Namespace = namespace()
	}
	r := &rig{t: t, server: servicebustest.New(t, func(all *servicebus.Options) { *all = o })}
	r.client = r.connect()
	return r
}

func (r *rig) connect() *sb.Client {
	r.t.Helper()
	return r.server.Client(nil)
}

func (r *rig) send(to string, ms ...*sb.Message) {
	r.t.Helper()
	s, err := r.client.NewSender(to, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = s.Close(r.t.Context()) }() // nothing depends on it
	for _, m := range ms {
		if err := s.SendMessage(r.t.Context(), m, nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

func text(s string) *sb.Message { return &sb.Message{Body: []byte(s)} }

func in(session, s string) *sb.Message { return &sb.Message{Body: []byte(s), SessionID: &session} }

type receiver interface {
	ReceiveMessages(context.Context, int, *sb.ReceiveMessagesOptions) ([]*sb.ReceivedMessage, error)
}

func (r *rig) one(from receiver) *sb.ReceivedMessage {
	r.t.Helper()
	ms, err := from.ReceiveMessages(r.t.Context(), 1, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(ms) != 1 {
		r.t.Fatalf("%d messages received, want 1", len(ms))
	}
	return ms[0]
}

func (r *rig) receiver(queue string, o *sb.ReceiverOptions) *sb.Receiver {
	r.t.Helper()
	x, err := r.client.NewReceiverForQueue(queue, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) accept(queue, id string) *sb.SessionReceiver {
	r.t.Helper()
	x, err := r.client.AcceptSessionForQueue(r.t.Context(), queue, id, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestSendReceiveComplete(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("q", text("one"), text("two"))
	x := r.receiver("q", nil)
	for _, want := range []string{"one", "two"} {
		m := r.one(x)
		if string(m.Body) != want || m.DeliveryCount != 1 {
			t.Errorf("got %q, delivery %d, want %q, 1", m.Body, m.DeliveryCount, want)
		}
		r.must(x.CompleteMessage(t.Context(), m, nil))
	}
}

func TestSessionState(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("s", in("A", "1"), in("A", "2"), in("B", "3"))
	a := r.accept("s", "A")
	state, err := a.GetSessionState(t.Context(), nil)
	r.must(err)
	if state != nil {
		t.Errorf("state %q, want none", state)
	}
	r.must(a.SetSessionState(t.Context(), []byte("hello"), nil))
	state, err = a.GetSessionState(t.Context(), nil)
	r.must(err)
	if string(state) != "hello" {
		t.Errorf("state %q", state)
	}
	r.must(a.RenewSessionLock(t.Context(), nil))
	m := r.one(a)
	if string(m.Body) != "1" {
		t.Errorf("got %q", m.Body)
	}
	r.must(a.DeadLetterMessage(t.Context(), m, &sb.DeadLetterOptions{Reason: new("why"), ErrorDescription: new("text")}))
	b, err := r.client.AcceptNextSessionForQueue(t.Context(), "s", nil)
	r.must(err)
	if b.SessionID() != "B" {
		t.Errorf("session %q", b.SessionID())
	}
	_, err = r.connect().AcceptSessionForQueue(t.Context(), "s", "A", nil)
	if err == nil {
		t.Error("an owned session was accepted")
	}
	r.must(a.Close(t.Context()))
	r.accept("s", "A")
	d := r.one(r.receiver("s", &sb.ReceiverOptions{SubQueue: sb.SubQueueDeadLetter}))
	if *d.DeadLetterReason != "why" || *d.DeadLetterErrorDescription != "text" {
		t.Errorf("%+v", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = r.connect().AcceptNextSessionForQueue(ctx, "s", nil)
	// The broker answers a little before the client's own deadline; on a busy machine the client may be late to hear
	// it.
	if se, ok := errors.AsType[*sb.Error](err); (!ok || se.Code != sb.CodeTimeout) &&
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("accept without a free session: %v", err)
	}
}

func TestSubscription(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("t", in("S", "x"))
	x, err := r.client.NewReceiverForSubscription("t", "a", nil)
	r.must(err)
	m := r.one(x)
	r.must(x.AbandonMessage(t.Context(), m, nil))
	m = r.one(x)
	if m.DeliveryCount != 2 {
		t.Errorf("delivery %d", m.DeliveryCount)
	}
	r.must(x.DeferMessage(t.Context(), m, nil))
	ms, err := x.ReceiveDeferredMessages(t.Context(), []int64{*m.SequenceNumber}, nil)
	r.must(err)
	r.must(x.CompleteMessage(t.Context(), ms[0], nil))
	y, err := r.client.AcceptNextSessionForSubscription(t.Context(), "t", "b", nil)
	r.must(err)
	r.must(y.CompleteMessage(t.Context(), r.one(y), nil))
}

func TestDuplicatesAreDropped(t *testing.T) {
	r := start(t, servicebus.Options{})
	for i := range 3 {
		r.send("dup", &sb.Message{MessageID: new("same"), Body: fmt.Append(nil, i)})
	}
	ms, err := r.receiver("dup", nil).PeekMessages(t.Context(), 10, nil)
	r.must(err)
	if len(ms) != 1 {
		t.Errorf("%d messages, want 1", len(ms))
	}
}

func TestSchedule(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock})
	s, err := r.client.NewSender("q", nil)
	r.must(err)
	at := clock.Now().Add(time.Hour)
	nums, err := s.ScheduleMessages(t.Context(), []*sb.Message{text("later"), text("never")}, at, nil)
	r.must(err)
	r.must(s.CancelScheduledMessages(t.Context(), nums[1:], nil))
	x := r.receiver("q", nil)
	ms, err := x.PeekMessages(t.Context(), 10, nil)
	r.must(err)
	if len(ms) != 1 || ms[0].State != sb.MessageStateScheduled {
		t.Fatalf("%+v", ms)
	}
	clock.Advance(time.Hour)
	m := r.one(x)
	if string(m.Body) != "later" {
		t.Errorf("got %q", m.Body)
	}
}
