package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// An arrival is the next message of a session, on its way or here. It is asked for once and waited for as often as it
// takes.
//
// That is what makes large messages and slow lines possible. A receive of the SDK that ends without a message leaves a
// credit behind, and a releaser that gives back at once what then arrives: with a wait that is shorter than a message
// takes, that message would never be received. Here no such receive ends before the session does.
type arrival struct {
	done    chan struct{}
	message *azservicebus.ReceivedMessage
	err     error // written, as message, before done is closed
}

// ask asks for the next message unless it was asked for already. One at a time: with more, the SDK's background
// releaser may hand messages back out of order.
func (s *Session) ask() *arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		a := &arrival{done: make(chan struct{})}
		s.next = a
		s.g.home.spawn(func() {
			defer close(a.done)
			a.message, a.err = s.arrive()
		})
	}
	return s.next
}

// arrive waits for a message as long as the session is usable. A link that is lost meanwhile ends the session at once,
// whether anybody waits for the message or not.
func (s *Session) arrive() (*azservicebus.ReceivedMessage, error) {
	if s.usable.Err() != nil {
		return nil, s.lose(nil)
	}
	got, err := s.receiver.ReceiveMessages(s.usable, 1, nil)
	switch {
	case err == nil && len(got) > 0:
		s.g.answered()
		return got[0], nil
	case s.usable.Err() != nil:
		return nil, s.lose(nil)
	case err == nil:
		err = errLinkLost // and not an empty queue
	}
	s.g.judge(err)
	s.bus.noteFailure()
	return nil, s.lose(err)
}

// Receive waits up to wait for the session's next message; nil without an error when none came. It can be called again
// while the message is on its way: nothing is given back. Waiting is bounded by the caller, who renews the lock
// meanwhile. The message may have come before the session was lost: only an answer of the broker to a call proves who
// owns it.
func (s *Session) Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error) {
	if s.usable.Err() != nil {
		return nil, fmt.Errorf("receive: %w", s.lose(nil))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a := s.ask()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-a.done:
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.usable.Done():
		return nil, fmt.Errorf("receive: %w", s.lose(nil))
	}
	if a.err != nil {
		return nil, fmt.Errorf("receive: %w", a.err)
	}
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	if err := s.unchanged(ctx); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return a.message, nil
}

// unchanged makes sure that the SDK did not re-attach the session on its way to a message.
func (s *Session) unchanged(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := s.compare(time.Now(), false, nil); err != nil {
		s.bus.noteFailure()
		return s.lose(err)
	}
	return nil
}

// awaitArrival waits until nothing is being received any more, which is soon after the session has ended.
func (s *Session) awaitArrival(ctx context.Context) {
	s.mu.Lock()
	a := s.next
	s.mu.Unlock()
	if a == nil {
		return
	}
	select {
	case <-a.done:
	case <-ctx.Done():
	}
}

// sdkReceiver is a receiver of azservicebus, of a session or not.
type sdkReceiver interface {
	ReceiveMessages(ctx context.Context, most int, o *azservicebus.ReceiveMessagesOptions) (messages, error)
	PeekMessages(ctx context.Context, most int, o *azservicebus.PeekMessagesOptions) (messages, error)
}

// receive waits up to wait for the first of up to most messages; errSilence when none came.
func receive(ctx context.Context, link sdkReceiver, most int, wait time.Duration) (messages, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	got, err := link.ReceiveMessages(within, most, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && within.Err() != nil && ctx.Err() == nil:
		return nil, errSilence
	case err != nil:
		return nil, err
	case len(got) == 0:
		return nil, errLinkLost // and not an empty queue
	}
	return got, nil
}

func peek(ctx context.Context, link sdkReceiver, from int64, most int) (messages, error) {
	return link.PeekMessages(ctx, most, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &from})
}
