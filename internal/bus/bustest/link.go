package bustest

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
)

// A link is a receiving link: the broker's sink. The broker calls it under its own lock.
type link struct {
	b        *Broker
	address  string
	client   *Client
	consumer *broker.Consumer
	wake     chan struct{} // has room for one: something changed

	mu        sync.Mutex
	session   string
	until     time.Time
	granted   bool
	gone      *amqp.Error // why the broker ended it; nil while it lives
	closed    bool        // by the client
	inbox     [][]byte    // what was delivered and not taken yet, encoded
	delivered uint32      // in all
}

func (b *Broker) newLink(address string) *link {
	return &link{b: b, address: address, wake: make(chan struct{}, 1)}
}

// open attaches the link.
func (l *link) open(c *Client, o broker.ConsumerOptions) error {
	l.client = c
	consumer, err := c.b.OpenConsumer(o)
	if err != nil {
		return err
	}
	l.consumer = consumer
	c.keep(l)
	return nil
}

// close detaches the link if it was ever attached.
func (l *link) close() {
	if l.consumer == nil {
		return
	}
	l.consumer.Close()
	l.change(func() { l.closed = true })
	l.client.forget(l)
}

// attached reports whether neither side has ended the link.
func (l *link) attached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && l.gone == nil
}

// Ready implements broker.Sink, as the methods that follow do.
func (l *link) Ready() bool { return true }

// Deliver takes a message.
func (l *link) Deliver(d broker.Delivery) {
	raw := d.Append(nil)
	l.change(func() {
		l.inbox = append(l.inbox, raw)
		l.delivered++
	})
}

// Granted notes the session.
func (l *link) Granted(session string, until time.Time) {
	l.change(func() { l.session, l.until, l.granted = session, until, true })
	l.b.own(l, session)
}

// Refused notes that there will be no session.
func (l *link) Refused(err *amqp.Error) { l.Detach(err) }

// Drained is of no interest: credit is taken back with a flow.
func (l *link) Drained(uint32) {}

// Detach notes the end.
func (l *link) Detach(err *amqp.Error) {
	l.change(func() {
		if l.gone == nil {
			l.gone = err
		}
	})
}

func (l *link) change(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) grant() (session string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session, l.until
}

// ended returns why the broker ended the link; nil while it lives.
func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return asError(l.gone)
}

// awaitGrant waits for the answer to an accept.
func (l *link) awaitGrant(ctx context.Context) error {
	return l.await(ctx, nil, func() bool { return l.granted })
}

// await waits until ok, which is called with mu held, the broker ends the link, or the time is over. It returns an
// error only when ok did not come about, and none for the end of the time.
func (l *link) await(ctx context.Context, over <-chan time.Time, ok func() bool) error {
	for {
		l.mu.Lock()
		done, gone := ok(), l.gone
		l.mu.Unlock()
		switch {
		case done:
			return nil
		case gone != nil:
			return gone
		}
		select {
		case <-l.wake:
		case <-over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.client.dead:
			return ErrKilled
		}
	}
}

// receive asks for up to most messages and returns what came within wait; none without an error when none did.
func (l *link) receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error) {
	l.flow(uint32(most))
	defer l.flow(0)
	over := time.NewTimer(wait)
	defer over.Stop()
	if err := l.await(ctx, over.C, func() bool { return len(l.inbox) > 0 }); err != nil {
		return nil, err
	}
	l.flow(0) // from here on nothing more comes
	l.mu.Lock()
	raws := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	return decodeAll(raws)
}

// flow sets how many more messages the link takes.
func (l *link) flow(credit uint32) {
	l.mu.Lock()
	delivered := l.delivered
	l.mu.Unlock()
	l.consumer.Flow(delivered, credit, false)
}
