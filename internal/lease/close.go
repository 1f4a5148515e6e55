package lease

import (
	"context"
	"time"

	"fnobridge/internal/retry"
)

// A Closer is a session that can be given back to the broker.
type Closer interface {
	Close(ctx context.Context) error
}

// closeTimeout and hurriedClose bound the closing of a session, which takes several round trips, while there is time
// and when work has ended: the end of the connection, which is next then, frees the session too.
const (
	closeTimeout = 10 * time.Second
	hurriedClose = 300 * time.Millisecond
)

// Close returns a session back: the broker may hand it out at once. It also tries when work has ended, for a short
// time.
func Close(work context.Context, s Closer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), closeTimeout)
	defer cancel()
	defer context.AfterFunc(work, func() {
		retry.Wait(ctx, hurriedClose)
		cancel()
	})()
	return s.Close(ctx)
}
