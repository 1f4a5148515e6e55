package bustest

import (
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
)

// A Broker is a namespace. Its exported fields are set while no call is under way.
type Broker struct {
	*broker.Broker // to look at it, to wait for something in it, and to end locks

	Delay time.Duration    // of every call
	Skew  time.Duration    // of the broker's clock against ours
	Fault func(Call) Fault // asked before each call; nil for none

	mu     sync.Mutex
	calls  map[Op]int           // how often each was called
	called int                  // all together
	owners map[sessionKey]*link // to whom each session was granted last
}

// New returns a broker with the given entities. It ends with the test.
func New(t testing.TB, n entity.Namespace) *Broker {
	t.Helper()
	b := &Broker{calls: map[Op]int{}, owners: map[sessionKey]*link{}}
	var err error
	if b.Broker, err = broker.New(clock{b}, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Address returns the path of a queue or a subscription, as Service Bus writes it.
func Address(src bus.Source) string {
	if src.Queue != "" {
		return src.Queue
	}
	return src.Topic + "/Subscriptions/" + src.Subscription
}

// clock is the broker's clock, which may be ahead of ours or behind.
type clock struct{ b *Broker }

func (c clock) Now() time.Time { return time.Now().Add(c.b.Skew) }

func (c clock) AfterFunc(d time.Duration, f func()) broker.Timer { return time.AfterFunc(d, f) }

// SetLock changes the lock duration of a queue for the locks that are granted or renewed from now on.
func (b *Broker) SetLock(queue string, d time.Duration) error {
	q, err := b.Admin().Queue(queue)
	if err != nil {
		return err
	}
	q.LockDuration = d
	return b.Admin().UpdateQueue(q.QueueDescription)
}

// Put sends a message past all faults, as some other program does.
func (b *Broker) Put(entity string, m *azservicebus.Message) error {
	return b.PutAMQP(entity, annotate(m))
}

// PutAMQP is Put for a message with everything that AMQP knows of it.
func (b *Broker) PutAMQP(entity string, m *azservicebus.AMQPAnnotatedMessage) error {
	raw, err := encode(m)
	if err != nil {
		return err
	}
	p, refused := b.OpenProducer(entity, silent{})
	if refused != nil {
		return refused
	}
	defer p.Close()
	return asError(p.Send(raw))
}

// SetState writes the state of a session past every lock, as an earlier owner may have left it.
func (b *Broker) SetState(src bus.Source, id string, state []byte) error {
	m, refused := b.OpenManager(Address(src))
	if refused != nil {
		return refused
	}
	anybody := func(*broker.Consumer) bool { return true }
	for {
		refused := m.SetSessionState(id, state, anybody)
		if refused == nil || refused.Condition != amqp.SessionLockLost {
			return asError(refused)
		}
		// Nobody owns it: take it for a moment, unless somebody else comes first.
		c, refused := b.OpenConsumer(broker.ConsumerOptions{
			Address: Address(src), Accept: broker.SessionByID, Session: id, Sink: b.newLink(Address(src)),
		})
		if refused != nil {
			continue
		}
		err := asError(m.SetSessionState(id, state, func(o *broker.Consumer) bool { return o == c }))
		c.Close()
		return err
	}
}

// State returns the state of a session, whoever owns it; nil when it has none.
func (b *Broker) State(src bus.Source, id string) []byte {
	for _, s := range b.SessionsOf(Address(src)) {
		if s.ID == id {
			return s.State
		}
	}
	return nil
}

// Calls returns how often an operation was called; all of them together for "".
func (b *Broker) Calls(op Op) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if op == "" {
		return b.called
	}
	return b.calls[op]
}

// asError keeps a nil of the broker's error type nil.
func asError(err *amqp.Error) error {
	if err == nil {
		return nil
	}
	return err
}
