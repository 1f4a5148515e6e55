package servicebus

import (
	"fnobridge/internal/emulator/servicebus/amqp"
	"fnobridge/internal/emulator/servicebus/broker"
)

const (
	linkCredit = 1000
	// envelope is what a batch may take beyond the entity's message size.
	envelope = 64 << 10
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

// add takes one transfer; done reports a complete delivery, whose payload the
// caller owns. An aborted delivery is never done.
func (a *assembly) add(t *amqp.Transfer, payload []byte, limit uint64) (done bool, err error) {
	if !a.open {
		if !t.HasDeliveryID {
			return false, amqp.Errorf(amqp.InvalidField, "transfer without a delivery-id")
		}
		*a = assembly{open: true, id: t.DeliveryID, format: t.MessageFormat}
	}
	a.settled = a.settled || t.Settled
	if t.Aborted {
		*a = assembly{}
		return false, nil
	}
	if uint64(len(a.buf)+len(payload)) > limit {
		a.tooBig, a.buf = true, nil
	}
	if !a.tooBig {
		a.buf = append(a.buf, payload...)
	}
	if t.More {
		return false, nil
	}
	a.open = false
	return true, nil
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

func (l *inLink) close() { l.producer.Close() }

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
	done, err := l.part.add(t, payload, l.limit+envelope)
	if err != nil || !done {
		return err
	}
	if l.credit == 0 {
		return amqp.Errorf(amqp.TransferLimitExceeded, "more messages than the link has credit for")
	}
	l.credit--
	l.count++
	state := amqp.StateAccepted
	if err := l.accept(); err != nil {
		state = &amqp.State{Kind: amqp.Rejected, Error: err}
	}
	if !l.part.settled {
		l.s.c.mu.Lock()
		if !l.s.ended {
			l.s.c.frame(l.s.channel, &amqp.Disposition{Role: amqp.RoleReceiver, First: l.part.id, Last: l.part.id, Settled: true, State: state})
			l.s.c.signal()
		}
		l.s.c.mu.Unlock()
	}
	if l.credit < linkCredit/2 {
		l.topUp()
	}
	return nil
}

// accept enqueues the assembled delivery: one message or a batch of them.
func (l *inLink) accept() *amqp.Error {
	raw := l.part.buf
	l.part.buf = nil
	if l.part.tooBig || uint64(len(raw)) > l.limit && l.part.format != amqp.FormatBatch {
		return amqp.Errorf(amqp.MessageSizeExceeded, "The message (or batch) exceeds the limit of %d bytes of the entity '%s'.", l.limit, l.address)
	}
	if l.part.format != amqp.FormatBatch {
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
