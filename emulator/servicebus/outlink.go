package servicebus

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
)

// outLink is a link that takes messages from an entity to the client; it is the broker.Sink of its consumer.
type outLink struct {
	linkBase
	address    string
	consumer   *broker.Consumer
	sessionful bool

	// guarded by the connection's mu
	attach    *amqp.Attach // the reply, until it is sent
	id        string       // of the accepted session
	unsettled int          // deliveries in the session's unsettled
	closed    bool         // the client is done with it
	pass      bool         // a delayed delivery may go
	blocked   bool         // waiting for the connection's queue
	starved   bool         // waiting for the session's window
}

// Ready implements broker.Sink.
func (l *outLink) Ready() bool {
	c := l.s.c
	if c.s.faults.armed.Load() > 0 && !l.mayDeliver() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.s.ended || c.dead {
		return false
	}
	if l.s.remoteWindow <= 0 || len(l.s.pending) > 0 {
		l.starved = true
		return false
	}
	if len(c.out) >= highWater {
		if !l.blocked {
			l.blocked = true
			c.blocked = append(c.blocked, l)
		}
		return false
	}
	return true
}

// Deliver implements broker.Sink.
func (l *outLink) Deliver(d broker.Delivery) {
	token := d.Token()
	f := l.s.c.s.faults.strike(OpReceive, l.address, d.Session(), LoseReply, LoseLock, Pass)
	if f == nil {
		l.transfer(d, token)
		return
	}
	if f.Effect != LoseReply {
		l.transfer(d, token)
	}
	if f.Effect == LoseLock {
		l.s.c.chore(func() { l.s.c.s.broker.ExpireLock(l.address, token) })
	}
	l.s.c.thenLater(f, l)
	f.done()
}

// mayDeliver asks the faults that keep a message from being delivered. The consumer then waits for the client's next
// flow, or for the end of the delay.
func (l *outLink) mayDeliver() bool {
	c := l.s.c
	c.mu.Lock()
	pass, id := l.pass, l.id
	l.pass = false
	c.mu.Unlock()
	if pass {
		return true
	}
	f := c.s.faults.strike(OpReceive, l.address, id, Refuse, Lose, Delay)
	if f == nil {
		return true
	}
	switch f.Effect {
	case Refuse:
		c.chore(func() { l.force(f.refusal()) })
	case Delay:
		c.s.later(f.Fault.Delay, func() {
			c.mu.Lock()
			l.pass = true
			c.mu.Unlock()
			l.consumer.Resume()
		})
	}
	c.thenLater(f, l)
	f.done()
	return false
}

func (l *outLink) transfer(d broker.Delivery, token amqp.UUID) {
	s := l.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended || l.detached {
		return // the message stays locked, as one lost on the way would
	}
	l.touch()
	id := s.nextDelivery
	s.nextDelivery++
	if !d.Settled() {
		if s.unsettled == nil {
			s.unsettled = map[uint32]unsettled{}
		}
		s.unsettled[id] = unsettled{l, token}
		l.unsettled++
	}
	tag := token.GUID()
	s.deliver(&amqp.Transfer{
		Handle: l.handle, DeliveryID: id, HasDeliveryID: true, DeliveryTag: tag[:], HasMessageFormat: true,
		Settled: d.Settled(), HasSettled: true,
	}, d.Append)
	s.c.signal()
}

// ticks is a time as .NET counts: 100 ns since year 1.
func ticks(t time.Time) int64 { return t.UnixMilli()*10000 + 621355968000000000 }

// Granted implements broker.Sink: it answers the attach with the session's ID, in the shape the client asked in.
func (l *outLink) Granted(id string, until time.Time) {
	s := l.s
	if f := s.c.s.faults.strike(OpAccept, l.address, id, LoseReply, LoseLock, Pass); f != nil {
		switch f.Effect {
		case LoseReply:
			s.c.mu.Lock()
			l.attach, l.id = nil, id
			s.c.mu.Unlock()
		case LoseLock:
			s.c.chore(func() { s.c.s.broker.ExpireSession(l.address, id) })
		}
		defer f.done()
		defer s.c.thenLater(f, l)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended || l.attach == nil {
		return
	}
	r := l.attach
	l.attach, l.id = nil, id
	source := *r.Source
	source.Filter = append(amqp.Map(nil), source.Filter...)
	for i := range source.Filter {
		if name, _ := amqp.Text(source.Filter[i].Key); name == sessionFilter {
			if d, ok := source.Filter[i].Value.(amqp.Described); ok {
				d.Value = id
				source.Filter[i].Value = d
			} else {
				source.Filter[i].Value = id
			}
		}
	}
	r.Source = &source
	r.Properties = amqp.Map{{Key: amqp.Symbol(propLockedUntil), Value: ticks(until)}}
	s.c.frame(s.channel, r)
	s.c.signal()
}

// Refused implements broker.Sink.
func (l *outLink) Refused(err *amqp.Error) {
	s := l.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended || l.attach == nil {
		return
	}
	r := l.attach
	l.attach = nil
	r.Source = nil
	s.c.frame(s.channel, r)
	l.linkBase.detach(err)
}

// Drained implements broker.Sink.
func (l *outLink) Drained(count uint32) {
	s := l.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended || l.detached {
		return
	}
	s.linkFlow(l.handle, count, 0, true)
	s.c.signal()
}

// Detach implements broker.Sink.
func (l *outLink) Detach(err *amqp.Error) {
	c := l.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	l.linkBase.detach(err)
}

func (l *outLink) flow(f *amqp.Flow) error {
	if !f.HasLinkCredit || l.consumer == nil {
		return nil
	}
	l.consumer.Flow(f.DeliveryCount, f.LinkCredit, f.Drain)
	return nil
}

func (l *outLink) close() {
	l.s.c.mu.Lock()
	l.closed = true
	consumer := l.consumer
	l.s.c.mu.Unlock()
	if consumer != nil {
		consumer.Close()
	}
}
