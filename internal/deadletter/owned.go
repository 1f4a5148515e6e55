package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/contract"
	"fnobridge/internal/lease"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// An ownedSession is a session whose lock the run owns, with the tokens of its messages.
type ownedSession struct {
	id      string
	session Session
	lease   *lease.Lease
	tokens  map[int64]bus.Token
	moved   []int64

	ledger     *ledger.Ledger
	unreadable error // why there is no ledger
}

const (
	// ownWait is how often a session that somebody else has locked is asked for again.
	ownWait = 250 * time.Millisecond
	// shortestLock is the shortest lock duration that Service Bus allows: what a lock lasts for sure, whatever the
	// broker's clock says, where nobody told us how long it is.
	shortestLock = 5 * time.Second
)

// own locks a session, waiting up to wait while a worker has it.
func (r *run) own(ctx context.Context, id string, wait time.Duration) (*ownedSession, error) {
	begin := time.Now()
	for {
		s, err := r.b.Session(ctx, r.o.Source, id)
		switch {
		case err == nil:
			// A message that was begun is finished, also when the run is interrupted.
			l := lease.Start(context.WithoutCancel(ctx), s, max(r.o.Lock, shortestLock), nil)
			o := &ownedSession{id: id, session: s, lease: l, tokens: map[int64]bus.Token{}}
			state, err := s.State(l.Context())
			if err != nil {
				o.close()
				return nil, fmt.Errorf("read state of session %q: %w", id, err)
			}
			o.ledger, o.unreadable = ledger.Decode(state)
			return o, nil
		case !errors.Is(err, bus.ErrTaken):
			return nil, fmt.Errorf("lock session %q: %w", id, err)
		case time.Since(begin) >= wait:
			return nil, fmt.Errorf("session %q is locked by a worker: %w", id, err)
		case !retry.Wait(ctx, ownWait):
			return nil, context.Cause(ctx)
		}
	}
}

func (o *ownedSession) close() {
	o.lease.Stop()
	closeQuietly(o.session)
}

// queue peeks at the messages that wait in the session. Deferred and scheduled ones have no place in its order.
func (o *ownedSession) queue(s contract.Source) ([]*item, error) {
	var items []*item
	for rm, err := range peekAll(o.lease.Context(), o.session, 1, 0) {
		if err != nil {
			return nil, err
		}
		if rm.State == azservicebus.MessageStateActive && deref(rm.SessionID) == o.id {
			items = append(items, newWaiting(s, rm))
		}
	}
	return items, nil
}

// receive receives from the session until the message is locked. It returns nil for one that came earlier: messages
// stay locked with the session.
func (o *ownedSession) receive(it *item) (*azservicebus.ReceivedMessage, error) {
	if _, ok := o.tokens[it.seq]; ok {
		return nil, nil
	}
	for {
		rm, err := o.session.Receive(o.lease.Context(), quiet(it.size))
		if err != nil {
			return nil, err
		}
		if rm == nil {
			return nil, errors.New("the message is not in the session any more")
		}
		o.tokens[seqOf(rm)] = rm.LockToken
		if seqOf(rm) == it.seq {
			return rm, nil
		}
	}
}

// complete takes a message off the session. Others will be there again, behind it.
func (o *ownedSession) complete(ctx context.Context, it *item) error {
	if err := o.session.Complete(ctx, bus.ByToken(o.tokens[it.seq])); err != nil {
		return err
	}
	o.moved = append(o.moved, it.seq)
	return nil
}

// lift ends the hold or drain, when all that belongs before newer files is there.
func (o *ownedSession) lift() error {
	o.ledger.Lift(o.moved)
	state, err := o.ledger.Encode()
	if err != nil {
		return err
	}
	return o.session.SetState(o.lease.Context(), state)
}
