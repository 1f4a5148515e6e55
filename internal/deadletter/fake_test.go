package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/letter"
)

// fakeBroker is bustest as a Broker: the queue q with sessions and duplicate detection, the queue "elsewhere" with
// sessions, and the topic t with the subscription s. The command is one process on it; workers are another.
type fakeBroker struct {
	*bustest.Broker
	t       testing.TB
	command *bustest.Client
	worker  *bustest.Client

	mu    sync.Mutex
	fault func(c bustest.Call, n int) bustest.Fault // of the command's call n; may be nil
	calls []bustest.Call                            // of the command
}

func newFake(t testing.TB, more ...func(q *entity.QueueDescription)) *fakeBroker {
	t.Helper()
	queue, elsewhere := entity.NewQueue("q"), entity.NewQueue("elsewhere")
	queue.RequiresSession, queue.RequiresDuplicateDetection, queue.LockDuration = true, true, time.Minute
	elsewhere.RequiresSession = true
	for _, f := range more {
		f(&queue)
	}
	sub, topic := entity.NewSubscription("s"), entity.NewTopic("t")
	sub.RequiresSession = true
	topic.Subscriptions = []entity.SubscriptionDescription{sub}
	b := &fakeBroker{t: t, Broker: bustest.New(t, entity.Namespace{
		Queues: []entity.QueueDescription{queue, elsewhere}, Topics: []entity.TopicDescription{topic},
	})}
	b.command, b.worker = b.Client(), b.Client()
	b.Broker.Fault = func(c bustest.Call) bustest.Fault {
		if c.By != b.command {
			return bustest.Fault{}
		}
		b.mu.Lock()
		n, fault := len(b.calls), b.fault
		b.calls = append(b.calls, c)
		b.mu.Unlock()
		if fault == nil {
			return bustest.Fault{}
		}
		return fault(c, n)
	}
	return b
}

// called reports whether the command made such a call.
func (b *fakeBroker) called(op bustest.Op) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.calls, func(c bustest.Call) bool { return c.Op == op })
}

