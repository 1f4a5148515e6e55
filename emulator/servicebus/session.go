package servicebus

import (
	"sync/atomic"

	"fnobridge/emulator/servicebus/amqp"
)

// session is one AMQP session. The connection's reader creates and ends links; all mutable fields are guarded by the
// connection's mu.
type session struct {
	c       *conn
	channel uint16
	ended   bool

	nextIncoming uint32 // transfer number we expect
	incomingLeft uint32 // transfers the client may still send
	nextOutgoing uint32
	remoteWindow int64          // transfers we may still send
	pending      []pendingFrame // transfers waiting for remoteWindow, or for their turn on the connection
	inTurn       bool           // it is among the connection's turns

	links        []link // by handle of the client
	nextDelivery uint32
	unsettled    map[uint32]unsettled
}

// unsettled is a delivery the client has not settled.
type unsettled struct {
	link  *outLink
	token amqp.UUID
}

// link is one of *outLink, *inLink, *rpcOut and *rpcIn. close is called without locks, from the reader, when the link
// or what carries it ends.
type link interface {
	base() *linkBase
	flow(*amqp.Flow) error
	close()
}

// linkBase is what all links share. name, handle and client never change; detached is guarded by the connection's mu.
type linkBase struct {
	s        *session
	name     string
	handle   uint32
	detached bool         // we sent our detach
	used     atomic.Int64 // when it was last used, Unix nanoseconds; with Options.IdleRules only
}

func (b *linkBase) base() *linkBase { return b }

// touch notes a use of the link.
func (b *linkBase) touch() {
	if s := b.s.c.s; s.o.IdleRules {
		b.used.Store(s.broker.Now().UnixNano())
	}
}

// detach sends a detach unless one was sent. Callers hold the connection's mu.
func (b *linkBase) detach(err *amqp.Error) {
	if b.detached || b.s.ended {
		return
	}
	b.detached = true
	b.s.forget(b.handle)
	b.s.c.frame(b.s.channel, &amqp.Detach{Handle: b.handle, Closed: true, Error: err})
	b.s.c.signal()
}

func (s *session) get(handle uint32) link {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if int64(handle) >= int64(len(s.links)) {
		return nil
	}
	return s.links[handle]
}

func (s *session) put(l link) {
	h := int(l.base().handle)
	l.base().touch()
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.attached = true
	for len(s.links) <= h {
		s.links = append(s.links, nil)
	}
	s.links[h] = l
}

// close ends everything the session carries.
func (s *session) close() {
	s.c.mu.Lock()
	s.ended = true
	links := s.links
	s.links, s.unsettled, s.pending = nil, nil, nil
	s.c.mu.Unlock()
	for _, l := range links {
		if l != nil {
			l.close()
		}
	}
}

// remove takes a link out of the table.
func (s *session) remove(l link) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if h := int(l.base().handle); h < len(s.links) && s.links[h] == l {
		s.links[h] = nil
	}
}

// drop forgets a link and its deliveries.
func (s *session) drop(l link) {
	s.remove(l)
	s.c.mu.Lock()
	s.forget(l.base().handle)
	if o, ok := l.(*outLink); ok && o.unsettled > 0 {
		for id, u := range s.unsettled {
			if u.link == o {
				delete(s.unsettled, id)
			}
		}
	}
	s.c.mu.Unlock()
	l.close()
}

func (s *session) detach(d *amqp.Detach) {
	l := s.get(d.Handle)
	if l == nil {
		return // both sides detached at once
	}
	s.drop(l)
	s.c.mu.Lock()
	l.base().detach(nil)
	s.c.mu.Unlock()
}

