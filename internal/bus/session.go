package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

type sessionReceiver = azservicebus.SessionReceiver

// acceptCalls is what an accept may take, in bounds of one call: it takes about twenty round trips, twelve of them for
// the claims of its links, which the SDK negotiates one at a time on each connection. The first is made before any
// distance is known.
const acceptCalls = 5

// acceptBound returns what an accept may take beside the time for which the broker looks for a session.
func (b *Bus) acceptBound() time.Duration {
	return acceptCalls * b.distance.bound(b.callTimeout)
}

// AcceptNext waits up to wait for a session of src that has a message and no owner. ErrIdle when none came.
func (b *Bus) AcceptNext(ctx context.Context, src Source, wait time.Duration) (*Session, error) {
	// The broker is told to give up at wait; the call itself gets more, so that its answer is heard and a broker that
	// says nothing is not taken for one that has nothing to give.
	return b.accept(ctx, wait+b.acceptBound(), src, "", func(ctx context.Context, g *generation) (*sessionReceiver, error) {
		ctx = waitAtBroker{ctx, wait, b.distance.bound(b.callTimeout)}
		if src.Queue != "" {
			return g.AcceptNextSessionForQueue(ctx, src.Queue, nil)
		}
		return g.AcceptNextSessionForSubscription(ctx, src.Topic, src.Subscription, nil)
	})
}

// waitAtBroker tells the broker how long it may look for a session: the SDK passes on the deadline of its context when
// it asks for one. The time counts from the question: connecting first takes nothing from it, unless it took so long
// that the broker's answer would come when nobody listens any more. It ends nothing itself.
type waitAtBroker struct {
	context.Context
	wait   time.Duration
	answer time.Duration // what the broker's answer may take
}

func (w waitAtBroker) Deadline() (time.Time, bool) {
	at := time.Now().Add(w.wait)
	if own, ok := w.Context.Deadline(); ok && own.Add(-w.answer).Before(at) {
		return own.Add(-w.answer), true
	}
	return at, true
}

// AcceptByID takes one session, whether it has messages or not. ErrTaken when another receiver owns it.
func (b *Bus) AcceptByID(ctx context.Context, src Source, id string) (*Session, error) {
	return b.accept(ctx, b.acceptBound(), src, id, func(ctx context.Context, g *generation) (*sessionReceiver, error) {
		if src.Queue != "" {
			return g.AcceptSessionForQueue(ctx, src.Queue, id, nil)
		}
		return g.AcceptSessionForSubscription(ctx, src.Topic, src.Subscription, id, nil)
	})
}

func (b *Bus) accept(
	ctx context.Context, bound time.Duration, src Source, id string,
	call func(context.Context, *generation) (*sessionReceiver, error),
) (*Session, error) {
	g, err := b.sessions.useToAccept()
	if err != nil {
		return nil, err
	}
	defer g.accepted()
	before := time.Now()
	r, err := bounded(ctx, g, bound, func(ctx context.Context) (*sessionReceiver, error) {
		return call(ctx, g)
	}, func(r *sessionReceiver) { // accepted after all, and nobody is there any more
		closing, cancel := context.WithTimeout(context.Background(), b.callTimeout)
		defer cancel()
		_ = r.Close(closing) // else its lock runs out
	})
	if err != nil {
		g.done()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case idle(err):
			return nil, ErrIdle
		case notAllowed(err):
			err = fmt.Errorf("%w: %w", ErrNoSessions, err)
		}
		return nil, fmt.Errorf("accept session %q of %s: %w", id, src, named(err))
	}
	s := &Session{
		receiver: r, g: g, bus: b, turn: make(chan struct{}, 1), granted: before, lockedUntil: r.LockedUntil(),
	}
	s.usable, s.end = context.WithCancelCause(g.ctx)
	return s, nil
}

// A Session is one accepted session. After the first error that is not the caller's own stop it answers every call
// with ErrLost, except Close. Its methods may be called from several goroutines; calls to the broker run one at a time,
// because the SDK writes the lock time without a lock of its own and because only then a silent re-attach can be told
// apart. Only the next message is waited for beside them: a large one takes longer to arrive than the lock lasts.
type Session struct {
	receiver *sessionReceiver
	g        *generation
	bus      *Bus
	turn     chan struct{}   // full while a call is under way
	usable   context.Context // ends with the first failure as its cause, or with the connection
	end      context.CancelCauseFunc

	mu          sync.Mutex // guards what follows; never locked during a call
	granted     time.Time  // just before the call that got or renewed the lock was made
	lockedUntil time.Time  // what the broker answered to that call
	next        *arrival   // the message that is on its way or here; nil when none was asked for
	closed      bool
}

// ID returns the session's ID.
func (s *Session) ID() string { return s.receiver.SessionID() }

// Lock returns when the call that last got or renewed the lock was made, by our own clock, and until when the broker
// then said it lasts, by the broker's clock.
func (s *Session) Lock() (granted, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted, s.lockedUntil
}

