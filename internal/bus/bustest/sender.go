package bustest

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/internal/bus"
)

// A Sender sends to a queue or topic, as bus.Sender does.
type Sender struct {
	c       *Client
	address string
}

// Sender returns a sender.
func (c *Client) Sender(entity string) *Sender { return &Sender{c: c, address: entity} }

// Send is bus.Sender.Send.
func (s *Sender) Send(ctx context.Context, messages ...*azservicebus.Message) error {
	return s.SendIf(ctx, func() error { return nil }, messages...)
}

// SendIf is bus.Sender.SendIf.
func (s *Sender) SendIf(ctx context.Context, may func() error, messages ...*azservicebus.Message) error {
	if err := may(); err != nil {
		return err
	}
	annotated := make([]*azservicebus.AMQPAnnotatedMessage, len(messages))
	for i, m := range messages {
		annotated[i] = annotate(m)
	}
	return s.send(ctx, annotated)
}

// SendAMQP is bus.Sender.SendAMQP.
func (s *Sender) SendAMQP(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	err := s.send(ctx, []*azservicebus.AMQPAnnotatedMessage{m})
	if notAllowed(err) && (m.Properties == nil || m.Properties.GroupID == nil) {
		return fmt.Errorf("%w: %w", bus.ErrNeedSession, err)
	}
	return err
}

// Close is bus.Sender.Close. There is nothing to give back.
func (s *Sender) Close(context.Context) error { return nil }

func (s *Sender) send(ctx context.Context, messages []*azservicebus.AMQPAnnotatedMessage) error {
	raws := make([][]byte, len(messages))
	for i, m := range messages {
		raw, err := encode(m)
		if err != nil {
			return fmt.Errorf("send to %s: %w", s.address, err)
		}
		raws[i] = raw
	}
	err := s.c.do(ctx, &Call{Op: OpSend, Address: s.address}, bus.DefaultCallTimeout, func() error {
		p, refused := s.c.b.OpenProducer(s.address, silent{})
		if refused != nil {
			return refused
		}
		defer p.Close()
		return asError(p.Send(raws...))
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && s.c.Alive():
		return context.Cause(ctx)
	}
	s.c.noteUnlessRefused(err)
	return fmt.Errorf("send to %s: %w", s.address, named(err))
}

// silent is a sending link that lives for one send and has nobody to tell of its end.
type silent struct{}

// Detach implements broker.ProducerSink.
func (silent) Detach(*amqp.Error) {}