func (s *session) flow(f *amqp.Flow) error {
	s.c.mu.Lock()
	next := f.NextIncomingID
	if !f.HasNextIncomingID {
		next = 0 // the peer has not seen our begin: we started at 0
	}
	s.remoteWindow = int64(int32(next + f.IncomingWindow - s.nextOutgoing))
	s.takeTurns()
	s.c.refill()
	s.fed()
	resume := s.c.fed
	s.c.fed = nil
	if f.Echo && !f.HasHandle {
		s.sendFlow()
	}
	s.c.mu.Unlock()
	s.c.signal()
	for _, o := range resume {
		o.consumer.Resume()
	}
	if !f.HasHandle {
		return nil
	}
	l := s.get(f.Handle)
	if l == nil {
		return nil // detached meanwhile
	}
	l.base().touch()
	return l.flow(f)
}

// sendFlow tells the session's windows. Callers hold mu.
func (s *session) sendFlow() {
	s.incomingLeft = ourWindow
	s.c.frame(s.channel, &amqp.Flow{NextIncomingID: s.nextIncoming, HasNextIncomingID: true, IncomingWindow: ourWindow,
		NextOutgoingID: s.nextOutgoing, OutgoingWindow: ourWindow})
}

// linkFlow tells a link's credit along with the windows. Callers hold mu.
func (s *session) linkFlow(handle, count, credit uint32, drain bool) {
	s.incomingLeft = ourWindow
	s.c.frame(s.channel, &amqp.Flow{
		NextIncomingID: s.nextIncoming, HasNextIncomingID: true, IncomingWindow: ourWindow, NextOutgoingID: s.nextOutgoing,
		OutgoingWindow: ourWindow, Handle: handle, HasHandle: true, DeliveryCount: count, HasDeliveryCount: true,
		LinkCredit: credit, HasLinkCredit: true, Drain: drain,
	})
}

// deliver queues a message in as many transfers as it takes. payload appends the encoded message. Callers hold mu.
func (s *session) deliver(t *amqp.Transfer, payload func([]byte) []byte) {
	c := s.c
	b, at := amqp.BeginFrame(c.out, amqp.FrameAMQP, s.channel)
	b = t.Append(b)
	head := len(b)
	b = payload(b)
	if len(b)-at <= c.maxFrame && s.remoteWindow > 0 && len(s.pending) == 0 {
		c.out = amqp.EndFrame(b, at)
		s.nextOutgoing++
		s.remoteWindow--
		return
	}
	rest := append([]byte(nil), b[head:]...)
	c.out = b[:at]
	for first := true; ; first = false {
		if !first {
			t = &amqp.Transfer{Handle: t.Handle, Settled: t.Settled}
		}
		room := c.maxFrame - 128 // more than any transfer header of ours takes
		n := min(room, len(rest))
		t.More = n < len(rest)
		frame, at := amqp.BeginFrame(nil, amqp.FrameAMQP, s.channel)
		frame = amqp.EndFrame(append(t.Append(frame), rest[:n]...), at)
		rest = rest[n:]
		s.pending = append(s.pending, pendingFrame{t.Handle, frame})
		if !t.More {
			break
		}
	}
	s.takeTurns()
	c.refill()
}

// transfer counts an incoming transfer and passes it to its link.
func (s *session) transfer(t *amqp.Transfer, payload []byte) error {
	l := s.get(t.Handle)
	s.c.mu.Lock()
	s.nextIncoming++
	over := s.incomingLeft == 0
	if !over {
		s.incomingLeft--
	}
	if s.incomingLeft < ourWindow/2 {
		s.sendFlow()
		s.c.signal()
	}
	s.c.mu.Unlock()
	if over {
		return amqp.Errorf(amqp.WindowViolation, "more transfers than the incoming window allows")
	}
	if l != nil {
		l.base().touch()
	}
	switch l := l.(type) {
	case *inLink:
		return l.transfer(t, payload)
	case *rpcIn:
		return l.transfer(t, payload)
	case nil:
		return nil // sent before the client saw our detach
	}
	return amqp.Errorf(amqp.NotAllowed, "transfer on a receiving link")
}
