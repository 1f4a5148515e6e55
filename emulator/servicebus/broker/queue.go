package broker

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
)

// queue is whatever stores messages: a queue, a subscription, one of their sub-queues, or a topic, which stores
// scheduled messages only.
type queue struct {
	b        *Broker
	path     string // address, in the case it was created with
	name     string // the last part of the path
	topic    *topic // this is a topic
	of       *queue // the topic of a subscription
	main     *queue // the entity a sub-queue belongs to
	dlq      *queue
	transfer *queue
	meter    *meter

	settings entity.Settings
	storage  entity.Storage  // queues and topics
	delivery entity.Delivery // queues and subscriptions
	rules    []*rule         // subscriptions
	onFilter bool            // dead-letter on filter errors

	numbers *int64 // last sequence number; sub-queues share their entity's
	index   index
	ready   messageList
	locks   map[amqp.UUID]*message
	seen    history

	sessions map[string]*session // nil when the queue has none
	free     ring[*session]      // unowned, with something to receive
	waiters  ring[*Consumer]     // accepts waiting for a session
	credited ring[*Consumer]     // plain consumers with credit

	consumers map[*Consumer]struct{}
	producers map[*Producer]struct{}

	created, updated, accessed time.Time
	idleEnd                    deadline
	deleted                    bool
}

// meter counts the bytes of an entity; a topic shares one with its subscriptions.
type meter struct{ used, limit int64 }

func (b *Broker) newQueue(path, name string, settings entity.Settings, delivery entity.Delivery, m *meter) *queue {
	now := b.clock.Now()
	q := &queue{
		b: b, path: path, name: name, settings: settings, delivery: delivery, meter: m, numbers: new(int64),
		created: now, updated: now,
	}
	q.init()
	if delivery.RequiresSession {
		q.sessions = map[string]*session{}
	}
	q.dlq, q.transfer = q.sub("/$DeadLetterQueue"), q.sub("/$Transfer/$DeadLetterQueue")
	return q
}

func (q *queue) init() {
	q.locks = map[amqp.UUID]*message{}
	q.consumers, q.producers = map[*Consumer]struct{}{}, map[*Producer]struct{}{}
	q.idleEnd.run = q.idle
}

func (q *queue) sub(suffix string) *queue {
	s := &queue{
		b: q.b, path: q.path + suffix, name: q.name + suffix, main: q, meter: q.meter, numbers: q.numbers,
		settings: q.settings, delivery: q.delivery, created: q.created, updated: q.updated,
	}
	s.settings.DefaultMessageTimeToLive = entity.Forever
	s.delivery.RequiresSession, s.delivery.ForwardTo, s.delivery.ForwardDeadLetteredMessagesTo = false, "", ""
	s.init()
	return s
}

func (q *queue) nextNumber() int64 {
	*q.numbers++
	return *q.numbers
}

// enqueue makes m an active message of q: numbered, alive, ready.
func (q *queue) enqueue(m *message, now time.Time) {
	if q.topic != nil {
		q.fanOut(m, now)
		return
	}
	if q.delivery.ForwardTo != "" {
		q.forward(m, q.delivery.ForwardTo, now)
		return
	}
	m.seq, m.enqueued = q.nextNumber(), now
	m.ttl = min(m.ownTTL, q.settings.DefaultMessageTimeToLive)
	if q.sessions != nil && !m.hasSession {
		q.store(m)
		_ = q.deadLetter(m, reasonSession, "The message has no session ID, which the entity requires.", nil, now)
		return
	}
	q.store(m)
	if end := m.expires(); !end.IsZero() && q.main == nil {
		m.lifeEnd.run = func() { q.expire(m) }
		q.b.pending.set(&m.lifeEnd, end)
	}
	q.makeReady(m)
}

// store puts m into the index; its sequence number is set.
func (q *queue) store(m *message) {
	m.q = q
	q.index.add(m)
	q.meter.used += int64(m.size)
	if q.sessions != nil && m.hasSession {
		m.sess = q.session(m.session)
		m.sess.messages++
	}
}

// makeReady offers m to whoever may receive it.
func (q *queue) makeReady(m *message) {
	m.state, m.owner = ready, nil
	if m.sess != nil {
		m.sess.ready.insert(m)
		m.sess.offer()
		return
	}
	q.ready.insert(m)
	q.pump()
}

// pump sends ready messages to the consumers that want some, in turn.
func (q *queue) pump() {
	for q.ready.head != nil && q.credited.head != nil {
		c := q.credited.head.v
		if !c.sink.Ready() {
			c.blocked = true
			q.credited.remove(&c.credited)
			continue
		}
		m := q.ready.head
		q.ready.remove(m)
		q.credited.remove(&c.credited)
		c.give(m)
		if c.credit > 0 {
			q.credited.push(&c.credited)
		}
	}
}

