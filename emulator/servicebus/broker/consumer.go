package broker

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// Sink is a receiving link. Its methods are called under the broker's lock: they must not block and must not call the
// broker.
type Sink interface {
	// Ready reports whether the link can take a delivery now. After false the owner calls Consumer.Resume once it can.
	Ready() bool
	// Deliver sends a message; the Delivery is valid during the call only.
	Deliver(Delivery)
	// Granted tells which session was accepted.
	Granted(session string, until time.Time)
	// Refused ends a waiting accept.
	Refused(*amqp.Error)
	// Drained tells that unused credit was consumed.
	Drained(deliveryCount uint32)
	// Detach ends the link; the Consumer is closed already.
	Detach(*amqp.Error)
}

// Delivery is one message on its way to a client.
type Delivery struct {
	m       *message
	settled bool
}

// Token is the lock token, which is also the delivery tag.
func (d Delivery) Token() amqp.UUID { return d.m.token }

// Settled reports receive-and-delete.
func (d Delivery) Settled() bool { return d.settled }

// Sequence is the message's sequence number.
func (d Delivery) Sequence() int64 { return d.m.seq }

// Session is the message's session ID, "" when it has none.
func (d Delivery) Session() string { return d.m.session }

// Append appends the encoded message.
func (d Delivery) Append(b []byte) []byte {
	if d.settled {
		return d.m.append(b, asSettled)
	}
	return d.m.append(b, asDelivery)
}

// Accept says which messages a Consumer wants.
type Accept byte

// Kinds of receivers.
const (
	Plain       Accept = iota // no session
	NextSession               // any free session with messages, waiting for one
	SessionByID               // one session, at once
)

// ConsumerOptions describe a receiving link.
type ConsumerOptions struct {
	Address string
	Settled bool // receive and delete
	Accept  Accept
	Session string        // for SessionByID
	Wait    time.Duration // for NextSession
	Sink    Sink
}

// Consumer is a receiving link on one entity. All fields are guarded by the broker's lock.
type Consumer struct {
	b       *Broker
	q       *queue
	sink    Sink
	settled bool
	session *session // owned by this consumer
	accept  Accept

	credit    uint32
	delivered uint32 // the link's delivery-count
	blocked   bool   // sink was not ready
	closed    bool

	credited link[*Consumer]
	waiting  link[*Consumer]
	waitEnd  deadline
}

// OpenConsumer attaches a receiver. For a session the sink hears Granted or Refused, possibly before OpenConsumer
// returns.
func (b *Broker) OpenConsumer(o ConsumerOptions) (*Consumer, *amqp.Error) {
	now := b.enter()
	defer b.leave()
	q := b.find(o.Address)
	switch {
	case q == nil:
		return nil, notFound(o.Address)
	case q.topic != nil:
		return nil, amqp.Errorf(amqp.NotAllowed, "Cannot receive from the topic '%s': attach to one of its subscriptions.",
			q.path)
	case !q.settings.Status.Receives():
		return nil, disabled(q)
	case o.Accept == Plain && q.sessions != nil:
		return nil, amqp.Errorf(amqp.NotAllowed,
			"It is not possible for an entity that requires sessions to create a non-sessionful message receiver.")
	case o.Accept != Plain && q.sessions == nil:
		return nil, amqp.Errorf(amqp.NotAllowed,
			"A sessionful message receiver cannot be created on an entity that does not require sessions.")
	}
	c := &Consumer{b: b, q: q, sink: o.Sink, settled: o.Settled, accept: o.Accept}
	c.credited.v, c.waiting.v = c, c
	if o.Accept == SessionByID {
		s := q.session(o.Session)
		if s.owner != nil {
			return nil, amqp.Errorf(amqp.SessionCannotBeLocked,
				"The requested session '%s' cannot be accepted. It may be locked by another receiver.", o.Session)
		}
		q.consumers[c] = struct{}{}
		q.touch(now)
		s.grant(c, now)
		return c, nil
	}
	q.consumers[c] = struct{}{}
	q.touch(now)
	if o.Accept == NextSession {
		c.waitEnd.run = c.waitedEnough
		b.pending.set(&c.waitEnd, now.Add(o.Wait))
		q.waiters.push(&c.waiting)
		q.match()
	}
	return c, nil
}

