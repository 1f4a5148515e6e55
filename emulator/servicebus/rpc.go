package servicebus

import (
	"fnobridge/emulator/servicebus/amqp"
)

const (
	// maxRequest bounds one request; scheduling carries whole messages.
	maxRequest = 101 << 20
	// maxWaiting bounds the bytes of answers that wait for credit on a connection.
	maxWaiting = 16 << 20
)

// node answers requests: $cbs or the management of an entity.
type node interface {
	request(*request)
}

// request is a decoded request. respond must be called once; any goroutine may.
type request struct {
	in         *rpcIn
	operation  string
	properties amqp.Map
	body       any
	id         any
	replyTo    string
	muted      bool // a fault: run, but do not answer
}

// rpcIn carries requests from the client.
type rpcIn struct {
	linkBase
	address string
	node    node
	credit  uint32
	count   uint32
	part    assembly
}

// rpcOut carries answers to the client.
type rpcOut struct {
	linkBase
	address string
	replyTo string // the target address, "" when the client names none

	// guarded by the connection's mu
	credit  uint32
	count   uint32
	waiting [][]byte
}

// attachRPC attaches one direction of a request/response pair; a nil manager means $cbs, of which a connection may have
// one pair.
func (s *session) attachRPC(a *amqp.Attach, m *management) *amqp.Error {
	c := s.c
	receiver := a.Role == amqp.RoleReceiver
	if m == nil {
		side := 0
		if receiver {
			side = 1
		}
		c.mu.Lock()
		taken := c.cbs[side] > 0
		if !taken {
			c.cbs[side]++
		}
		c.mu.Unlock()
		if taken {
			return amqp.Errorf(amqp.NotAllowed, "There is already an open link to $cbs on this connection.")
		}
	}
	address := cbsNode
	if m != nil {
		address = m.address + managementSuffix
	}
	if receiver {
		l := &rpcOut{linkBase: linkBase{s: s, name: a.Name, handle: a.Handle}, address: address}
		if a.Target != nil {
			l.replyTo = a.Target.Address
		}
		s.put(l)
		r := reply(a)
		if r.Target == nil {
			r.Target = &amqp.Target{}
		}
		c.send(s.channel, r)
		return nil
	}
	l := &rpcIn{linkBase: linkBase{s: s, name: a.Name, handle: a.Handle}, address: address, credit: linkCredit}
	if m != nil {
		l.node = m
	} else {
		l.node = &c.claims
	}
	s.put(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	r := reply(a)
	if r.Source == nil {
		r.Source = &amqp.Source{}
	}
	c.frame(s.channel, r)
	s.linkFlow(l.handle, 0, linkCredit, false)
	c.signal()
	return nil
}

func (l *rpcIn) flow(*amqp.Flow) error { return nil }

func (l *rpcIn) close() {
	l.part.drop(l.s.c)
	l.s.leaveCBS(l.address, 0)
}

func (l *rpcOut) close() {
	l.s.c.mu.Lock()
	for _, raw := range l.waiting {
		l.s.c.waiting -= len(raw)
	}
	l.waiting = nil
	l.s.c.mu.Unlock()
	l.s.leaveCBS(l.address, 1)
}

func (s *session) leaveCBS(address string, side int) {
	if address != cbsNode {
		return
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.cbs[side]--
}

func (l *rpcIn) transfer(t *amqp.Transfer, payload []byte) error {
	done, err := l.part.add(l.s.c, t, payload, maxRequest)
	if err != nil || !done {
		return err
	}
	if l.credit == 0 {
		return amqp.Errorf(amqp.TransferLimitExceeded, "more requests than the link has credit for")
	}
	l.credit--
	l.count++
	raw := l.part.buf
	l.part.buf = nil
	req, err := l.decode(raw)
	state := amqp.StateAccepted
	if err != nil {
		state = &amqp.State{Kind: amqp.Rejected, Error: amqp.Errorf(amqp.DecodeError, "%v", err)}
	}
	l.s.c.mu.Lock()
	if !l.part.settled && !l.s.ended {
		l.s.c.frame(l.s.channel, &amqp.Disposition{Role: amqp.RoleReceiver, First: l.part.id, Last: l.part.id, Settled: true,
			State: state})
	}
	if l.credit < linkCredit/2 && !l.s.ended {
		l.credit = linkCredit
		l.s.linkFlow(l.handle, l.count, linkCredit, false)
	}
	l.s.c.mu.Unlock()
	l.s.c.signal()
	if err == nil {
		l.node.request(req)
	}
	return nil
}

func (l *rpcIn) decode(raw []byte) (*request, error) {
	m, err := amqp.ParseMessage(raw)
	if err != nil {
		return nil, err
	}
	p, err := amqp.ParseProperties(m.Properties)
	if err != nil {
		return nil, err
	}
	r := &request{in: l, id: p.MessageID}
	if p.ReplyTo != nil {
		r.replyTo = *p.ReplyTo
	}
	if r.properties, err = amqp.MapOf(m.ApplicationProperties); err != nil {
		return nil, err
	}
	r.operation = r.properties.String("operation")
	r.body, err = m.Value()
	return r, err
}

// respond sends an answer: a status as HTTP has them, its text, an error condition for the JavaScript client, and a
// body.
func (r *request) respond(status int32, text string, condition amqp.Symbol, body any) {
	props := amqp.Map{
		{Key: "status-code", Value: status}, {Key: "status-description", Value: text},
		{Key: "statusCode", Value: status}, {Key: "statusDescription", Value: text},
	}
	if condition != "" {
		props = append(props, amqp.Pair{Key: "error-condition", Value: condition},
			amqp.Pair{Key: "errorCondition", Value: condition})
	}
	p := amqp.Properties{CorrelationID: r.id}
	m := amqp.Message{Properties: p.Encode(), ApplicationProperties: amqp.AppendMap(nil, props)}
	if r.muted {
		return
	}
	if body == nil {
		body = amqp.Map{}
	}
	m.Body = amqp.AppendValue([]byte{0, 0x53, amqp.SectionValue}, body)
	r.send(m.Append(nil))
}

// send routes an answer to its link.
func (r *request) send(raw []byte) {
	s := r.in.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended {
		return
	}
	l := s.replyLink(r.in.address, r.replyTo)
	if l == nil || l.detached {
		return
	}
	l.waiting = append(l.waiting, raw)
	s.c.waiting += len(raw)
	l.release()
	if s.c.waiting > maxWaiting {
		// It asks, and takes no answers: nothing may pile up for it.
		s.c.frame(0, &amqp.Close{Error: amqp.Errorf(amqp.ResourceLimitExceeded,
			"more than %d bytes of answers wait for credit", maxWaiting)})
		s.c.flush = true
		s.c.drained.Broadcast()
	}
	s.c.signal()
}

// replyLink finds where answers go: the receiver whose target is the reply-to of the request, or whose name it is, or
// the only receiver of the node. The JavaScript client sets no target address.
func (s *session) replyLink(address, replyTo string) *rpcOut {
	var only, named *rpcOut
	for _, l := range s.links {
		o, ok := l.(*rpcOut)
		if !ok || o.address != address {
			continue
		}
		if replyTo != "" && o.replyTo == replyTo {
			return o
		}
		if replyTo != "" && o.name == replyTo {
			named = o
		}
		only = o
	}
	if named != nil {
		return named
	}
	return only
}

// release sends waiting answers as far as there is credit. Callers hold mu.
func (l *rpcOut) release() {
	s := l.s
	for len(l.waiting) > 0 && l.credit > 0 {
		raw := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		s.c.waiting -= len(raw)
		l.credit--
		l.count++
		id := s.nextDelivery
		s.nextDelivery++
		s.deliver(&amqp.Transfer{
			Handle: l.handle, DeliveryID: id, HasDeliveryID: true,
			DeliveryTag:      []byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)},
			HasMessageFormat: true, Settled: true, HasSettled: true,
		}, func(b []byte) []byte { return append(b, raw...) })
	}
}

func (l *rpcOut) flow(f *amqp.Flow) error {
	if !f.HasLinkCredit {
		return nil
	}
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	l.credit = uint32(max(0, int64(int32(f.DeliveryCount+f.LinkCredit-l.count))))
	l.release()
	if f.Drain {
		l.count += l.credit
		l.credit = 0
		l.s.linkFlow(l.handle, l.count, 0, true)
	}
	l.s.c.signal()
	return nil
}