func (b *fakeBroker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// put sends a message as a producer does, and returns its sequence number.
func (b *fakeBroker) put(session, id, body string, props map[string]any) int64 {
	b.t.Helper()
	b.must(b.Put("q", &azservicebus.Message{
		SessionID: &session, MessageID: &id, Body: []byte(body), ApplicationProperties: maps.Clone(props),
	}))
	queue := b.queue()
	return queue[len(queue)-1].Sequence
}

// kill moves the first message of a session to the dead-letter queue, as a lane does it.
func (b *fakeBroker) kill(session, reason string) { b.killAs(q, session, reason, 0) }

// killAs is kill for a file that had another sequence number in its queue; 0 for the same.
func (b *fakeBroker) killAs(of contract.Source, session, reason string, seq int64) {
	b.t.Helper()
	ctx := context.Background()
	told := func(m *azservicebus.ReceivedMessage) *azservicebus.DeadLetterOptions {
		if seq == 0 {
			seq = *m.SequenceNumber
		}
		return &azservicebus.DeadLetterOptions{
			Reason: &reason, ErrorDescription: new("description"),
			PropertiesToModify: map[string]any{
				letter.PropSequenceNumber: seq, letter.PropAttempts: int64(3), letter.PropLastAttempt: letter.Stamp(time.Now()),
			},
		}
	}
	s, err := b.worker.AcceptByID(ctx, of, session)
	if errors.Is(err, bus.ErrNoSessions) {
		r := b.worker.Receiver(of, 0)
		got, err := r.Receive(ctx, 1, time.Second)
		b.must(err)
		b.must(r.DeadLetter(got[0].LockToken, told(got[0])))
		b.must(r.Close(ctx))
		return
	}
	b.must(err)
	m, err := s.Receive(ctx, time.Second)
	b.must(err)
	b.must(s.DeadLetter(ctx, m, told(m)))
	b.must(s.Close(ctx))
}

// group kills n files of a session: ID s-1 with body "s1", and so on.
func (b *fakeBroker) group(session string, n int) {
	b.t.Helper()
	for i := range n {
		b.put(session, fmt.Sprintf("%s-%d", session, i+1), fmt.Sprintf("%s%d", session, i+1), nil)
		b.kill(session, "ProcessedWithErrors")
	}
}

// misordered is group for files that stand in the dead-letter queue in another order than they had in their own: each
// number of order is a file.
func (b *fakeBroker) misordered(session string, order ...int) {
	b.t.Helper()
	for _, i := range order {
		b.put(session, fmt.Sprintf("%s-%d", session, i), fmt.Sprintf("%s%d", session, i), nil)
		b.killAs(q, session, "ProcessedWithErrors", int64(i))
	}
}

// backwards returns n, n-1 and so on down to 1.
func backwards(n int) []int {
	var order []int
	for i := range n {
		order = append(order, n-i)
	}
	return order
}

func (b *fakeBroker) queue() []broker.MessageInfo { return b.Messages("q") }
func (b *fakeBroker) dead() []broker.MessageInfo  { return b.Messages("q/$DeadLetterQueue") }

// lockedDead returns how many dead letters somebody has locked.
func (b *fakeBroker) lockedDead() (n int) {
	for _, m := range b.dead() {
		if m.State == "locked" {
			n++
		}
	}
	return n
}

// owned returns how many sessions somebody has locked.
func (b *fakeBroker) owned() (n int) {
	for _, s := range b.SessionsOf("q") {
		if s.Owned {
			n++
		}
	}
	return n
}

// bodies returns what waits in a session of the queue, in order.
func (b *fakeBroker) bodies(session string) (out []string) {
	for _, m := range b.queue() {
		if m.SessionID == session {
			out = append(out, string(m.Body))
		}
	}
	return out
}

// meddle is another program that locks all dead letters and does something with the nth one; what it leaves locked is
// given back, but for that one.
func (b *fakeBroker) meddle(nth int, do func(r *bustest.Receiver, m *azservicebus.ReceivedMessage) error) {
	b.t.Helper()
	ctx := context.Background()
	r := b.worker.Receiver(q, azservicebus.SubQueueDeadLetter)
	got, err := r.Receive(ctx, 1000, time.Second)
	b.must(err)
	r.Stop(ctx)
	b.must(do(r, got[nth]))
	for _, m := range slices.Delete(got, nth, nth+1) {
		b.must(r.Abandon(ctx, m.LockToken))
	}
}

func (b *fakeBroker) deferDead(nth int) {
	b.meddle(nth, func(r *bustest.Receiver, m *azservicebus.ReceivedMessage) error { return r.Defer(m.LockToken) })
}

func (b *fakeBroker) DeadLetters(s contract.Source) Queue {
	return b.command.Receiver(s, azservicebus.SubQueueDeadLetter)
}

func (b *fakeBroker) Sender(target string) Target { return fakeTarget{b.command.Sender(target)} }

func (b *fakeBroker) Session(ctx context.Context, of contract.Source, id string) (Session, error) {
	s, err := b.command.AcceptByID(ctx, of, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (b *fakeBroker) Sessions(ctx context.Context, s contract.Source) iter.Seq2[string, error] {
	return b.command.Sessions(ctx, s)
}

type fakeTarget struct{ *bustest.Sender }

func (t fakeTarget) Send(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	return t.SendAMQP(ctx, m)
}

// park writes a ledger into the state of a session: it is held at a file, or drains behind it, and F&O has some files.
func (b *fakeBroker) park(session string, mode ledger.ParkMode, seq int64, inFno ...int64) {
	b.t.Helper()
	b.must(b.SetState(q, session, parkedAt(b.t, mode, seq, inFno...)))
}

func parkedAt(t testing.TB, mode ledger.ParkMode, seq int64, inFno ...int64) []byte {
	t.Helper()
	l := ledger.Ledger{Park: &ledger.Park{Mode: mode, Seq: seq, Reason: failure.ProcessedWithErrors, Since: time.Now()}}
	for _, n := range inFno {
		l.Files = append(l.Files, &ledger.Entry{Seq: n, Phase: ledger.InFno, FnoID: "x"})
	}
	return encoded(t, l)
}

func encoded(t testing.TB, l ledger.Ledger) []byte {
	t.Helper()
	state, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// parked reports whether a session is held or drains.
func (b *fakeBroker) parked(session string) bool {
	b.t.Helper()
	l, err := ledger.Decode(b.State(q, session))
	b.must(err)
	return l.Park != nil
}