// RoundTrip returns what a question to the broker and its answer take at present.
func (s *Session) RoundTrip() time.Duration { return s.bus.distance.roundTrip() }

// LastFailure returns when a link or a connection of this process last failed, or may have; the zero time when none
// ever did. Whoever noticed it: a call on a session, a send, an accept that waited. What the broker said of a session
// before may not be true any more: it frees a session whose link is gone.
func (s *Session) LastFailure() time.Time {
	return s.bus.lastFailure()
}

// call runs one bounded call. Any failure but the caller's own stop loses the session.
func call[T any](
	ctx context.Context, s *Session, what string, renews bool, fn func(context.Context) (T, error),
) (T, error) {
	var none T
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	}
	if s.usable.Err() != nil {
		return none, fmt.Errorf("%s: %w", what, s.lose(nil))
	}
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	before := time.Now()
	v, err := bounded(ctx, s.g, s.bus.distance.bound(s.bus.callTimeout), fn, nil)
	s.bus.measure(before, err)
	if !errors.Is(err, errAbandoned) { // else the call still runs, and may be writing the lock time
		err = s.compare(before, renews, err)
	}
	switch {
	case err == nil:
		return v, nil
	case ctx.Err() != nil && !errors.Is(err, errAbandoned) && !errors.Is(err, errReattached) && !errors.Is(err, errLinkLost):
		return none, context.Cause(ctx)
	}
	s.bus.noteFailure() // also where the broker answered: if it took one session, it may have taken others
	return none, fmt.Errorf("%s: %w", what, s.lose(err))
}

// errReattached says that the lock is not the one that was granted or renewed last.
var errReattached = errors.New("the SDK re-attached the session behind our back")

// compare looks at the lock after a call that ended with err.
func (s *Session) compare(before time.Time, renews bool, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.receiver.LockedUntil()
	switch {
	case now.Equal(s.lockedUntil):
	case !renews:
		return errReattached
	default:
		s.granted, s.lockedUntil = before, now
	}
	return err
}

// lose ends the session. It returns the error for the caller.
func (s *Session) lose(err error) error {
	s.end(err)
	if err == nil {
		err = context.Cause(s.usable)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// do is call for calls that give nothing.
func (s *Session) do(ctx context.Context, what string, renews bool, fn func(context.Context) error) error {
	_, err := call(ctx, s, what, renews, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}

// Peek returns up to most messages from a sequence number on, without locking them. The SDK asks through the session's
// link, but does not say which session it means: the broker may answer with messages of all of them.
func (s *Session) Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	return call(ctx, s, "peek", false, func(ctx context.Context) ([]*azservicebus.ReceivedMessage, error) {
		return peek(ctx, s.receiver, from, most)
	})
}

// Renew renews the session lock; Lock tells the result.
func (s *Session) Renew(ctx context.Context) error {
	return s.do(ctx, "renew session lock", true, func(ctx context.Context) error {
		return s.receiver.RenewSessionLock(ctx, nil)
	})
}

// State reads the session state; nil when none was ever set.
func (s *Session) State(ctx context.Context) ([]byte, error) {
	return call(ctx, s, "get session state", false, func(ctx context.Context) ([]byte, error) {
		return s.receiver.GetSessionState(ctx, nil)
	})
}

// SetState replaces the session state; nil clears it.
func (s *Session) SetState(ctx context.Context, state []byte) error {
	return s.do(ctx, "set session state", false, func(ctx context.Context) error {
		return s.receiver.SetSessionState(ctx, state, nil)
	})
}

// Complete takes the message off its queue. One that comes from ByToken will do. The next message is asked for in the
// same breath, which spares a round trip.
func (s *Session) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	s.ask()
	return s.do(ctx, "complete", false, func(ctx context.Context) error {
		return s.receiver.CompleteMessage(ctx, m, nil)
	})
}

// DeadLetter moves the message to the dead-letter queue.
func (s *Session) DeadLetter(
	ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions,
) error {
	return s.do(ctx, "dead-letter", false, func(ctx context.Context) error {
		return s.receiver.DeadLetterMessage(ctx, m, o)
	})
}

// closeCalls is how many calls closing a session takes: its two links and their AMQP sessions end one after the other.
const closeCalls = 4

// Close gives the session back: the broker may hand it out at once, and its unsettled messages do not count a delivery.
// It must be called exactly once, also after an ErrLost.
func (s *Session) Close(ctx context.Context) error {
	s.end(errors.New("closed")) // from here on nothing else begins
	s.turn <- struct{}{}        // what is under way is bounded
	defer func() { <-s.turn }()
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	defer s.g.done()
	if s.g.ctx.Err() != nil {
		return nil // its connection is gone, and the session with it
	}
	bound := closeCalls * s.bus.distance.bound(s.bus.callTimeout)
	_, err := bounded(ctx, s.g, bound, func(ctx context.Context) (struct{}, error) {
		s.awaitArrival(ctx)
		return struct{}{}, s.receiver.Close(ctx)
	}, nil)
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}
