package inbound

import (
	"context"
	"fmt"
	"time"
)

// TakeTurn makes one of several replicas the only one to do something that has no session of its own, such as fetching
// the exports of one job: it takes a session that never has messages, as a lock, and keeps it like any other. held ends,
// with a cause, before the broker may give the turn to another replica; release gives it back. An error that wraps
// bus.ErrTaken says that another replica has it.
//
// The broker detaches a link that is idle for ten minutes, and renewals may not count: give the turn back and take it
// again before that.
func TakeTurn(ctx context.Context, a Acceptor, session string, lock time.Duration) (held context.Context, release func(), err error) {
	s, err := a.AcceptByID(ctx, session)
	if err != nil {
		return nil, nil, fmt.Errorf("take turn %q: %w", session, err)
	}
	l := hold(ctx, s, lock, nil)
	return l.ctx, func() {
		l.stop()
		_ = closeSession(ctx, s) // the lock runs out by itself
	}, nil
}
