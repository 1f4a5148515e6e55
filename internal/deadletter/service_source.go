package deadletter

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// DeadLetters gives the dead-letter queue of e.
func (s *Service) DeadLetters(e Entity) Source { return &serviceSource{s: s, e: e} }

// serviceSource is a dead-letter queue. Locks outlive their link, so a new link settles what an old one received.
//
// It has two links. The one that receives keeps credit after a receive: the broker would at once deliver to it what is
// abandoned, and lock it again. So everything else goes over the other, which never asks for a message.
type serviceSource struct {
	s *Service
	e Entity

	receiving, settling serviceLink
}

// serviceLink is one receiver of the current client, made when it is first used.
type serviceLink struct {
	mu sync.Mutex
	g  *generation
	rx *azservicebus.Receiver
}

// of gives the receiver of a client, its link made by a peek. One goroutine makes it, as with senders. A settlement
// would make it too, but where that fails it waits by a clock of its own, in seconds; a peek fails as soon as the
// broker is known to be away.
func (l *serviceLink) of(ctx context.Context, s *Service, e Entity, g *generation) (*azservicebus.Receiver, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.g == g {
		return l.rx, nil
	}
	if s.retired(g) {
		return nil, errRetired
	}
	o := &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter}
	var rx *azservicebus.Receiver
	var err error
	if e.Queue != "" {
		rx, err = g.NewReceiverForQueue(e.Queue, o)
	} else {
		rx, err = g.NewReceiverForSubscription(e.Topic, e.Subscription, o)
	}
	if err != nil {
		return nil, err
	}
	if _, err := rx.PeekMessages(ctx, 1, &azservicebus.PeekMessagesOptions{FromSequenceNumber: new(int64(1))}); err != nil {
		closeLink(rx)
		return nil, err
	}
	l.g, l.rx = g, rx
	return rx, nil
}

func (l *serviceLink) close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rx == nil {
		return nil
	}
	rx := l.rx
	l.rx, l.g = nil, nil
	return rx.Close(ctx)
}

func (d *serviceSource) with(ctx context.Context, l *serviceLink, what string, bound time.Duration, fn func(context.Context, *azservicebus.Receiver) error) error {
	return d.s.call(ctx, what, bound, func(ctx context.Context, g *generation) error {
		rx, err := l.of(ctx, d.s, d.e, g)
		if err != nil {
			return err
		}
		return fn(ctx, rx)
	})
}

func (d *serviceSource) Peek(ctx context.Context, from int64, most int) (page []*azservicebus.ReceivedMessage, err error) {
	err = d.with(ctx, &d.settling, "peek", 4*callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		page, err = rx.PeekMessages(ctx, most, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &from})
		return err
	})
	return page, err
}

func (d *serviceSource) Receive(ctx context.Context, most int, wait time.Duration) (got []*azservicebus.ReceivedMessage, err error) {
	err = d.with(ctx, &d.receiving, "receive", wait+callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		wctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		got, err = rx.ReceiveMessages(wctx, most, nil)
		if err != nil && wctx.Err() != nil && ctx.Err() == nil {
			return nil // nothing came: that is an answer
		}
		return err
	})
	return got, err
}

func (d *serviceSource) ReceiveDeferred(ctx context.Context, seq int64) (rm *azservicebus.ReceivedMessage, err error) {
	err = d.with(ctx, &d.settling, "receive deferred", callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		got, err := rx.ReceiveDeferredMessages(ctx, []int64{seq}, nil)
		if len(got) > 0 {
			rm = got[0]
		}
		return err
	})
	if errors.Is(err, ErrNotFound) { // not the queue: the message
		return nil, nil
	}
	return rm, err
}

// settling makes the SDK settle by lock token through the management link, which any connection can do. A message that
// was received over a link that is gone would make the SDK's retry close the healthy connection instead.
func settling(t Token) *azservicebus.ReceivedMessage {
	return &azservicebus.ReceivedMessage{LockToken: t}
}

func (d *serviceSource) Complete(ctx context.Context, t Token) error {
	return d.with(ctx, &d.settling, "complete", callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		return rx.CompleteMessage(ctx, settling(t), nil)
	})
}

func (d *serviceSource) Abandon(ctx context.Context, t Token) error {
	return d.with(ctx, &d.settling, "abandon", callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		return rx.AbandonMessage(ctx, settling(t), nil)
	})
}

func (d *serviceSource) Renew(ctx context.Context, t Token) (until time.Time, err error) {
	err = d.with(ctx, &d.settling, "renew lock", callTimeout, func(ctx context.Context, rx *azservicebus.Receiver) error {
		m := settling(t)
		if err := rx.RenewMessageLock(ctx, m, nil); err != nil {
			return err
		}
		until = *m.LockedUntil
		return nil
	})
	return until, err
}

// Stop ends the receiving link.
func (d *serviceSource) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_ = d.receiving.close(ctx) // it is over either way
}

func (d *serviceSource) Close(ctx context.Context) error {
	return errors.Join(d.receiving.close(ctx), d.settling.close(ctx))
}
