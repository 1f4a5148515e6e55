package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a broker with a clock of its own.
type world struct {
	t     *testing.T
	b     *broker.Broker
	clock *broker.FakeClock
}

func build(t *testing.T, n entity.Namespace) *world {
	t.Helper()
	clock := broker.NewFakeClock(epoch)
	b, err := broker.New(clock, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &world{t, b, clock}
}

// queueOf is a namespace with the queue "q" and whatever else is given.
func queueOf(change func(*entity.QueueDescription), more ...entity.QueueDescription) entity.Namespace {
	q := entity.NewQueue("q")
	if change != nil {
		change(&q)
	}
	return entity.Namespace{Queues: append([]entity.QueueDescription{q}, more...)}
}

func sessions(q *entity.QueueDescription) { q.RequiresSession = true }

// client is a receiver that keeps what it hears.
type client struct {
	w       *world
	c       *broker.Consumer
	got     []delivery
	session string
	until   time.Time
	granted bool
	refused *amqp.Error
	gone    *amqp.Error
	busy    bool
	drained []uint32
}

type delivery struct {
	token amqp.UUID
	seq   int64
	body  string
	count uint32
	raw   []byte
}

func (x *client) Ready() bool { return !x.busy }
func (x *client) Granted(session string, until time.Time) {
	x.session, x.until, x.granted = session, until, true
}
func (x *client) Refused(err *amqp.Error) { x.refused = err }
func (x *client) Drained(n uint32)        { x.drained = append(x.drained, n) }
func (x *client) Detach(err *amqp.Error)  { x.gone = err }

func (x *client) Deliver(d broker.Delivery) {
	raw := d.Append(nil)
	m, err := amqp.ParseMessage(raw)
	if err != nil {
		x.w.t.Fatal(err)
	}
	all, err := m.Datas()
	if err != nil {
		x.w.t.Fatal(err)
	}
	x.got = append(x.got, delivery{d.Token(), d.Sequence(), string(slices.Concat(all...)), m.Header.DeliveryCount, raw})
}

// open attaches; credit is given at once.
func (w *world) open(o broker.ConsumerOptions, credit uint32) *client {
	w.t.Helper()
	x := &client{w: w}
	o.Sink = x
	c, err := w.b.OpenConsumer(o)
	if err != nil {
		w.t.Fatal(err)
	}
	x.c = c
	if credit > 0 {
		c.Flow(0, credit, false)
	}
	return x
}

func (w *world) receive(address string, credit uint32) *client {
	w.t.Helper()
	return w.open(broker.ConsumerOptions{Address: address}, credit)
}

func (w *world) accept(id string, credit uint32) *client {
	w.t.Helper()
	return w.open(broker.ConsumerOptions{Address: "q", Accept: broker.SessionByID, Session: id}, credit)
}

func (x *client) settle(i int, o broker.Outcome) {
	x.w.t.Helper()
	if err := x.c.Settle(x.got[i].token, o); err != nil {
		x.w.t.Fatal(err)
	}
}

func (x *client) bodies() []string {
	out := []string{}
	for _, d := range x.got {
		out = append(out, d.body)
	}
	return out
}

// message is an encoded message.
type message struct {
	body, id, session string
	ttl               time.Duration
	due               time.Time
	properties        amqp.Map
}

func (m message) encode() []byte {
	var p amqp.Properties
	if m.id != "" {
		p.MessageID = m.id
	}
	if m.session != "" {
		p.GroupID = &m.session
	}
	out := amqp.Message{Properties: p.Encode(), Body: amqp.AppendBinary([]byte{0, 0x53, amqp.SectionData}, []byte(m.body))}
	if m.ttl > 0 {
		out.HasHeader, out.Header = true, amqp.Header{Priority: 4, TTL: m.ttl, HasTTL: true}
	}
	if !m.due.IsZero() {
		out.MessageAnnotations = amqp.AppendMap(nil,
			amqp.Map{{Key: amqp.Symbol("x-opt-scheduled-enqueue-time"), Value: amqp.TimestampOf(m.due)}})
	}
	if m.properties != nil {
		out.ApplicationProperties = amqp.AppendMap(nil, m.properties)
	}
	return out.Append(nil)
}

func (w *world) trySend(to string, ms ...message) *amqp.Error {
	w.t.Helper()
	p, err := w.b.OpenProducer(to, &client{w: w})
	if err != nil {
		return err
	}
	defer p.Close()
	var raw [][]byte
	for _, m := range ms {
		raw = append(raw, m.encode())
	}
	return p.Send(raw...)
}

func (w *world) send(to string, ms ...message) {
	w.t.Helper()
	if err := w.trySend(to, ms...); err != nil {
		w.t.Fatal(err)
	}
}

// lies tells what lies in an entity: body, state and delivery count of each message.
func (w *world) lies(address string) []string {
	out := []string{}
	for _, m := range w.b.Messages(address) {
		out = append(out, fmt.Sprintf("%s %s %d", m.Body, m.State, m.DeliveryCount))
	}
	return out
}

func (w *world) expect(address string, want ...string) {
	w.t.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, w.lies(address)); diff != "" {
		w.t.Errorf("%s:\n%s", address, diff)
	}
}

func (w *world) manager(address string) *broker.Manager {
	w.t.Helper()
	m, err := w.b.OpenManager(address)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// of recognises one client.
func of(x *client) broker.Owner { return func(c *broker.Consumer) bool { return c.Sink() == x } }

func condition(err *amqp.Error) amqp.Symbol {
	if err == nil {
		return ""
	}
	return err.Condition
}