// unlock takes the lock off m. The caller decides what becomes of it.
func (q *queue) unlock(m *message) {
	delete(q.locks, m.token)
	q.b.pending.clear(&m.lockEnd)
	if m.sess != nil {
		m.sess.locked.remove(m)
	}
	m.owner = nil
}

// giveBack returns a locked message to where it was received from; counted deliveries can be its last.
func (q *queue) giveBack(m *message, counted bool, now time.Time) {
	q.unlock(m)
	if counted && q.main == nil {
		// Dead-letter queues do not count: nothing could be done about it.
		m.deliveries++
		if int(m.deliveries) >= q.delivery.MaxDeliveryCount {
			_ = q.deadLetter(m, reasonDeliveries, deliveriesText(q.delivery.MaxDeliveryCount), nil, now)
			return
		}
	}
	if end := m.expires(); q.main == nil && !end.IsZero() && !end.After(now) {
		m.state = ready
		q.expire(m)
		return
	}
	if m.wasDefer {
		m.state = deferred
		return
	}
	q.makeReady(m)
}

// lockExpired is the end of a plain message lock.
func (q *queue) lockExpired(m *message) {
	q.giveBack(m, true, m.lockEnd.at)
}

// expire ends the life of a message. When the message is locked, giveBack does it later.
func (q *queue) expire(m *message) {
	if m.state == locked || m.state == gone {
		return
	}
	now := q.b.clock.Now()
	if q.delivery.DeadLetteringOnMessageExpiration {
		_ = q.deadLetter(m, reasonExpired, "The message expired and was dead lettered.", nil, now)
		return
	}
	q.remove(m)
}

// remove deletes a message that is not locked any more.
func (q *queue) remove(m *message) {
	if m.list != nil {
		m.list.remove(m)
	}
	delete(q.locks, m.token)
	q.b.pending.clear(&m.lockEnd)
	q.b.pending.clear(&m.lifeEnd)
	m.state, m.owner = gone, nil
	q.index.removed()
	q.meter.used -= int64(m.size)
	if s := m.sess; s != nil {
		s.messages--
		s.settle()
	}
	m.body, m.notes, m.given = nil, nil, nil
}

// deadLetter moves a message that is not locked any more. Its error says that extra is wrong; the broker's own moves,
// which have none, cannot fail.
func (q *queue) deadLetter(m *message, reason, description string, extra amqp.Map, now time.Time) *amqp.Error {
	c := m.copy()
	c.seq, c.enqueued, c.ttl, c.deliveries, c.due = m.seq, m.enqueued, m.ttl, m.deliveries, m.due
	var add amqp.Map
	if reason != "" {
		add = append(add, amqp.Pair{Key: propReason, Value: reason})
	}
	if description != "" {
		add = append(add, amqp.Pair{Key: propDescription, Value: description})
	}
	if err := c.setProperties(append(add, extra...)); err != nil {
		return amqp.Errorf(amqp.InvalidField, "%v", err)
	}
	q.remove(m)
	if q.main != nil { // already in a dead-letter queue: it stays there
		q.store(c)
		q.makeReady(c)
		return nil
	}
	c.source = q.path
	if to := q.delivery.ForwardDeadLetteredMessagesTo; to != "" {
		q.forward(c, to, now)
		return nil
	}
	q.dlq.store(c)
	q.dlq.makeReady(c)
	return nil
}

// touch notes a use of the entity, which puts off its deletion for being idle.
func (q *queue) touch(now time.Time) {
	if q.main != nil {
		q.main.touch(now)
		return
	}
	q.accessed = now
	if q.of != nil {
		q.of.accessed = now
	}
}

// watch starts the idle time of a new or changed entity.
func (q *queue) watch(now time.Time) {
	q.b.pending.clear(&q.idleEnd)
	if q.settings.AutoDeleteOnIdle != entity.Forever {
		q.b.pending.set(&q.idleEnd, now.Add(q.settings.AutoDeleteOnIdle))
	}
}

// idle deletes the entity if it has not been used for its whole idle time.
func (q *queue) idle() {
	now, limit := q.idleEnd.at, q.settings.AutoDeleteOnIdle
	if q.deleted || limit == entity.Forever {
		return
	}
	if len(q.consumers) > 0 || len(q.dlq.consumersOrNone()) > 0 {
		q.accessed = now
	}
	last := q.updated
	if q.accessed.After(last) {
		last = q.accessed
	}
	if end := last.Add(limit); end.After(now) {
		q.b.pending.set(&q.idleEnd, end)
		return
	}
	q.b.drop(q)
}

func (q *queue) consumersOrNone() map[*Consumer]struct{} {
	if q == nil {
		return nil
	}
	return q.consumers
}