func disabled(q *queue) *amqp.Error {
	return amqp.Errorf(amqp.EntityDisabled, "Messaging entity '%s' is currently disabled.", q.path)
}

func (c *Consumer) waitedEnough() {
	c.close()
	c.sink.Refused(amqp.Errorf(amqp.Timeout,
		"The operation did not complete within the allotted timeout: no session with messages became available."))
}

// give locks m for c, or deletes it, and sends it. m is in no list.
func (c *Consumer) give(m *message) {
	c.credit--
	c.delivered++
	if c.settled {
		c.sink.Deliver(Delivery{m, true})
		c.q.remove(m)
		return
	}
	c.q.lock(m, c)
	c.sink.Deliver(Delivery{m, false})
}

// lock locks m for its queue's lock duration, or as long as its session.
func (q *queue) lock(m *message, c *Consumer) {
	m.state, m.owner, m.token = locked, c, q.b.newUUID()
	q.locks[m.token] = m
	if m.sess != nil {
		m.sess.locked.insert(m)
		return
	}
	m.until = q.b.clock.Now().Add(q.delivery.LockDuration)
	if m.lockEnd.run == nil {
		m.lockEnd.run = func() { m.q.lockExpired(m) }
	}
	q.b.pending.set(&m.lockEnd, m.until)
}

// Flow sets the credit from the peer's view: what it had seen, and how many more it wants. With drain, credit that
// finds no message is consumed.
func (c *Consumer) Flow(deliveryCount, credit uint32, drain bool) {
	now := c.b.enter()
	defer c.b.leave()
	if c.closed {
		return
	}
	c.q.touch(now)
	// Serial arithmetic: credit already used up by deliveries on their way is gone.
	n := deliveryCount + credit - c.delivered
	if int32(n) < 0 {
		n = 0
	}
	c.credit = n
	c.blocked = false
	c.fetch()
	if drain && !c.closed {
		c.delivered += c.credit
		c.credit = 0
		c.q.credited.remove(&c.credited)
		c.sink.Drained(c.delivered)
	}
}

// Resume goes on after the sink was not ready.
func (c *Consumer) Resume() {
	c.b.enter()
	defer c.b.leave()
	if c.closed || !c.blocked {
		return
	}
	c.blocked = false
	c.fetch()
}

func (c *Consumer) fetch() {
	switch {
	case c.accept != Plain:
		if c.session != nil {
			c.session.pump()
		}
	case c.credit > 0:
		c.q.credited.push(&c.credited)
		c.q.pump()
	default:
		c.q.credited.remove(&c.credited)
	}
}

// Close detaches the receiver. A session becomes free and its messages available again, uncounted; locks of a plain
// receiver live until they expire.
func (c *Consumer) Close() {
	now := c.b.enter()
	defer c.b.leave()
	if !c.closed {
		c.q.touch(now)
		c.close()
	}
}

func (c *Consumer) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.credit = 0
	c.q.credited.remove(&c.credited)
	c.q.waiters.remove(&c.waiting)
	c.b.pending.clear(&c.waitEnd)
	delete(c.q.consumers, c)
	if s := c.session; s != nil {
		s.lose(false)
	}
}

// end closes the consumer on the broker's behalf.
func (c *Consumer) end(err *amqp.Error) {
	if c.closed {
		return
	}
	waiting := c.waiting.in
	c.close()
	if waiting {
		c.sink.Refused(err)
		return
	}
	c.sink.Detach(err)
}

// Sink returns the sink the consumer was opened with.
func (c *Consumer) Sink() Sink { return c.sink }
