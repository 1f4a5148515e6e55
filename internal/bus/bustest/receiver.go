package bustest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/internal/bus"
)

// A Receiver takes messages of an entity without sessions, such as a dead-letter queue. What it locked is settled by
// its token, over any connection.
type Receiver struct {
	c       *Client
	address string

	mu   sync.Mutex
	link *link // nil before the first receive, and after Stop
}

// Receiver returns a receiver of an entity itself (0), or of one of its sub-queues.
func (c *Client) Receiver(src bus.Source, sub azservicebus.SubQueue) *Receiver {
	return &Receiver{c: c, address: Address(src) + subQueues[sub]}
}

var subQueues = map[azservicebus.SubQueue]string{
	azservicebus.SubQueueDeadLetter: "/$DeadLetterQueue", azservicebus.SubQueueTransfer: "/$Transfer/$DeadLetterQueue",
}

// do makes one call on the management node of the entity.
func (r *Receiver) do(ctx context.Context, op Op, effect func(*broker.Manager) error) error {
	return r.c.do(ctx, &Call{Op: op, Address: r.address}, bus.DefaultCallTimeout, func() error {
		m, refused := r.c.b.OpenManager(r.address)
		if refused != nil {
			return refused
		}
		return named(effect(m))
	})
}

// Peek returns up to most messages from a sequence number on, locked ones included, without locking them.
func (r *Receiver) Peek(ctx context.Context, from int64, most int) (page []*azservicebus.ReceivedMessage, err error) {
	err = r.do(ctx, OpPeek, func(m *broker.Manager) (err error) {
		page, err = peek(m, from, most)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func peek(m *broker.Manager, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	raws, refused := m.Peek(from, most, nil)
	if refused != nil {
		return nil, refused
	}
	return decodeAll(raws)
}

// Receive locks up to most messages; none without an error when none came within wait.
func (r *Receiver) Receive(
	ctx context.Context, most int, wait time.Duration,
) (got []*azservicebus.ReceivedMessage, err error) {
	err = r.c.do(ctx, &Call{Op: OpReceive, Address: r.address}, wait+bus.DefaultCallTimeout, func() error {
		l, err := r.attached()
		if err != nil {
			return err
		}
		got, err = l.receive(ctx, most, wait)
		return err
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// attached returns the receiving link, making it if there is none.
func (r *Receiver) attached() (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil && r.link.ended() == nil {
		return r.link, nil
	}
	l := r.c.b.newLink(r.address)
	if err := l.open(r.c, broker.ConsumerOptions{Address: r.address, Accept: broker.Plain, Sink: l}); err != nil {
		return nil, err
	}
	r.link = l
	return l, nil
}

// ReceiveDeferred locks one message that somebody deferred; nil without an error when there is none of that number.
func (r *Receiver) ReceiveDeferred(ctx context.Context, seq int64) (got *azservicebus.ReceivedMessage, err error) {
	err = r.do(ctx, OpDeferred, func(m *broker.Manager) error {
		found, refused := m.ReceiveDeferred([]int64{seq}, false, nil, func(*broker.Consumer) bool { return false })
		switch {
		case refused != nil && refused.Condition == amqp.MessageNotFound:
			return nil
		case refused != nil:
			return refused
		}
		all, err := decodeAll([][]byte{found[0].Raw})
		if err == nil {
			got = all[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// Complete takes a locked message off the queue.
func (r *Receiver) Complete(ctx context.Context, token bus.Token) error {
	return r.settle(ctx, OpComplete, token, broker.Complete)
}

// Abandon gives a locked message back.
func (r *Receiver) Abandon(ctx context.Context, token bus.Token) error {
	return r.settle(ctx, OpAbandon, token, broker.Abandon)
}

// Defer sets a locked message aside, as some other program does.
func (r *Receiver) Defer(token bus.Token) error {
	return r.past(token, broker.Outcome{Verdict: broker.Defer})
}

// DeadLetter makes a locked message a dead letter, as some other program does.
func (r *Receiver) DeadLetter(token bus.Token, o *azservicebus.DeadLetterOptions) error {
	return r.past(token, deadLetter(o))
}

// past settles past all faults.
func (r *Receiver) past(token bus.Token, o broker.Outcome) error {
	m, refused := r.c.b.OpenManager(r.address)
	if refused != nil {
		return refused
	}
	return asError(m.Settle([]amqp.UUID{token}, o))
}

func (r *Receiver) settle(ctx context.Context, op Op, token bus.Token, verdict broker.Verdict) error {
	return r.do(ctx, op, func(m *broker.Manager) error {
		return asError(m.Settle([]amqp.UUID{token}, broker.Outcome{Verdict: verdict}))
	})
}

// Renew extends the lock of a message.
func (r *Receiver) Renew(ctx context.Context, token bus.Token) (until time.Time, err error) {
	err = r.do(ctx, OpRenew, func(m *broker.Manager) error {
		ends, refused := m.RenewLocks([]amqp.UUID{token})
		switch {
		case refused != nil:
			return refused
		case len(ends) != 1:
			return errors.New("the broker answered for another number of locks")
		}
		until = ends[0]
		return nil
	})
	return until, err
}

// Stop ends receiving. What was locked can still be settled.
func (r *Receiver) Stop(context.Context) { r.detach() }

// Close ends the receiver.
func (r *Receiver) Close(context.Context) error {
	r.detach()
	return nil
}

func (r *Receiver) detach() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil && r.c.Alive() {
		r.link.close()
	}
	r.link = nil
}
