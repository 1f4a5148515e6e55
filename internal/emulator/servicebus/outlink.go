package servicebus

import (
	"time"

	"fnobridge/internal/emulator/servicebus/amqp"
	"fnobridge/internal/emulator/servicebus/broker"
)

// outLink is a link that takes messages from an entity to the client; it is
// the broker.Sink of its consumer.
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
}

// mayDeliver asks the faults that keep a message from being delivered. The
// consumer then waits for the client's next flow, or for the end of the delay.
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

// Granted implements broker.Sink: it answers the attach with the session's ID,
// in the shape the client asked in.
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

// disposition settles deliveries the client received.
func (s *session) disposition(d *amqp.Disposition) {
	if d.Role != amqp.RoleReceiver {
		return // about deliveries to us, which are settled when they are answered
	}
	if d.State == nil && !d.Settled || d.State != nil && d.State.Kind == amqp.Received {
		return // no outcome yet
	}
	type item struct {
		id uint32
		unsettled
	}
	var one [1]item
	items := one[:0]
	s.c.mu.Lock()
	if n := d.Last - d.First; int64(n) < int64(len(s.unsettled)) {
		for id := d.First; ; id++ {
			if u, ok := s.unsettled[id]; ok {
				items = append(items, item{id, u})
			}
			if id == d.Last {
				break
			}
		}
	} else {
		for id, u := range s.unsettled {
			if id-d.First <= n {
				items = append(items, item{id, u})
			}
		}
	}
	for _, it := range items {
		delete(s.unsettled, it.id)
		it.link.unsettled--
		it.link.touch()
	}
	s.c.mu.Unlock()
	outcome, bad := outcomeOf(d.State)
	for _, it := range items {
		settle := func() *amqp.Error {
			if bad != nil {
				return bad
			}
			return it.link.consumer.Settle(it.token, outcome)
		}
		answer := func(err *amqp.Error) {
			if !d.Settled {
				s.answer(it.id, settledState(d.State, err))
			}
		}
		if s.c.s.faults.armed.Load() == 0 {
			answer(settle())
			continue
		}
		s.c.perform(act{
			op: verdictOps[outcome.Verdict], address: it.link.address, session: it.link.id, link: it.link, run: settle, answer: answer,
			expire: func() { s.c.s.broker.ExpireLock(it.link.address, it.token) },
		})
	}
}

var verdictOps = map[broker.Verdict]Op{
	broker.Complete: OpComplete, broker.Abandon: OpAbandon, broker.Release: OpRelease, broker.Defer: OpDefer, broker.DeadLetter: OpDeadLetter,
}

// answer tells the client how its settlement ended.
func (s *session) answer(id uint32, state *amqp.State) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended {
		return
	}
	s.c.frame(s.channel, &amqp.Disposition{Role: amqp.RoleSender, First: id, Last: id, Settled: true, State: state})
	s.c.signal()
}

// settledState is the state of the answer: the client's own, without the
// reason of a dead-lettering, which it would take for a failure.
func settledState(state *amqp.State, err *amqp.Error) *amqp.State {
	switch {
	case err != nil:
		return &amqp.State{Kind: amqp.Rejected, Error: err}
	case state == nil:
		return amqp.StateAccepted
	case state.Kind == amqp.Rejected:
		return &amqp.State{Kind: amqp.Rejected}
	case state.Kind == amqp.Modified:
		return &amqp.State{Kind: amqp.Modified, DeliveryFailed: state.DeliveryFailed, UndeliverableHere: state.UndeliverableHere}
	}
	return state
}

// outcomeOf translates a delivery state into what the broker is to do.
func outcomeOf(state *amqp.State) (broker.Outcome, *amqp.Error) {
	if state == nil {
		return broker.Outcome{Verdict: broker.Complete}, nil
	}
	switch state.Kind {
	case amqp.Accepted:
		return broker.Outcome{Verdict: broker.Complete}, nil
	case amqp.Released:
		return broker.Outcome{Verdict: broker.Release}, nil
	case amqp.Modified:
		o := broker.Outcome{Verdict: broker.Abandon, Properties: state.Annotations}
		if state.UndeliverableHere {
			o.Verdict = broker.Defer
		}
		return o, nil
	case amqp.Rejected:
		o := broker.Outcome{Verdict: broker.DeadLetter}
		if e := state.Error; e != nil {
			for _, p := range e.Info {
				switch name, _ := amqp.Text(p.Key); name {
				case "DeadLetterReason":
					o.Reason, _ = amqp.Text(p.Value)
				case "DeadLetterErrorDescription":
					o.Description, _ = amqp.Text(p.Value)
				default:
					o.Properties = append(o.Properties, p)
				}
			}
			if o.Reason == "" && e.Condition != amqp.DeadLetter {
				o.Reason, o.Description = string(e.Condition), e.Description
			}
		}
		return o, nil
	}
	return broker.Outcome{}, amqp.Errorf(amqp.NotImplemented, "Transactions are not supported by this emulator.")
}
