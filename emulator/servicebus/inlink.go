package servicebus

import (
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
)

const (
	linkCredit = 1000
	// envelope is what a batch may take beyond the entity's message size.
	envelope = 64 << 10
	// maxPartial bounds what all links of a connection have received of deliveries that are not complete; it leaves
	// room for the largest message.
	maxPartial = 128 << 20
)

// assembly puts the transfers of one delivery together. Used by the reader only.
type assembly struct {
	buf     []byte
	id      uint32
	format  uint32
	settled bool
	open    bool
	tooBig  bool
}

// add takes one transfer; done reports a complete delivery, whose payload the caller owns. An aborted delivery is never
// done.
func (a *assembly) add(c *conn, t *amqp.Transfer, payload []byte, limit uint64) (done bool, err error) {
	if !a.open {
		if !t.HasDeliveryID {
			return false, amqp.Errorf(amqp.InvalidField, "transfer without a delivery-id")
		}
		*a = assembly{open: true, id: t.DeliveryID, format: t.MessageFormat}
	}
	a.settled = a.settled || t.Settled
	if t.Aborted {
		c.partial -= len(a.buf)
		*a = assembly{}
		return false, nil
	}
	if uint64(len(a.buf)+len(payload)) > limit {
		c.partial -= len(a.buf)
		a.tooBig, a.buf = true, nil
	}
	if !a.tooBig {
		a.buf = append(a.buf, payload...)
		c.partial += len(payload)
	}
	if t.More {
		if c.partial > maxPartial {
			return false, amqp.Errorf(amqp.ResourceLimitExceeded, "more than %d bytes of unfinished deliveries", maxPartial)
		}
		return false, nil
	}
	c.partial -= len(a.buf)
	a.open = false
	return true, nil
}

// drop forgets an unfinished delivery.
func (a *assembly) drop(c *conn) {
	if a.open {
		c.partial -= len(a.buf)
	}
	*a = assembly{}
}

// inLink is a link that takes messages from the client to an entity.
type inLink struct {
	linkBase
	address  string
	producer *broker.Producer
	limit    uint64
	credit   uint32 // left; reader only
	count    uint32 // delivery-count; reader only
	part     assembly
}

// Detach implements broker.ProducerSink.
func (l *inLink) Detach(err *amqp.Error) {
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	l.detach(err)
}

func (l *inLink) flow(f *amqp.Flow) error {
	if f.Echo {
		l.topUp()
	}
	return nil
}

func (l *inLink) close() {
	l.part.drop(l.s.c)
	l.producer.Close()
}

func (l *inLink) topUp() {
	l.credit = linkCredit
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	if l.detached || l.s.ended {
		return
	}
	l.s.linkFlow(l.handle, l.count, linkCredit, false)
	l.s.c.signal()
}

func (l *inLink) transfer(t *amqp.Transfer, payload []byte) error {
	done, err := l.part.add(l.s.c, t, payload, l.limit+envelope)
	if err != nil || !done {
		return err
	}
	if l.credit == 0 {
		return amqp.Errorf(amqp.TransferLimitExceeded, "more messages than the link has credit for")
	}
	l.credit--
	l.count++
	part := l.part
	l.part.buf = nil
	if l.s.c.s.faults.armed.Load() == 0 {
		l.answer(part, l.accept(part))
	} else {
		l.s.c.perform(act{
			op: OpSend, address: l.address, session: l.sessionOf(part), link: l,
			run: func() *amqp.Error { return l.accept(part) }, answer: func(err *amqp.Error) { l.answer(part, err) },
		})
	}
	if l.credit < linkCredit/2 {
		l.topUp()
	}
	return nil
}

// answer tells the client how its delivery was taken.
func (l *inLink) answer(part assembly, err *amqp.Error) {
	if part.settled {
		return
	}
	state := amqp.StateAccepted
	if err != nil {
		state = &amqp.State{Kind: amqp.Rejected, Error: err}
	}
	l.s.c.mu.Lock()
	defer l.s.c.mu.Unlock()
	if l.s.ended {
		return
	}
	l.s.c.frame(l.s.channel, &amqp.Disposition{Role: amqp.RoleReceiver, First: part.id, Last: part.id, Settled: true,
		State: state})
	l.s.c.signal()
}

// sessionOf is the session ID of a message, or of the first of a batch, for the faults to choose by.
func (l *inLink) sessionOf(part assembly) string {
	raw := part.buf
	if part.format == amqp.FormatBatch {
		if m, err := amqp.ParseMessage(raw); err == nil {
			if all, err := m.Datas(); err == nil && len(all) > 0 {
				raw = all[0]
			}
		}
	}
	m, err := amqp.ParseMessage(raw)
	if err != nil {
		return ""
	}
	p, err := amqp.ParseProperties(m.Properties)
	if err != nil || p.GroupID == nil {
		return ""
	}
	return *p.GroupID
}

// accept enqueues the assembled delivery: one message or a batch of them.
func (l *inLink) accept(part assembly) *amqp.Error {
	raw := part.buf
	if part.tooBig || uint64(len(raw)) > l.limit && part.format != amqp.FormatBatch {
		return amqp.Errorf(amqp.MessageSizeExceeded,
			"The message (or batch) exceeds the limit of %d bytes of the entity '%s'.", l.limit, l.address)
	}
	if part.format != amqp.FormatBatch {
		return l.producer.Send(raw)
	}
	m, err := amqp.ParseMessage(raw)
	if err != nil {
		return amqp.Errorf(amqp.DecodeError, "batch: %v", err)
	}
	all, err := m.Datas()
	if err != nil {
		return amqp.Errorf(amqp.DecodeError, "batch: %v", err)
	}
	return l.producer.Send(all...)
}
