package deadletter

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/lease"
)

// ErrUnreachable says that Service Bus gave no answer, over several connections. Its answers are named by package bus;
// every other failure is passed on as it came.
var ErrUnreachable = errors.New("service bus cannot be reached")

// A Broker gives access to queues, topics and subscriptions. All calls are bounded; connections that fail are
// replaced behind it.
type Broker interface {
	DeadLetters(s contract.Source) Queue
	Sender(target string) Target
	// Session locks one session. bus.ErrTaken when somebody else has it, bus.ErrNoSessions when the source knows none.
	Session(ctx context.Context, s contract.Source, id string) (Session, error)
	// Sessions lists the IDs of all sessions with messages or state.
	Sessions(ctx context.Context, s contract.Source) iter.Seq2[string, error]
}

// A peeker shows messages without locking them.
type peeker interface {
	// Peek returns up to most messages from a sequence number on, locked ones included. Through a session the broker may
	// show messages of all sessions.
	Peek(ctx context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error)
}

// A Queue is the dead-letter queue of a source.
type Queue interface {
	peeker
	lease.Closer
	// Receive locks up to most messages; none without an error when none came within wait.
	Receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error)
	// ReceiveDeferred locks one message that somebody deferred; nil when it is not there.
	ReceiveDeferred(ctx context.Context, seq int64) (*azservicebus.ReceivedMessage, error)
	Complete(ctx context.Context, t bus.Token) error
	Abandon(ctx context.Context, t bus.Token) error
	Renew(ctx context.Context, t bus.Token) (until time.Time, err error)
	// Stop ends receiving. What was locked can still be settled, and does not come again when abandoned.
	Stop(ctx context.Context)
}

// A Session is a locked session. Its messages are locked with it; closing gives all of them back uncounted. After the
// first failure it answers every call with bus.ErrLost.
type Session interface {
	peeker
	lease.Session
	State(ctx context.Context) ([]byte, error)
	SetState(ctx context.Context, state []byte) error
	// Receive returns the next message; nil without an error when none came within wait.
	Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error)
	Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error
}

// A Target takes copies. Sending the same MessageID twice is safe where duplicate detection is on.
type Target interface {
	lease.Closer
	Send(ctx context.Context, m *azservicebus.AMQPAnnotatedMessage) error
}
