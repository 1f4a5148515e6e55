package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/bus/bustest"
)

// theFiles is the queue of every world.
var theFiles = bus.Source{Queue: "files"}

const (
	theQueue       = "files"
	theDeadLetters = theQueue + "/$DeadLetterQueue"
)

// A fakeBroker is the Service Bus of a world: bustest with the faults of the world's plan, and with an eye on what no
// worker may do.
type fakeBroker struct {
	*bustest.Broker
	lock  time.Duration // of a session; as it is when the first process starts
	skew  time.Duration // of the broker's clock against ours; likewise
	delay time.Duration // of every call
	plan  *faultPlan

	skips func(seq int64) bool // whether a message is handed out behind the next one, as no broker should; may be nil
	held  func(time.Duration)  // told of every receiver that is closed, how long it was held; may be nil

	mu     sync.Mutex
	ready  bool          // lock and skew are applied
	sent   int64         // messages; the broker numbers them in this order
	dead   []deadMessage // in the order in which they were dead-lettered
	broken []string      // promises that were seen broken
}

// A deadMessage is a dead letter.
type deadMessage struct {
	seq                         int64
	id, session, reason, detail string
	props                       map[string]any
}

var errKilled = bustest.ErrKilled

// A process is what dies as a whole.
type process struct {
	*bustest.Client
	name string
}

func newFakeBroker(t *testing.T, lock time.Duration, plan *faultPlan) *fakeBroker {
	q := entity.NewQueue(theQueue)
	// A message is not to die of what the faults do to its session.
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount = true, lock, entity.MaxMaxDeliveryCount
	b := &fakeBroker{
		Broker: bustest.New(t, entity.Namespace{Queues: []entity.QueueDescription{q}}),
		lock:   lock, delay: time.Millisecond, plan: plan,
	}
	b.Delay, b.Fault = b.delay, b.fault
	return b
}

// fault asks the plan.
func (b *fakeBroker) fault(c bustest.Call) bustest.Fault {
	switch b.plan.at(string(c.Op)) {
	case failsBefore:
		return bustest.Fault{Skip: true, Err: errReset}
	case replyLost:
		return bustest.Fault{Err: errReset}
	case hangs:
		return bustest.Fault{Hang: true}
	case lockLost:
		if c.Op == bustest.OpAccept || c.Op == bustest.OpAcceptByID {
			return bustest.Fault{Then: func(c bustest.Call) { b.steal(c.Session) }}
		}
		return bustest.Fault{First: func() { b.steal(c.Session) }}
	}
	return bustest.Fault{}
}

// process makes a process, and the broker what the world wants it to be.
func (b *fakeBroker) process(t *testing.T, name string) *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ready {
		b.ready, b.Skew = true, b.skew
		if err := b.SetLock(theQueue, b.lock); err != nil {
			t.Fatal(err)
		}
	}
	return &process{Client: b.Client(), name: name}
}

// send puts a message into the queue and returns its number.
func (b *fakeBroker) send(session, id string, body []byte, props map[string]any) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &azservicebus.Message{MessageID: &id, SessionID: &session, Body: body, ApplicationProperties: props}
	if err := b.Put(theQueue, m); err != nil {
		panic(err)
	}
	b.sent++
	return b.sent
}

// await waits until ok, which is called with mu held, or the time is over.
func (b *fakeBroker) await(ctx context.Context, ok func() bool) error {
	return b.Await(ctx, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return ok()
	})
}

func (b *fakeBroker) steal(id string) { b.Steal(theFiles, id) }

// has reports whether a message is still in the queue.
func (b *fakeBroker) has(seq int64) bool {
	return slices.ContainsFunc(b.Messages(theQueue), func(m broker.MessageInfo) bool { return m.Sequence == seq })
}

// owned reports whether the process may act for the session: it has its lock, or lost it in a way that nobody could
// know of.
func (b *fakeBroker) owned(p *process, id string) bool { return p.Owns(theFiles, id) || p.Robbed(id) }

// ownedByAnother reports whether another process has the session, and the first could have known.
func (b *fakeBroker) ownedByAnother(p *process, id string) bool {
	o := b.Owner(theFiles, id)
	return o != nil && o != p.Client && !p.Robbed(id) && p.Alive()
}

