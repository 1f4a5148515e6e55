package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"fnobridge/internal/retry"
)

const (
	// callTimeout bounds one try of one call. The SDK settles with retries of its own that begin after about 3 s and,
	// under a broken connection, close the next healthy one; so a try ends before that and a new connection is made here.
	callTimeout = 2500 * time.Millisecond
	// tries is how many connections one call may use up before the broker counts as unreachable.
	tries = 4
)

// Connect opens a client with the given retry options; it is called again whenever a client is replaced.
type Connect func(azservicebus.RetryOptions) (*azservicebus.Client, error)

// A Service is Service Bus itself as a Broker. It keeps one client and replaces it as a whole when a call finds its
// connection broken or silent. Safe for concurrent use.
type Service struct {
	connect Connect

	mu     sync.Mutex // guards what follows and the fields of generations
	now    *generation
	closed bool
	wg     sync.WaitGroup // goodbyes under way
}

// generation is one client and how many calls and sessions use it. A client is closed when the last of them is done:
// the SDK makes a link anew for a call that was waiting while its client was closed, and nobody closes that one.
type generation struct {
	*azservicebus.Client
	users int
	dead  bool
}

// NewService prepares a Service. Nothing is dialled before the first call.
func NewService(connect Connect) *Service { return &Service{connect: connect} }

// Close ends the connection and waits for those that are being closed. Sources and sessions are closed before.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	g := s.now
	s.now, s.closed = nil, true
	if g != nil {
		g.dead = true
	}
	s.mu.Unlock()
	var err error
	if g != nil {
		err = g.Close(ctx)
	}
	s.wg.Wait()
	return err
}

// use gives the client; done follows.
func (s *Service) use() (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("%w: closed", ErrUnreachable)
	}
	if s.now == nil {
		c, err := s.connect(azservicebus.RetryOptions{MaxRetries: 2, RetryDelay: 20 * time.Millisecond, MaxRetryDelay: 200 * time.Millisecond})
		if err != nil {
			return nil, fmt.Errorf("connect to service bus: %w", err)
		}
		s.now = &generation{Client: c}
	}
	s.now.users++
	return s.now, nil
}

// keep lets a session use the client on after the call that made it.
func (s *Service) keep(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.users++
}

func (s *Service) done(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.users--; g.dead && g.users == 0 && !s.closed {
		s.goodbye(g)
	}
}

// retire replaces the client if it is still the one that failed.
func (s *Service) retire(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.dead {
		return
	}
	g.dead = true
	if s.now == g {
		s.now = nil
	}
	if g.users == 0 {
		s.goodbye(g)
	}
}

func (s *Service) retired(g *generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.dead
}

func (s *Service) goodbye(g *generation) {
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = g.Close(ctx) // known to be bad; there is nobody to tell
	})
}

// betweenTries is how long is waited before a call is made again.
var betweenTries = retry.Doubling{First: 100 * time.Millisecond, Max: time.Second}

// errRetired says that another call has found the connection broken.
var errRetired = errors.New("the connection was replaced")

