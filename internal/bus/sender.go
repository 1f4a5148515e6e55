package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// A Sender sends to one queue or topic. Safe for concurrent use. It outlives connections: each is replaced behind it.
type Sender struct {
	bus    *Bus
	entity string

	mu   sync.Mutex
	g    *generation // the generation that link belongs to; nil before the first send
	link *azservicebus.Sender
}

// Sender prepares a sender; nothing is dialled before the first send.
func (b *Bus) Sender(entity string) *Sender { return &Sender{bus: b, entity: entity} }

// Send sends the messages in order; the broker takes all of them or none. An error means that they may or may not be
// there: send again with the same message IDs and let duplicate detection sort it out. The exception is
// azservicebus.ErrMessageTooLarge, which more tries do not mend: a message, or all of them together, are more than the
// entity takes at once.
func (s *Sender) Send(ctx context.Context, messages ...*azservicebus.Message) error {
	g, link, err := s.current(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("send to %s: %w", s.entity, err)
	}
	_, err = bounded(ctx, g, s.bus.sendTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, transmit(ctx, link, messages)
	}, nil)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.ctx.Err() != nil:
		s.drop(g)
	}
	return fmt.Errorf("send to %s: %w", s.entity, err)
}

// transmit sends the messages with the SDK's own few retries.
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
	err = link.SendMessageBatch(ctx, batch, nil)
	if tooLarge(err) { // the SDK says so of single messages only
		return fmt.Errorf("%w: %w", azservicebus.ErrMessageTooLarge, err)
	}
	return err
}

// current gives the link of the current generation, making one where the old generation is gone.
//
// The link is attached here, by one caller while the others wait: azservicebus lets concurrent first calls attach a
// link each, and all but the last leak with a goroutine of their own.
func (s *Sender) current(ctx context.Context) (*generation, *azservicebus.Sender, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.g != nil && s.g.ctx.Err() == nil {
		return s.g, s.link, nil
	}
	s.dropLocked()
	g, err := s.bus.senders.use()
	if err != nil {
		return nil, nil, err
	}
	link, err := g.NewSender(s.entity, nil)
	if err != nil {
		g.done()
		return nil, nil, err
	}
	_, err = bounded(ctx, g, s.bus.sendTimeout, func(ctx context.Context) (*azservicebus.MessageBatch, error) {
		return link.NewMessageBatch(ctx, nil) // asks the link for its message size, so it is there afterwards
	}, nil)
	if err != nil {
		if !errors.Is(err, errAbandoned) { // the client keeps a list of its senders until they are closed
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			_ = link.Close(closing) // it has no link
		}
		g.done()
		return nil, nil, err
	}
	s.g, s.link = g, link
	return g, link, nil
}

// drop lets go of a generation that failed, unless another caller already did.
func (s *Sender) drop(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.g == g {
		s.dropLocked()
	}
}

func (s *Sender) dropLocked() {
	if s.g != nil {
		s.g.done()
		s.g, s.link = nil, nil
	}
}

// Close gives the link back.
func (s *Sender) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.g == nil {
		return nil
	}
	var err error
	if s.g.ctx.Err() == nil {
		err = s.link.Close(ctx)
	}
	s.dropLocked()
	return err
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
