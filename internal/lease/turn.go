package lease

import (
	"context"
	"fmt"
	"time"
)

// A Session is a session that a turn is taken with.
type Session interface {
	Lock
	Closer
}

// TakeTurn makes one of several replicas the only one to do something that has no session of its own, such as fetching
// the exports of one job: it accepts a session that never has messages, as a lock, and renews it like any other. owned
// ends, with a cause, before the broker may give the turn to another replica; release gives it back. The error of accept
// is passed on, so that one that wraps bus.ErrTaken says that another replica has the turn.
//
// The broker detaches a link that is idle for ten minutes, and renewals may not count: give the turn back and take it
// again before that.
func TakeTurn[S Session](
	ctx context.Context, accept func(ctx context.Context, id string) (S, error), session string, lock time.Duration,
) (owned context.Context, release func(), err error) {
	s, err := accept(ctx, session)
	if err != nil {
		return nil, nil, fmt.Errorf("take turn %q: %w", session, err)
	}
	l := Start(ctx, s, lock, nil)
	return l.ctx, func() {
		l.Stop()
		_ = Close(ctx, s) // the lock runs out by itself
	}, nil
}
