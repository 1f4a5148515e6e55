package bus

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// A Sender sends to one queue or topic. Safe for concurrent use. It outlives links and connections.
type Sender struct {
	*attachment[*azservicebus.Sender]
	bus    *Bus
	entity string
}

// Sender prepares a sender; nothing is dialled before the first send.
func (b *Bus) Sender(entity string) *Sender {
	return &Sender{bus: b, entity: entity, attachment: &attachment[*azservicebus.Sender]{
		client: b.links, bound: b.linkBound,
		create: func(c *azservicebus.Client) (*azservicebus.Sender, error) { return c.NewSender(entity, nil) },
		ask: func(ctx context.Context, link *azservicebus.Sender) error {
			_, err := link.NewMessageBatch(ctx, nil) // needs to know how large a message the link takes
			return err
		},
	}}
}

// Send sends the messages in order, once; the broker takes all of them or none. An error means that they may or may not
// be there: send again with the same message IDs and let duplicate detection sort it out. The exceptions are those that
// Final knows, such as azservicebus.ErrMessageTooLarge: a message, or all of them together, are more than the entity
// takes at once.
//
// Nothing is repeated behind the caller's back, with one exception that azservicebus v1.11.0 leaves no way around: a
// send on a link that the broker had detached is repeated at once on a new one.
func (s *Sender) Send(ctx context.Context, messages ...*azservicebus.Message) error {
	return s.SendIf(ctx, func() error { return nil }, messages...)
}

// SendIf is Send for messages that may be sent only while something holds. may is asked at the last moment, when there
// is a link and nothing is left to wait for, because getting one can take seconds. Its error is returned as it is, and
// nothing was sent then.
func (s *Sender) SendIf(ctx context.Context, may func() error, messages ...*azservicebus.Message) error {
	size := 0
	for _, m := range messages {
		size += len(m.Body)
	}
	return s.send(ctx, may, size, func(ctx context.Context, link *azservicebus.Sender) error {
		return transmit(ctx, link, messages)
	})
}

// SendAMQP is Send for one message in the form in which it was received, so that a copy of it keeps everything.
func (s *Sender) SendAMQP(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	size := 0
	for _, part := range m.Body.Data {
		size += len(part)
	}
	err := s.send(ctx, func() error { return nil }, size, func(ctx context.Context, link *azservicebus.Sender) error {
		return link.SendAMQPAnnotatedMessage(ctx, m, nil)
	})
	if notAllowed(err) && (m.Properties == nil || m.Properties.GroupID == nil) {
		return fmt.Errorf("%w: %w", ErrNeedSession, err)
	}
	return err
}

func (s *Sender) send(
	ctx context.Context, may func() error, size int, call func(context.Context, *azservicebus.Sender) error,
) error {
	l, err := s.attached(ctx)
	if err == nil {
		if err := may(); err != nil {
			s.release(l, true)
			return err
		}
		bound := s.bus.distance.bound(s.bus.sendTimeout) + carrying(size)
		_, err = overLink(ctx, s.attachment, l, bound, func(ctx context.Context, link *azservicebus.Sender) (struct{}, error) {
			return struct{}{}, call(ctx, link)
		})
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err // the caller's own stop
	}
	return fmt.Errorf("send to %s: %w", s.entity, named(err))
}

func transmit(ctx context.Context, link *azservicebus.Sender, messages []*azservicebus.Message) error {
	if len(messages) == 1 {
		return link.SendMessage(ctx, messages[0], nil)
	}
	batch, err := link.NewMessageBatch(ctx, nil)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := batch.AddMessage(m, nil); err != nil {
			return fmt.Errorf("message %q: %w", deref(m.MessageID), err)
		}
	}
	return link.SendMessageBatch(ctx, batch, nil)
}

// Close returns the link back.
func (s *Sender) Close(context.Context) error {
	s.close()
	return nil
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
