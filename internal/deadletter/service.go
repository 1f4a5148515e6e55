package deadletter

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/retry"
)

// Service is Service Bus itself as a Broker. Package bus repeats nothing; a command repeats what it may make twice, so
// that one broken connection does not end it. That is everything but calls on a session: a receive, and what is
// idempotent by lock token, by message ID or by nature. Safe for concurrent use.
type Service struct{ bus *bus.Bus }

// NewService returns a Service over b, which Close closes.
func NewService(b *bus.Bus) *Service { return &Service{b} }

// Close ends the connections. Sources and sessions are closed before.
func (s *Service) Close(ctx context.Context) error { return s.bus.Close(ctx) }

// tries is how many connections one call may use up before the broker counts as unreachable.
const tries = 4

// betweenTries is how long is waited before a call is made again.
var betweenTries = retry.Doubling{First: 100 * time.Millisecond, Max: time.Second}

// repeated makes a call until the broker answers it.
func repeated[T any](ctx context.Context, call func() (T, error)) (v T, err error) {
	for try := range tries {
		if try > 0 && !retry.Wait(ctx, betweenTries.After(try)) {
			return v, context.Cause(ctx)
		}
		if v, err = call(); err == nil || ctx.Err() != nil || bus.Final(err) {
			return v, err
		}
	}
	return v, fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// done is repeated for calls that return nothing.
func done(ctx context.Context, call func() error) error {
	_, err := repeated(ctx, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Session locks a session of a source by its ID.
func (s *Service) Session(ctx context.Context, from contract.Source, id string) (Session, error) {
	return repeated(ctx, func() (Session, error) { return s.bus.AcceptByID(ctx, from, id) })
}

// Sessions lists the sessions of a source.
func (s *Service) Sessions(ctx context.Context, of contract.Source) iter.Seq2[string, error] {
	return s.bus.Sessions(ctx, of)
}

// Sender returns a target; nothing is dialled before the first send.
func (s *Service) Sender(target string) Target { return serviceTarget{s.bus.Sender(target)} }

type serviceTarget struct{ *bus.Sender }

func (t serviceTarget) Send(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	return done(ctx, func() error { return t.SendAMQP(ctx, m) })
}

// DeadLetters returns the dead-letter queue of a source.
func (s *Service) DeadLetters(of contract.Source) Queue {
	return serviceQueue{s.bus.Receiver(of, azservicebus.SubQueueDeadLetter)}
}

type serviceQueue struct{ *bus.Receiver }

func (s serviceQueue) Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	return repeated(ctx, func() ([]*azservicebus.ReceivedMessage, error) { return s.Receiver.Peek(ctx, from, most) })
}

func (s serviceQueue) Receive(
	ctx context.Context, most int, wait time.Duration,
) ([]*azservicebus.ReceivedMessage, error) {
	return repeated(ctx, func() ([]*azservicebus.ReceivedMessage, error) { return s.Receiver.Receive(ctx, most, wait) })
}

func (s serviceQueue) ReceiveDeferred(ctx context.Context, seq int64) (*azservicebus.ReceivedMessage, error) {
	return repeated(ctx, func() (*azservicebus.ReceivedMessage, error) { return s.Receiver.ReceiveDeferred(ctx, seq) })
}

func (s serviceQueue) Complete(ctx context.Context, t bus.Token) error {
	return done(ctx, func() error { return s.Receiver.Complete(ctx, t) })
}

func (s serviceQueue) Abandon(ctx context.Context, t bus.Token) error {
	return done(ctx, func() error { return s.Receiver.Abandon(ctx, t) })
}

func (s serviceQueue) Renew(ctx context.Context, t bus.Token) (until time.Time, err error) {
	return repeated(ctx, func() (time.Time, error) { return s.Receiver.Renew(ctx, t) })
}
