package broker

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// session is one session of a queue. It exists while it has messages, state or an owner.
//
//	unowned --accept--> owned --lock expires (counts)--> unowned
//	                      |  --owner closes (does not count)--> unowned
//
// Source: Microsoft Learn, message-sessions, "Impact of delivery count".
type session struct {
	q        *queue
	id       string
	ready    messageList
	locked   messageList // locked by the owner
	owner    *Consumer
	until    time.Time
	end      deadline
	free     link[*session]
	messages int // in any state

	restoring bool // lose is giving messages back

	state   []byte // nil = none
	changed time.Time
}

// session returns the session, made if needed.
func (q *queue) session(id string) *session {
	s := q.sessions[id]
	if s == nil {
		s = &session{q: q, id: id}
		s.free.v = s
		s.end.run = s.expired
		q.sessions[id] = s
	}
	return s
}

// offer passes ready messages to the owner, or the session to whoever waits for one.
func (s *session) offer() {
	if s.restoring {
		return
	}
	if s.owner != nil {
		s.pump()
		return
	}
	if s.ready.head != nil {
		s.q.free.push(&s.free)
		s.q.match()
	}
}

func (s *session) pump() {
	c := s.owner
	for c != nil && c.credit > 0 && s.ready.head != nil {
		if !c.sink.Ready() {
			c.blocked = true
			return
		}
		m := s.ready.head
		s.ready.remove(m)
		c.give(m)
	}
}

// match hands free sessions to waiting accepts, both first come first served.
func (q *queue) match() {
	for q.free.head != nil && q.waiters.head != nil {
		c := q.waiters.head.v
		q.waiters.remove(&c.waiting)
		q.b.pending.clear(&c.waitEnd)
		q.free.head.v.grant(c, q.b.clock.Now())
	}
}

func (s *session) grant(c *Consumer, now time.Time) {
	s.q.free.remove(&s.free)
	s.owner, c.session = c, s
	s.until = now.Add(s.q.delivery.LockDuration)
	s.q.b.pending.set(&s.end, s.until)
	c.sink.Granted(s.id, s.until)
}

// expired is the end of the session lock: every locked message counts a delivery.
func (s *session) expired() {
	if c := s.lose(true); c != nil {
		c.close()
		c.sink.Detach(amqp.Errorf(amqp.SessionLockLost,
			"The session lock has expired on the MessageSession. Accept a new MessageSession."))
	}
}

// lose takes the session from its owner and returns the former owner.
func (s *session) lose(counted bool) *Consumer {
	c := s.owner
	if c == nil {
		return nil
	}
	now := s.q.b.clock.Now()
	s.q.b.pending.clear(&s.end)
	s.owner, c.session = nil, nil
	s.restoring = true
	for s.locked.head != nil {
		// Without an owner nothing is delivered meanwhile, so the order is back before anybody can see the session.
		s.q.giveBack(s.locked.head, counted, now)
	}
	s.restoring = false
	s.offer()
	s.settle()
	return c
}

// settle forgets a session that has nothing.
func (s *session) settle() {
	if s.restoring {
		return
	}
	if s.messages > 0 || s.owner != nil || s.state != nil {
		if s.ready.head == nil {
			s.q.free.remove(&s.free)
		}
		return
	}
	s.q.free.remove(&s.free)
	delete(s.q.sessions, s.id)
}
