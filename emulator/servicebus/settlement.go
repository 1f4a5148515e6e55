package servicebus

import (
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
)

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
			op: verdictOps[outcome.Verdict], address: it.link.address, session: it.link.id, link: it.link, run: settle,
			answer: answer,
			expire: func() { s.c.s.broker.ExpireLock(it.link.address, it.token) },
		})
	}
}

var verdictOps = map[broker.Verdict]Op{
	broker.Complete: OpComplete, broker.Abandon: OpAbandon, broker.Release: OpRelease, broker.Defer: OpDefer,
	broker.DeadLetter: OpDeadLetter,
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

// settledState is the state of the answer: the client's own, without the reason of a dead-lettering, which it would
// take for a failure.
func settledState(state *amqp.State, err *amqp.Error) *amqp.State {
	switch {
	case err != nil:
		return &amqp.State{Kind: amqp.Rejected, Error: err}
	case state == nil:
		return amqp.StateAccepted
	case state.Kind == amqp.Rejected:
		return &amqp.State{Kind: amqp.Rejected}
	case state.Kind == amqp.Modified:
		return &amqp.State{Kind: amqp.Modified, DeliveryFailed: state.DeliveryFailed,
			UndeliverableHere: state.UndeliverableHere}
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