// call runs fn until it gives an answer, each try over a fresh connection after one that failed. Only calls that may be
// made twice come here: everything but a receive is idempotent by lock token, by message ID or by nature.
func (s *Service) call(ctx context.Context, what string, bound time.Duration, fn func(context.Context, *generation) error) error {
	var err error
	for try := range tries {
		if try > 0 && !retry.Wait(ctx, betweenTries.After(try)) {
			break
		}
		var g *generation
		if g, err = s.use(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		cctx, cancel := context.WithTimeout(ctx, bound)
		err = fn(cctx, g)
		cancel()
		if err != nil && ctx.Err() == nil && sorted(err) == nil {
			s.retire(g)
		}
		s.done(g)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if known := sorted(err); known != nil {
			return fmt.Errorf("%s: %w", what, known)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, err)
}

// sorted names an answer of the broker that another connection would not change; nil for everything else.
func sorted(err error) error {
	for _, known := range []error{ErrNotFound, ErrForbidden, ErrNoSessions, ErrNeedSession, ErrTaken, ErrLockLost, ErrTooLarge} {
		if errors.Is(err, known) {
			return err
		}
	}
	wrap := func(known error) error { return fmt.Errorf("%w: %w", known, err) }
	if errors.Is(err, azservicebus.ErrMessageTooLarge) {
		return wrap(ErrTooLarge)
	}
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		switch e.Code {
		case azservicebus.CodeLockLost:
			return wrap(ErrLockLost)
		case azservicebus.CodeNotFound:
			return wrap(ErrNotFound)
		case azservicebus.CodeUnauthorizedAccess:
			return wrap(ErrForbidden)
		}
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		switch e.Condition {
		case amqp.ErrCondNotFound:
			return wrap(ErrNotFound)
		case amqp.ErrCondUnauthorizedAccess:
			return wrap(ErrForbidden)
		case "com.microsoft:session-cannot-be-locked":
			return wrap(ErrTaken)
		case amqp.ErrCondMessageSizeExceeded:
			return wrap(ErrTooLarge)
		}
	}
	return nil
}

// notAllowed reports the broker's word for "not this kind of receiver" and "not without a session".
func notAllowed(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Condition == amqp.ErrCondNotAllowed
}

// Sessions lists the sessions of e.
func (s *Service) Sessions(ctx context.Context, e Entity) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c, err := s.use()
		if err != nil {
			yield("", err)
			return
		}
		defer s.done(c)
		pager := c.NewListSessionsForQueuePager(e.Queue, nil)
		if e.Queue == "" {
			pager = c.NewListSessionsForSubscriptionPager(e.Topic, e.Subscription, nil)
		}
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				if known := sorted(err); known != nil {
					err = known
				} else if none := s.probeSessions(ctx, e); none != nil { // the SDK calls every refusal a lost connection
					err = none
				}
				yield("", fmt.Errorf("list sessions of %s: %w", e, err))
				return
			}
			for _, id := range page.Sessions {
				if !yield(id, nil) {
					return
				}
			}
		}
	}
}

// probeSessions gives ErrNoSessions when e does not know sessions: an accept says so plainly.
func (s *Service) probeSessions(ctx context.Context, e Entity) error {
	session, err := s.Session(ctx, e, "fnobridge-probe")
	if err == nil {
		closeQuietly(session)
		return nil
	}
	if errors.Is(err, ErrNoSessions) {
		return err
	}
	return nil
}

// Sender gives a target; nothing is dialled before the first send.
func (s *Service) Sender(target string) Target { return &serviceTarget{s: s, name: target} }

type serviceTarget struct {
	s    *Service
	name string

	mu sync.Mutex
	g  *generation
	tx *azservicebus.Sender
}

func (t *serviceTarget) Send(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	return t.s.call(ctx, "send to "+t.name, 2*callTimeout, func(ctx context.Context, g *generation) error {
		tx, err := t.sender(ctx, g)
		if err != nil {
			return err
		}
		err = tx.SendAMQPAnnotatedMessage(ctx, m, nil)
		if notAllowed(err) && m.Properties.GroupID == nil {
			return fmt.Errorf("%w: %w", ErrNeedSession, err)
		}
		return err
	})
}

// sender gives the sender of a client, its link made. One goroutine makes it: the SDK makes one for each that finds
// none (azservicebus v1.11.0, AMQPLinksImpl.Get), and forgets all but the last.
func (t *serviceTarget) sender(ctx context.Context, g *generation) (*azservicebus.Sender, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.g == g {
		return t.tx, nil
	}
	if t.s.retired(g) {
		return nil, errRetired
	}
	tx, err := g.NewSender(t.name, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.NewMessageBatch(ctx, nil); err != nil { // asks the link for its size, so there is one
		closeLink(tx)
		return nil, err
	}
	t.g, t.tx = g, tx
	return tx, nil
}

// closeLink closes a link that could not be made: what was made of it goes.
func closeLink(l interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = l.Close(ctx) // it has failed already
}
