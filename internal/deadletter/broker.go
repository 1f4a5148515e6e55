package deadletter

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// What the engine needs to know about a failure of the broker. Everything else is passed on as it came.
var (
	ErrNotFound    = errors.New("no such queue or subscription")
	ErrForbidden   = errors.New("access refused")
	ErrNoSessions  = errors.New("the entity has no sessions")
	ErrNeedSession = errors.New("the entity needs a session")
	ErrTaken       = errors.New("the session is locked by a worker")
	ErrLockLost    = errors.New("the lock is lost")
	ErrTooLarge    = errors.New("the message is larger than the entity takes")
	ErrUnreachable = errors.New("service bus cannot be reached")
)

// A Token settles one locked message, over any connection, until its lock ends.
type Token [16]byte

// A Broker gives access to the entities. All calls are bounded; connections that fail are replaced behind it.
type Broker interface {
	DeadLetters(Entity) Source
	Sender(target string) Target
	// Session locks one session. ErrTaken when somebody else has it, ErrNoSessions when the entity knows none.
	Session(ctx context.Context, e Entity, id string) (Session, error)
	// Sessions gives the IDs of all sessions with messages or state.
	Sessions(ctx context.Context, e Entity) iter.Seq2[string, error]
}

// A Source is where locked messages come from: a dead-letter queue, or one session.
type Source interface {
	// Peek gives up to most messages from a sequence number on, locked ones included, without locking them.
	Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error)
	// Receive locks up to most messages; none without an error when none came within wait.
	Receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error)
	// ReceiveDeferred locks one message that somebody deferred.
	ReceiveDeferred(ctx context.Context, seq int64) (*azservicebus.ReceivedMessage, error)
	Complete(ctx context.Context, t Token) error
	Abandon(ctx context.Context, t Token) error
	Renew(ctx context.Context, t Token) (until time.Time, err error)
	// Stop ends receiving. What was locked can still be settled, and is not given to this source again when abandoned.
	Stop(ctx context.Context)
	Close(ctx context.Context) error
}

// A Session is a locked session. Its messages are locked with it; closing gives all of them back uncounted.
type Session interface {
	Source
	State(ctx context.Context) ([]byte, error)
	SetState(ctx context.Context, state []byte) error
	// PeekAny peeks as the broker understands it through a session's link: messages of this session, or of all of them.
	PeekAny(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error)
	// Lease renews the lock until the returned context ends: with stop, or with a cause when the lock is lost.
	Lease(ctx context.Context) (held context.Context, stop func())
}

// A Target takes copies. Sending the same MessageID twice is safe where duplicate detection is on.
type Target interface {
	Send(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error
}
