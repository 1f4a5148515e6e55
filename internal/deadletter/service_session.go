package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/retry"
)

// Session locks a session of e by its ID.
func (s *Service) Session(ctx context.Context, e Entity, id string) (Session, error) {
	var rx *azservicebus.SessionReceiver
	var of *generation
	err := s.call(ctx, "lock session", 2*callTimeout, func(ctx context.Context, c *generation) (err error) {
		if e.Queue != "" {
			rx, err = c.AcceptSessionForQueue(ctx, e.Queue, id, nil)
		} else {
			rx, err = c.AcceptSessionForSubscription(ctx, e.Topic, e.Subscription, id, nil)
		}
		if notAllowed(err) {
			return fmt.Errorf("%w: %w", ErrNoSessions, err)
		}
		if err == nil {
			of = c
			s.keep(c)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &serviceSession{s: s, g: of, rx: rx, until: rx.LockedUntil()}, nil
}

// serviceSession is a locked session. It is never re-attached: the first failure that the broker did not explain loses
// it, because the SDK would otherwise take the lock again behind our back and go on as if nothing had happened. Calls
// run one at a time, for the SDK writes the lock time without a lock of its own.
type serviceSession struct {
	s  *Service
	g  *generation
	rx *azservicebus.SessionReceiver

	mu     sync.Mutex
	until  time.Time // as last seen
	lost   error
	closed bool
}

func (s *serviceSession) call(ctx context.Context, what string, bound time.Duration, renews bool, fn func(context.Context) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return fmt.Errorf("%s: %w: %w", what, ErrLockLost, s.lost)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	cctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := fn(cctx)
	if now := s.rx.LockedUntil(); !now.Equal(s.until) {
		s.until = now
		if !renews {
			err = errors.New("the SDK took the session anew")
		}
	}
	if err != nil && ctx.Err() == nil {
		s.lost = err
		return fmt.Errorf("%s: %w: %w", what, ErrLockLost, err)
	}
	return err
}

// PeekAny asks through a session's link, but the SDK does not say which session it means, and the broker may answer with
// messages of all of them.
func (s *serviceSession) PeekAny(ctx context.Context, from int64, most int) (page []*azservicebus.ReceivedMessage, err error) {
	err = s.call(ctx, "peek", callTimeout, false, func(ctx context.Context) error {
		page, err = s.rx.PeekMessages(ctx, most, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &from})
		return err
	})
	return page, err
}

// Peek gives this session's messages only.
func (s *serviceSession) Peek(ctx context.Context, from int64, most int) (page []*azservicebus.ReceivedMessage, err error) {
	for len(page) == 0 {
		got, err := s.PeekAny(ctx, from, most)
		if err != nil || len(got) == 0 {
			return nil, err
		}
		for _, m := range got {
			from = max(from, seqOf(m)+1)
			if m.SessionID != nil && *m.SessionID == s.rx.SessionID() {
				page = append(page, m)
			}
		}
	}
	return page, nil
}

// Receive takes one message whatever most says: with more, the SDK's releaser may hand messages back out of order.
func (s *serviceSession) Receive(ctx context.Context, _ int, wait time.Duration) (got []*azservicebus.ReceivedMessage, err error) {
	err = s.call(ctx, "receive", callTimeout, false, func(ctx context.Context) error {
		wctx, cancel := context.WithTimeout(ctx, min(wait, callTimeout-callTimeout/8))
		defer cancel()
		got, err = s.rx.ReceiveMessages(wctx, 1, nil)
		if err != nil && wctx.Err() != nil && ctx.Err() == nil {
			return nil
		}
		if err == nil && len(got) == 0 {
			return errors.New("the link was lost") // the SDK's word for it is no message and no error
		}
		return err
	})
	return got, err
}

func (s *serviceSession) ReceiveDeferred(context.Context, int64) (*azservicebus.ReceivedMessage, error) {
	return nil, errors.ErrUnsupported // nothing deferred is ever taken from a session
}

func (s *serviceSession) Complete(ctx context.Context, t Token) error {
	return s.call(ctx, "complete", callTimeout, false, func(ctx context.Context) error {
		return s.rx.CompleteMessage(ctx, settling(t), nil)
	})
}

func (s *serviceSession) Abandon(ctx context.Context, t Token) error {
	return s.call(ctx, "abandon", callTimeout, false, func(ctx context.Context) error {
		return s.rx.AbandonMessage(ctx, settling(t), nil)
	})
}

// Renew renews the session's lock; messages have no lock of their own.
func (s *serviceSession) Renew(ctx context.Context, _ Token) (time.Time, error) {
	err := s.call(ctx, "renew session lock", callTimeout, true, func(ctx context.Context) error {
		return s.rx.RenewSessionLock(ctx, nil)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until, err
}

func (s *serviceSession) State(ctx context.Context) (state []byte, err error) {
	err = s.call(ctx, "get session state", callTimeout, false, func(ctx context.Context) error {
		state, err = s.rx.GetSessionState(ctx, nil)
		return err
	})
	return state, err
}

func (s *serviceSession) SetState(ctx context.Context, state []byte) error {
	return s.call(ctx, "set session state", callTimeout, false, func(ctx context.Context) error {
		return s.rx.SetSessionState(ctx, state, nil)
	})
}

// Lease renews at half of what is left, and ends the returned context before the lock does.
func (s *serviceSession) Lease(ctx context.Context) (context.Context, func()) {
	held, lose := context.WithCancelCause(ctx)
	s.mu.Lock()
	end := time.Now().Add(time.Until(s.until)) // on our monotonic clock from here on
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			left := time.Until(end)
			margin := min(left/10, 5*time.Second)
			if left <= 0 {
				lose(fmt.Errorf("%w: it ran out", ErrLockLost))
				return
			}
			if !retry.Wait(held, (left-margin)/2) {
				return
			}
			before := time.Now()
			until, err := s.Renew(held, Token{})
			if held.Err() != nil {
				return
			}
			if err == nil && time.Now().After(end) {
				err = fmt.Errorf("%w: the renewal took longer than the lock", ErrLockLost)
			}
			if err != nil {
				lose(err)
				return
			}
			end = before.Add(until.Sub(before))
		}
	})
	return held, func() { lose(nil); wg.Wait() }
}

// Stop does nothing: the messages go back with the session.
func (s *serviceSession) Stop(context.Context) {}

func (s *serviceSession) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.s.done(s.g)
	if s.lost == nil {
		s.lost = errors.New("closed")
	}
	return s.rx.Close(ctx)
}
