package broker

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// ProducerSink hears when the broker ends a sending link; under the broker's lock.
type ProducerSink interface{ Detach(*amqp.Error) }

// Producer is a sending link on a queue or topic.
type Producer struct {
	b      *Broker
	q      *queue
	sink   ProducerSink
	closed bool
}

// OpenProducer attaches a sender.
func (b *Broker) OpenProducer(address string, sink ProducerSink) (*Producer, *amqp.Error) {
	now := b.enter()
	defer b.leave()
	q := b.find(address)
	switch {
	case q == nil:
		return nil, notFound(address)
	case q.main != nil || q.of != nil:
		return nil, amqp.Errorf(amqp.NotAllowed, "Cannot send to '%s': messages are sent to queues and topics.", q.path)
	case !q.settings.Status.Sends():
		return nil, disabled(q)
	}
	p := &Producer{b: b, q: q, sink: sink}
	q.producers[p] = struct{}{}
	q.touch(now)
	return p, nil
}

// MaxMessageSize is the largest message or batch in bytes.
func (p *Producer) MaxMessageSize() uint64 {
	p.b.enter()
	defer p.b.leave()
	return p.q.maxMessageSize()
}

func (q *queue) maxMessageSize() uint64 { return uint64(q.storage.MaxMessageSizeInKilobytes) * 1024 }

// Close detaches the sender.
func (p *Producer) Close() {
	p.b.enter()
	defer p.b.leave()
	p.closed = true
	delete(p.q.producers, p)
}

func (p *Producer) end(err *amqp.Error) {
	if p.closed {
		return
	}
	p.closed = true
	delete(p.q.producers, p)
	p.sink.Detach(err)
}

// Send enqueues all messages or none. The broker keeps the slices.
func (p *Producer) Send(raw ...[]byte) *amqp.Error {
	now := p.b.enter()
	defer p.b.leave()
	if p.q.deleted {
		return notFound(p.q.path)
	}
	ms := make([]*message, 0, len(raw))
	for _, r := range raw {
		m, err := p.b.newMessage(r)
		if err != nil {
			return amqp.Errorf(amqp.DecodeError, "%v", err)
		}
		ms = append(ms, m)
	}
	return p.q.publish(ms, now)
}

// publish checks all messages and then enqueues or schedules them.
func (q *queue) publish(ms []*message, now time.Time) *amqp.Error {
	q.touch(now)
	if !q.settings.Status.Sends() {
		return disabled(q)
	}
	var size int64
	for _, m := range ms {
		size += int64(m.size)
		if uint64(m.size) > q.maxMessageSize() {
			return amqp.Errorf(amqp.MessageSizeExceeded,
				"The received message (size: %d bytes) exceeds the limit (%d bytes) of the entity '%s'.", m.size,
				q.maxMessageSize(), q.path)
		}
		if q.sessions != nil && !m.hasSession {
			return amqp.Errorf(amqp.NotAllowed, "The SessionId was not set on a message, and it cannot be sent to the entity "+
				"'%s'. Entities that have session support enabled can only receive messages that have the SessionId set to a "+
				"valid value.", q.path)
		}
	}
	if q.meter.used+size > q.meter.limit {
		return amqp.Errorf(amqp.ResourceLimitExceeded,
			"The maximum entity size has been reached or exceeded for '%s'. Size of entity in bytes: %d, max: %d.", q.path,
			q.meter.used, q.meter.limit)
	}
	for _, m := range ms {
		if q.storage.RequiresDuplicateDetection && q.seen.repeated(m.id, now, q.storage.DuplicateDetectionHistoryTimeWindow) {
			continue // accepted and dropped, as the service does
		}
		if m.due.After(now) {
			q.schedule(m, now)
			continue
		}
		q.enqueue(m, now)
	}
	return nil
}

// schedule keeps m until it is due. Then it gets a new sequence number and joins the end of the queue.
// Source: Microsoft Learn, message-sequencing.
func (q *queue) schedule(m *message, now time.Time) {
	m.seq, m.enqueued, m.state, m.ttl = q.nextNumber(), now, scheduled, m.ownTTL
	q.store(m)
	m.lifeEnd.run = func() { q.fall(m) }
	q.b.pending.set(&m.lifeEnd, m.due)
}

// fall enqueues a scheduled message that is due.
func (q *queue) fall(m *message) {
	now, c := q.b.clock.Now(), m.copy()
	q.remove(m)
	q.enqueue(c, now)
}

// forward sends a message on to another entity. What cannot be forwarded goes to the transfer dead-letter queue.
func (q *queue) forward(m *message, to string, now time.Time) {
	c := m.copy()
	c.hops++
	if c.enqueuedSeq == 0 {
		c.enqueuedSeq = m.seq
		if m.seq == 0 {
			c.enqueuedSeq = q.nextNumber()
		}
	}
	failed := func(reason, text string) {
		c.seq, c.enqueued = q.nextNumber(), now
		c.source = q.path
		add := amqp.Map{{Key: propReason, Value: reason}, {Key: propDescription, Value: text}}
		if err := c.setProperties(add); err != nil {
			c.source = "" // properties that parsed on the way in parse again
		}
		q.transfer.store(c)
		q.transfer.makeReady(c)
	}
	if c.hops > maxHops {
		failed(reasonHops, "The message was forwarded more often than allowed.")
		return
	}
	dest := q.b.find(to)
	if dest == nil || dest.main != nil || dest.of != nil {
		failed(string(amqp.NotFound), "The destination "+to+" does not exist.")
		return
	}
	c.due = time.Time{}
	if err := dest.publish([]*message{c}, now); err != nil {
		failed(string(err.Condition), err.Description)
	}
}
