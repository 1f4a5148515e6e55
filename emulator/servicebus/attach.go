package servicebus

import (
	"net/url"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
)

const (
	cbsNode          = "$cbs"
	managementSuffix = "/$management"
	sessionFilter    = "com.microsoft:session-filter"
	propTimeout      = "com.microsoft:timeout"
	propLockedUntil  = "com.microsoft:locked-until-utc"
	// defaultAcceptWait is how long the service keeps an accept of the next session waiting when the client does not
	// say.
	defaultAcceptWait = time.Minute
)

// attach answers the client's attach.
func (s *session) attach(a *amqp.Attach) error {
	if a.Handle > ourHandleMax {
		return amqp.Errorf(amqp.NotAllowed, "handle %d above handle-max", a.Handle)
	}
	if s.get(a.Handle) != nil {
		return amqp.Errorf(amqp.HandleInUse, "handle %d is in use", a.Handle)
	}
	if a.Coordinator {
		s.refuse(a, amqp.Errorf(amqp.NotImplemented, "Transactions are not supported by this emulator."))
		return nil
	}
	address := ""
	if a.Role == amqp.RoleReceiver {
		if a.Source != nil {
			address = entityPath(a.Source.Address)
		}
	} else if a.Target != nil {
		address = entityPath(a.Target.Address)
	}
	lower := strings.ToLower(address)
	var err *amqp.Error
	switch {
	case lower == cbsNode:
		err = s.attachRPC(a, nil)
	case strings.HasSuffix(lower, managementSuffix):
		if err = s.c.claims.check(address, ""); err != nil {
			break
		}
		var m *broker.Manager
		if m, err = s.c.s.broker.OpenManager(address); err == nil {
			err = s.attachRPC(a, &management{c: s.c, m: m, address: address[:len(address)-len(managementSuffix)]})
		}
	case a.Role == amqp.RoleReceiver:
		err = s.attachConsumer(a, address)
	default:
		err = s.attachProducer(a, address)
	}
	if err != nil {
		s.refuse(a, err)
	}
	return nil
}

// entityPath cuts scheme and host off an address and decodes it.
func entityPath(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		_, address, _ = strings.Cut(rest, "/")
	}
	if strings.Contains(address, "%") {
		if p, err := url.PathUnescape(address); err == nil {
			address = p
		}
	}
	return strings.Trim(address, "/")
}

// reply is the attach that answers a.
func reply(a *amqp.Attach) *amqp.Attach {
	return &amqp.Attach{
		Name: a.Name, Handle: a.Handle, Role: !a.Role, SenderSettleMode: a.SenderSettleMode,
		ReceiverSettleMode: a.ReceiverSettleMode, Source: a.Source, Target: a.Target,
	}
}

// refuse answers with an attach without the terminus of our side, then detaches: the order clients wait for. The handle
// stays taken until the client's detach.
func (s *session) refuse(a *amqp.Attach, err *amqp.Error) {
	l := &refused{linkBase{s: s, name: a.Name, handle: a.Handle}}
	s.put(l)
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.refuseLocked(a, &l.linkBase, err)
}

func (s *session) refuseLocked(a *amqp.Attach, l *linkBase, err *amqp.Error) {
	if s.ended {
		return
	}
	r := reply(a)
	if a.Role == amqp.RoleReceiver {
		r.Source = nil
	} else {
		r.Target = nil
	}
	s.c.frame(s.channel, r)
	l.detach(err)
}

// refused keeps the handle of a refused link.
type refused struct{ linkBase }

func (*refused) flow(*amqp.Flow) error { return nil }
func (*refused) close()                {}

func (s *session) attachProducer(a *amqp.Attach, address string) *amqp.Error {
	if err := s.c.claims.check(address, entity.Send); err != nil {
		return err
	}
	l := &inLink{linkBase: linkBase{s: s, name: a.Name, handle: a.Handle}, address: address, credit: linkCredit}
	p, err := s.c.s.broker.OpenProducer(address, l)
	if err != nil {
		return err
	}
	l.producer, l.limit = p, p.MaxMessageSize()
	s.put(l)
	r := reply(a)
	r.MaxMessageSize = l.limit
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.frame(s.channel, r)
	s.linkFlow(l.handle, 0, linkCredit, false)
	s.c.signal()
	return nil
}

func (s *session) attachConsumer(a *amqp.Attach, address string) *amqp.Error {
	if err := s.c.claims.check(address, entity.Listen); err != nil {
		return err
	}
	l := &outLink{linkBase: linkBase{s: s, name: a.Name, handle: a.Handle}, address: address, attach: reply(a)}
	if l.attach.Target == nil {
		l.attach.Target = &amqp.Target{}
	}
	o := broker.ConsumerOptions{Address: address, Settled: a.SenderSettleMode == amqp.SenderSettled, Sink: l,
		Wait: defaultAcceptWait}
	if a.Source == nil {
		return amqp.Errorf(amqp.InvalidField, "the attach has no source")
	}
	if filter, ok := a.Source.Filter.Get(sessionFilter); ok {
		d, described := filter.(amqp.Described)
		if described {
			filter = d.Value
		}
		o.Accept = broker.NextSession
		if id, ok := filter.(string); ok {
			o.Accept, o.Session = broker.SessionByID, id
		} else if filter != nil {
			return amqp.Errorf(amqp.InvalidField, "the session filter must be a string or null")
		}
		if v, ok := a.Properties.Get(propTimeout); ok {
			if ms, ok := amqp.Integer(v); ok && ms >= 0 {
				o.Wait = time.Duration(ms) * time.Millisecond
				// The client gives up at its own deadline, at most 1 % later: the answer must be there before.
				o.Wait -= min(o.Wait/20, 50*time.Millisecond)
			}
		}
		l.sessionful = true
	}
	s.put(l)
	if l.sessionful {
		if f := s.c.s.faults.strike(OpAccept, address, o.Session, Refuse, Lose, Delay); f != nil {
			switch f.Effect {
			case Refuse:
				l.Refused(f.refusal())
			case Delay:
				s.c.s.later(f.Fault.Delay, func() {
					if err := l.open(o); err != nil {
						l.Refused(err)
					}
					s.c.then(f, l)
				})
				f.done()
				return nil
			}
			s.c.then(f, l)
			f.done()
			return nil
		}
		if err := l.open(o); err != nil {
			l.Refused(err)
		}
		return nil // Granted or Refused answers
	}
	if err := l.open(o); err != nil {
		s.remove(l)
		return err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.frame(s.channel, l.attach)
	l.attach = nil
	s.c.signal()
	return nil
}

// open opens the consumer of a link that may have been closed meanwhile.
func (l *outLink) open(o broker.ConsumerOptions) *amqp.Error {
	consumer, err := l.s.c.s.broker.OpenConsumer(o)
	if err != nil {
		return err
	}
	l.s.c.mu.Lock()
	closed := l.closed
	if !closed {
		l.consumer = consumer
	}
	l.s.c.mu.Unlock()
	if closed {
		consumer.Close()
	}
	return nil
}