// free reports whether nobody has the session.
func (b *fakeBroker) free(id string) bool {
	return !slices.ContainsFunc(b.SessionsOf(theQueue), func(s broker.SessionInfo) bool { return s.ID == id && s.Owned })
}

func (b *fakeBroker) wrong(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
}

// left returns the number of messages that are still in the queue.
func (b *fakeBroker) left() int {
	c, _ := b.CountsOf(theQueue)
	return c.Active
}

func (b *fakeBroker) stateOf(id string) []byte { return b.State(theFiles, id) }

func (b *fakeBroker) setState(id string, state []byte) {
	if err := b.SetState(theFiles, id, state); err != nil {
		panic(err)
	}
}

// noteDead notes a message that has just become a dead letter, whatever its worker heard of it.
func (b *fakeBroker) noteDead(seq int64) {
	letters := b.Messages(theDeadLetters)
	i := slices.IndexFunc(letters, func(m broker.MessageInfo) bool { return m.Sequence == seq })
	b.mu.Lock()
	defer b.mu.Unlock()
	if i < 0 || slices.ContainsFunc(b.dead, func(d deadMessage) bool { return d.seq == seq }) {
		return
	}
	m := letters[i]
	b.dead = append(b.dead, deadMessage{
		seq: seq, id: m.MessageID, session: m.SessionID, reason: m.DeadLetterReason, detail: m.DeadLetterDescription,
		props: m.Properties,
	})
}

// A fakeAcceptor is the broker as one process sees it.
type fakeAcceptor struct {
	b *fakeBroker
	p *process
}

func (a fakeAcceptor) AcceptNext(ctx context.Context, d time.Duration) (Session, error) {
	return a.accepted(a.p.AcceptNext(ctx, theFiles, d))
}

func (a fakeAcceptor) AcceptByID(ctx context.Context, id string) (Session, error) {
	return a.accepted(a.p.AcceptByID(ctx, theFiles, id))
}

func (a fakeAcceptor) accepted(s *bustest.Session, err error) (Session, error) {
	if err != nil {
		return nil, err
	}
	return &fakeLink{Session: s, b: a.b, p: a.p, accepted: time.Now()}, nil
}

// A fakeLink is an accepted session.
type fakeLink struct {
	*bustest.Session
	b        *fakeBroker
	p        *process
	accepted time.Time
	late     *azservicebus.ReceivedMessage // the message that is handed out behind its successor
}

func (k *fakeLink) Receive(ctx context.Context, d time.Duration) (*azservicebus.ReceivedMessage, error) {
	if m := k.late; m != nil {
		k.late = nil
		return m, nil
	}
	m, err := k.Session.Receive(ctx, d)
	if m == nil || k.b.skips == nil || !k.b.skips(*m.SequenceNumber) {
		return m, err
	}
	next, err := k.Session.Receive(ctx, time.Millisecond)
	if next == nil {
		return m, err
	}
	k.late = m
	return next, nil
}

func (k *fakeLink) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	return k.settled(m, k.Session.Complete(ctx, m))
}

func (k *fakeLink) DeadLetter(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error {
	err := k.settled(m, k.Session.DeadLetter(ctx, m, o))
	k.b.noteDead(*m.SequenceNumber)
	return err
}

// settled looks whether an owner was refused: the message was settled before, or is not his.
func (k *fakeLink) settled(m *azservicebus.ReceivedMessage, err error) error {
	if errors.Is(err, bustest.ErrNotLocked) && k.b.owned(k.p, k.ID()) {
		k.b.wrong("%s settled message %d, which was settled before or not received", k.p.name, *m.SequenceNumber)
	}
	return err
}

func (k *fakeLink) Close(ctx context.Context) error {
	err := k.Session.Close(ctx)
	if err == nil && k.b.held != nil {
		k.b.held(time.Since(k.accepted))
	}
	return err
}

// locked returns how many sessions are owned.
func (b *fakeBroker) locked() int {
	n := 0
	for _, s := range b.SessionsOf(theQueue) {
		if s.Owned {
			n++
		}
	}
	return n
}

// empty reports whether a session has no messages.
func (b *fakeBroker) empty(session string) bool {
	return !slices.ContainsFunc(b.Messages(theQueue), func(m broker.MessageInfo) bool { return m.SessionID == session })
}
