package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

type (
	plainReceiver = azservicebus.Receiver // of no session
	messages      = []*azservicebus.ReceivedMessage
)

// A Token settles one locked message, over any connection, until its lock ends.
type Token = [16]byte

// A Receiver receives from an entity without sessions: most of all from a sub-queue, which never has any. Safe for
// concurrent use, but for Receive, of which there is one at a time. It outlives links and connections, and the locks of
// what it received do too.
//
// It has two links. The one that receives keeps credit after a receive: the broker would at once deliver to it what is
// abandoned, and lock it again. So everything else goes over the other, which never asks for a message.
type Receiver struct {
	receiving, asking *attachment[*plainReceiver]

	bus  *Bus
	name string
}

// Receiver prepares a receiver of src itself (0), or of one of its sub-queues: azservicebus.SubQueueDeadLetter or
// azservicebus.SubQueueTransfer. Nothing is dialled before the first call.
func (b *Bus) Receiver(src Source, sub azservicebus.SubQueue) *Receiver {
	attach := func() *attachment[*plainReceiver] {
		return &attachment[*plainReceiver]{
			client: b.links, bound: b.linkBound,
			create: func(c *azservicebus.Client) (*plainReceiver, error) {
				o := &azservicebus.ReceiverOptions{SubQueue: sub}
				if src.Queue != "" {
					return c.NewReceiverForQueue(src.Queue, o)
				}
				return c.NewReceiverForSubscription(src.Topic, src.Subscription, o)
			},
			// A settlement would attach the link too, but where that fails it waits by a clock of its own, in seconds.
			ask: func(ctx context.Context, link *plainReceiver) error {
				_, err := peek(ctx, link, 1, 1)
				return err
			},
		}
	}
	return &Receiver{receiving: attach(), asking: attach(), bus: b, name: src.String() + subNames[sub]}
}

var subNames = map[azservicebus.SubQueue]string{
	azservicebus.SubQueueDeadLetter: "/$DeadLetterQueue", azservicebus.SubQueueTransfer: "/$Transfer/$DeadLetterQueue",
}

// ask runs one bounded call over a link of r.
func ask[R any](
	ctx context.Context, r *Receiver, a *attachment[*plainReceiver], what string, bound time.Duration,
	call func(context.Context, *plainReceiver) (R, error),
) (R, error) {
	v, err := over(ctx, a, bound, call)
	switch {
	case err == nil, errors.Is(err, errSilence):
		return v, nil
	case ctx.Err() != nil:
		return v, err // the caller's own stop
	}
	return v, fmt.Errorf("%s %s: %w", what, r.name, named(err))
}

// do is ask for calls that return nothing, over the link that never asks for a message.
func (r *Receiver) do(ctx context.Context, what string, call func(context.Context, *plainReceiver) error) error {
	bound := r.bus.distance.bound(r.bus.callTimeout)
	_, err := ask(ctx, r, r.asking, what, bound, func(ctx context.Context, link *plainReceiver) (struct{}, error) {
		return struct{}{}, call(ctx, link)
	})
	return err
}

// pageTimeout is what one page of messages may take beside the bound of a call: it can be many megabytes, and unlike a
// session there is nothing that it keeps waiting.
const pageTimeout = time.Minute

// Peek returns up to most messages from a sequence number on, locked ones included, without locking them.
func (r *Receiver) Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	bound := pageTimeout + r.bus.distance.bound(r.bus.callTimeout)
	return ask(ctx, r, r.asking, "peek at", bound, func(ctx context.Context, link *plainReceiver) (messages, error) {
		return peek(ctx, link, from, most)
	})
}

// Receive locks up to most messages; none without an error when none came within wait.
func (r *Receiver) Receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error) {
	bound := wait + r.bus.distance.bound(r.bus.callTimeout)
	return ask(ctx, r, r.receiving, "receive from", bound, func(ctx context.Context, link *plainReceiver) (messages, error) {
		return receive(ctx, link, most, wait)
	})
}

// ReceiveDeferred locks one message that somebody deferred; nil without an error when it is not there.
func (r *Receiver) ReceiveDeferred(ctx context.Context, seq int64) (*azservicebus.ReceivedMessage, error) {
	what, bound := "receive deferred from", pageTimeout
	got, err := ask(ctx, r, r.asking, what, bound, func(ctx context.Context, link *plainReceiver) (messages, error) {
		got, err := link.ReceiveDeferredMessages(ctx, []int64{seq}, nil)
		if e, ok := errors.AsType[*azservicebus.Error](err); ok && e.Code == azservicebus.CodeNotFound {
			return nil, nil // of the message: the link was there
		}
		return got, err
	})
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return got[0], nil
}

// ByToken returns what the SDK needs to settle a message by its lock token. It then asks through the management link,
// which any connection has. A message that was received over a link that is gone would make the SDK close the healthy
// connection instead.
func ByToken(t Token) *azservicebus.ReceivedMessage {
	return &azservicebus.ReceivedMessage{LockToken: t}
}

// Complete takes the message off its queue. ErrLockLost when somebody else may have it.
func (r *Receiver) Complete(ctx context.Context, t Token) error {
	return r.do(ctx, "complete in", func(ctx context.Context, link *plainReceiver) error {
		return link.CompleteMessage(ctx, ByToken(t), nil)
	})
}

// Abandon returns the message back.
func (r *Receiver) Abandon(ctx context.Context, t Token) error {
	return r.do(ctx, "abandon in", func(ctx context.Context, link *plainReceiver) error {
		return link.AbandonMessage(ctx, ByToken(t), nil)
	})
}

// Renew renews the lock of one message and returns until when it lasts, by the broker's clock. ErrLockLost when
// somebody else may have it.
func (r *Receiver) Renew(ctx context.Context, t Token) (until time.Time, err error) {
	err = r.do(ctx, "renew a lock in", func(ctx context.Context, link *plainReceiver) error {
		m := ByToken(t)
		err := link.RenewMessageLock(ctx, m, nil)
		if err == nil {
			until = *m.LockedUntil
		}
		return err
	})
	return until, err
}

// Stop ends receiving, so that nothing that is abandoned later comes to this receiver again; it waits until the broker
// knows. What was locked can still be settled.
func (r *Receiver) Stop(ctx context.Context) {
	select {
	case <-r.receiving.close():
	case <-ctx.Done():
	}
}

// Close returns the links back.
func (r *Receiver) Close(context.Context) error {
	r.receiving.close()
	r.asking.close()
	return nil
}
