package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// acceptByIDTimeout bounds an accept of a named session, which the broker answers at once either way.
const acceptByIDTimeout = 5 * time.Second

// AcceptNext waits up to wait for a session of src that has a message and no owner. ErrIdle when none came.
func (b *Bus) AcceptNext(ctx context.Context, src Source, wait time.Duration) (*Session, error) {
	// The broker is told to give up at wait; the call itself gets a little more, so that its answer is heard.
	return b.accept(ctx, wait, src, "", func(ctx context.Context, g *generation) (*azservicebus.SessionReceiver, error) {
		if src.Queue != "" {
			return g.AcceptNextSessionForQueue(ctx, src.Queue, nil)
		}
		return g.AcceptNextSessionForSubscription(ctx, src.Topic, src.Subscription, nil)
	})
}

// AcceptByID takes one session, whether it has messages or not. ErrTaken when another receiver holds it.
func (b *Bus) AcceptByID(ctx context.Context, src Source, id string) (*Session, error) {
	return b.accept(ctx, acceptByIDTimeout, src, id, func(ctx context.Context, g *generation) (*azservicebus.SessionReceiver, error) {
		if src.Queue != "" {
			return g.AcceptSessionForQueue(ctx, src.Queue, id, nil)
		}
		return g.AcceptSessionForSubscription(ctx, src.Topic, src.Subscription, id, nil)
	})
}

func (b *Bus) accept(ctx context.Context, wait time.Duration, src Source, id string, call func(context.Context, *generation) (*azservicebus.SessionReceiver, error)) (*Session, error) {
	g, err := b.sessions.use()
	if err != nil {
		return nil, err
	}
	var r *azservicebus.SessionReceiver
	before := time.Now()
	err = bounded(ctx, g, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, wait)
	}, func(ctx context.Context) error {
		before = time.Now()
		var err error
		r, err = call(ctx, g)
		return err
	})
	if err != nil {
		g.done()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case taken(err):
			return nil, fmt.Errorf("accept session %q of %s: %w", id, src, ErrTaken)
		case idle(err) || (id == "" && errors.Is(err, context.DeadlineExceeded)):
			return nil, ErrIdle
		}
		return nil, fmt.Errorf("accept session of %s: %w", src, err)
	}
	return &Session{receiver: r, g: g, bound: b.callTimeout, granted: before, lockedUntil: r.LockedUntil()}, nil
}

// A Session is one accepted session. After the first error that is not the caller's own stop it answers every call
// with ErrLost, except Close. Its methods may be called from several goroutines; they run one at a time, because the
// SDK writes the lock time without a lock of its own and because only then a silent re-attach can be told apart.
type Session struct {
	receiver *azservicebus.SessionReceiver
	g        *generation
	bound    time.Duration

	mu          sync.Mutex // serialises all calls on receiver, and guards what follows
	granted     time.Time  // just before the call that got or renewed the lock was made
	lockedUntil time.Time  // what the broker answered to that call
	lost        error      // the first failure
	closed      bool
}

// ID gives the session's ID.
func (s *Session) ID() string { return s.receiver.SessionID() }

// Lock gives when the call that last got or renewed the lock was made, by our own clock, and until when the broker
// then said it holds, by the broker's clock.
func (s *Session) Lock() (granted, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted, s.lockedUntil
}

// call runs one bounded call. Any failure but the caller's own stop loses the session.
func (s *Session) call(ctx context.Context, what string, bound time.Duration, renews bool, fn func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrLost, s.lost)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	before := time.Now()
	err := bounded(ctx, s.g, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, bound, errStall)
	}, fn)
	if now := s.receiver.LockedUntil(); !now.Equal(s.lockedUntil) {
		if !renews {
			s.lost = errors.New("the SDK re-attached the session behind our back")
			return fmt.Errorf("%s: %w: %w", what, ErrLost, s.lost)
		}
		s.granted, s.lockedUntil = before, now
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	s.lost = err
	return fmt.Errorf("%s: %w: %w", what, ErrLost, err)
}

// Receive waits up to wait for the session's next message; nil without an error when none came. One message at a time:
// with more, the SDK's background releaser may hand messages back out of order.
func (s *Session) Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error) {
	var got []*azservicebus.ReceivedMessage
	err := s.call(ctx, "receive", s.bound, false, func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, min(wait, s.bound-s.bound/8))
		defer cancel()
		var err error
		got, err = s.receiver.ReceiveMessages(inner, 1, nil)
		switch {
		case err != nil && inner.Err() != nil && ctx.Err() == nil:
			return nil // nobody sent anything: that is an answer
		case err == nil && len(got) == 0:
			return errors.New("the link was lost") // (nil, nil) is the SDK's word for that, not for an empty session
		}
		return err
	})
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return got[0], nil
}

// Renew renews the session lock; Lock tells the result.
func (s *Session) Renew(ctx context.Context) error {
	return s.call(ctx, "renew session lock", s.bound, true, func(ctx context.Context) error {
		return s.receiver.RenewSessionLock(ctx, nil)
	})
}

// State reads the session state; nil when none was ever set.
func (s *Session) State(ctx context.Context) ([]byte, error) {
	var state []byte
	err := s.call(ctx, "get session state", s.bound, false, func(ctx context.Context) error {
		var err error
		state, err = s.receiver.GetSessionState(ctx, nil)
		return err
	})
	return state, err
}

// SetState replaces the session state; nil clears it.
func (s *Session) SetState(ctx context.Context, state []byte) error {
	return s.call(ctx, "set session state", s.bound, false, func(ctx context.Context) error {
		return s.receiver.SetSessionState(ctx, state, nil)
	})
}

// Complete takes the message off its queue.
func (s *Session) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	return s.call(ctx, "complete", s.bound, false, func(ctx context.Context) error {
		return s.receiver.CompleteMessage(ctx, m, nil)
	})
}

// DeadLetter moves the message to the dead-letter queue.
func (s *Session) DeadLetter(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error {
	return s.call(ctx, "dead-letter", s.bound, false, func(ctx context.Context) error {
		return s.receiver.DeadLetterMessage(ctx, m, o)
	})
}

// Close gives the session back: the broker may hand it out at once, and its unsettled messages do not count a delivery.
// It must be called exactly once, also after an ErrLost.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.g.done()
	if s.lost == nil {
		s.lost = errors.New("closed")
	}
	if s.g.ctx.Err() != nil {
		return nil // its connection is gone, and the session with it
	}
	ctx, cancel := context.WithTimeout(ctx, s.bound)
	defer cancel()
	return s.receiver.Close(ctx)
}
