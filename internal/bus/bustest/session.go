package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/internal/bus"
)

// ErrNotLocked is what an owner hears who settles a message that he settled before, or never received. The SDK does not
// even ask the broker then.
var ErrNotLocked = errors.New("the message is not locked by its session's owner")

// A Session is an accepted session, as bus.Session is: the first failure that is not the caller's own stop loses it.
type Session struct {
	c       *Client
	link    *link
	manager *broker.Manager
	id      string
	address string
	turn    chan struct{} // full while a call is under way; a channel, because bubbles do not see through mutexes

	mu             sync.Mutex
	granted, until time.Time
	lost           error
	closed         bool
}

// ID is bus.Session.ID.
func (s *Session) ID() string { return s.id }

// Lock is bus.Session.Lock.
func (s *Session) Lock() (granted, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted, s.until
}

// LastFailure is bus.Session.LastFailure.
func (s *Session) LastFailure() time.Time { return s.c.LastFailure() }

// RoundTrip implements the interface of the lanes: nothing is far away.
func (s *Session) RoundTrip() time.Duration { return 0 }

func (s *Session) isOwner(c *broker.Consumer) bool { return c == s.link.consumer }

// do makes one call, when its turn comes.
func (s *Session) do(ctx context.Context, op Op, effect func() error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	}
	return s.doNow(ctx, op, effect)
}

// doNow makes one call, beside others.
func (s *Session) doNow(ctx context.Context, op Op, effect func() error) error {
	s.mu.Lock()
	lost := s.lost
	s.mu.Unlock()
	if lost != nil {
		return fmt.Errorf("%s: %w: %w", op, bus.ErrLost, lost)
	}
	err := s.c.do(ctx, &Call{Op: op, Address: s.address, Session: s.id}, bus.DefaultCallTimeout, func() error {
		if err := s.link.ended(); err != nil {
			return err
		}
		return effect()
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && s.c.Alive() && s.link.ended() == nil:
		return context.Cause(ctx)
	}
	s.c.noteFailure()
	return fmt.Errorf("%s: %w", op, s.lose(err))
}

func (s *Session) lose(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = err
	}
	return fmt.Errorf("%w: %w", bus.ErrLost, err)
}

// Receive is bus.Session.Receive. It waits beside other calls.
func (s *Session) Receive(ctx context.Context, wait time.Duration) (m *azservicebus.ReceivedMessage, err error) {
	err = s.doNow(ctx, OpReceive, func() error {
		got, err := s.link.receive(ctx, 1, wait)
		if err == nil && len(got) > 0 {
			m = got[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Renew is bus.Session.Renew.
func (s *Session) Renew(ctx context.Context) error {
	before := time.Now()
	return s.do(ctx, OpRenew, func() error {
		until, err := s.manager.RenewSession(s.id, s.isOwner)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.granted, s.until = before, until
		s.mu.Unlock()
		return nil
	})
}

// State is bus.Session.State.
func (s *Session) State(ctx context.Context) (state []byte, err error) {
	err = s.do(ctx, OpGetState, func() error {
		var refused *amqp.Error
		state, refused = s.manager.SessionState(s.id, s.isOwner)
		return asError(refused)
	})
	if err != nil {
		return nil, err
	}
	return state, nil
}

// SetState is bus.Session.SetState.
func (s *Session) SetState(ctx context.Context, state []byte) error {
	return s.do(ctx, OpSetState, func() error { return asError(s.manager.SetSessionState(s.id, state, s.isOwner)) })
}

// Peek is bus.Session.Peek: it shows messages of all sessions.
func (s *Session) Peek(ctx context.Context, from int64, most int) (page []*azservicebus.ReceivedMessage, err error) {
	err = s.do(ctx, OpPeek, func() (err error) {
		page, err = peek(s.manager, from, most)
		return err
	})
	return page, err
}

// Complete is bus.Session.Complete.
func (s *Session) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	return s.do(ctx, OpComplete, func() error { return s.settle(m, broker.Outcome{Verdict: broker.Complete}) })
}

// DeadLetter is bus.Session.DeadLetter.
func (s *Session) DeadLetter(
	ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions,
) error {
	return s.do(ctx, OpDeadLetter, func() error { return s.settle(m, deadLetter(o)) })
}

func deadLetter(o *azservicebus.DeadLetterOptions) broker.Outcome {
	outcome := broker.Outcome{Verdict: broker.DeadLetter}
	if o != nil {
		outcome.Properties = pairs(o.PropertiesToModify)
		outcome.Reason, outcome.Description = text(o.Reason), text(o.ErrorDescription)
	}
	return outcome
}

// Abandon gives a message back, which counts a delivery.
func (s *Session) Abandon(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	return s.do(ctx, OpAbandon, func() error { return s.settle(m, broker.Outcome{Verdict: broker.Abandon}) })
}

// Defer sets a message aside until it is asked for by its number.
func (s *Session) Defer(m *azservicebus.ReceivedMessage) error {
	return s.settle(m, broker.Outcome{Verdict: broker.Defer})
}

func (s *Session) settle(m *azservicebus.ReceivedMessage, o broker.Outcome) error {
	err := s.link.consumer.Settle(m.LockToken, o)
	if err != nil && err.Condition == amqp.MessageLockLost && s.link.attached() {
		return fmt.Errorf("%w: %w", ErrNotLocked, err)
	}
	return asError(err)
}

// Close is bus.Session.Close.
func (s *Session) Close(ctx context.Context) error {
	_ = s.lose(errors.New("closed"))
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	switch {
	case again:
		return nil
	case !s.c.Alive():
		return ErrKilled
	case s.c.b.Delay > 0 && !s.c.wait(ctx, s.c.b.Delay):
		return s.c.interrupted(ctx)
	}
	s.link.close()
	return nil
}
