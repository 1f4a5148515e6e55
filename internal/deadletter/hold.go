package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/retry"
)

// A Mark says that a session stands: its lane holds it at a failed file, or dead-letters what comes behind one.
type Mark struct {
	Mode   string // "hold" or "drain"
	Seq    int64  // the file that failed
	Reason string
	Busy   []int64 // files that F&O has and that have not ended: they must not be sent again
}

// A Ledger reads and lifts the marks in session state. The codec belongs to the lane.
type Ledger interface {
	// Mark gives the mark, nil when there is none.
	Mark(state []byte) (*Mark, error)
	// Lift gives the state without the mark and without the entries of files that were moved behind.
	Lift(state []byte, moved []int64) ([]byte, error)
}

// hold is a session whose lock the run has, with the tokens of its messages.
type hold struct {
	session Session
	ctx     context.Context // ends, with a cause, when the lock is lost
	stop    func()
	state   []byte
	tokens  map[int64]Token
	moved   []int64
}

// takeWait is how often a locked session is asked for again.
const takeWait = 250 * time.Millisecond

// take locks a session, waiting up to wait while a worker has it.
func take(ctx context.Context, b Broker, e Entity, id string, wait time.Duration) (*hold, error) {
	begin := time.Now()
	for {
		s, err := b.Session(ctx, e, id)
		if err == nil {
			h := &hold{session: s, tokens: map[int64]Token{}}
			h.ctx, h.stop = s.Lease(context.WithoutCancel(ctx)) // a message that was begun is finished
			if h.state, err = s.State(h.ctx); err != nil {
				h.close()
				return nil, fmt.Errorf("read state of session %q: %w", id, err)
			}
			return h, nil
		}
		if !errors.Is(err, ErrTaken) || time.Since(begin) >= wait {
			return nil, fmt.Errorf("lock session %q: %w", id, err)
		}
		if !retry.Wait(ctx, takeWait) {
			return nil, context.Cause(ctx)
		}
	}
}

func (h *hold) close() {
	h.stop()
	closeQuietly(h.session)
}

// queue peeks at the messages that wait in the session. Deferred and scheduled ones have no place in its order.
func (h *hold) queue(e Entity) ([]*item, error) {
	var items []*item
	for rm, err := range peekAll(h.ctx, h.session, 1, 0) {
		if err != nil {
			return nil, err
		}
		if rm.State == azservicebus.MessageStateActive {
			items = append(items, newActive(e, rm))
		}
	}
	return items, nil
}

// token receives from the session until it holds the message. Messages before it stay locked with the session.
func (h *hold) token(it *item) (Token, *azservicebus.ReceivedMessage, error) {
	for {
		if t, ok := h.tokens[it.seq]; ok {
			return t, nil, nil
		}
		got, err := h.session.Receive(h.ctx, 1, quiet)
		if err != nil {
			return Token{}, nil, err
		}
		if len(got) == 0 {
			return Token{}, nil, errors.New("the message is not in the session any more")
		}
		h.tokens[seqOf(got[0])] = got[0].LockToken
		if seqOf(got[0]) == it.seq {
			return got[0].LockToken, got[0], nil
		}
	}
}

// lift ends the hold or drain, when all that belongs before newer files is there.
func (h *hold) lift(l Ledger) error {
	state, err := l.Lift(h.state, h.moved)
	if err != nil {
		return err
	}
	return h.session.SetState(h.ctx, state)
}
