package deadletter

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"golang.org/x/sync/errgroup"

	"fnobridge/internal/bus"
)

const (
	// releaseTimeout bounds giving back what was locked only to get past it. What is left then comes back by itself
	// when its lock ends.
	releaseTimeout = 30 * time.Second
	// renewBefore is how little of a message's lock may be left when its copy is sent.
	renewBefore = 10 * time.Second
)

// errAgain says that a message has to be received once more before it can go on.
var errAgain = errors.New("the message comes again")

// A lock is what is kept of a received message: enough to settle it over any connection.
type lock struct {
	token bus.Token
	until time.Time
}

// locks are the dead letters that a run has locked, by sequence number. Safe for concurrent use.
type locks struct {
	queue Queue
	mu    sync.Mutex
	by    map[int64]lock
}

func (l *locks) note(rm *azservicebus.ReceivedMessage) {
	var until time.Time
	if rm.LockedUntil != nil {
		until = *rm.LockedUntil
	}
	l.put(seqOf(rm), lock{rm.LockToken, until})
}

func (l *locks) put(seq int64, x lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[seq] = x
}

func (l *locks) get(seq int64) (lock, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, ok := l.by[seq]
	return x, ok
}

func (l *locks) forget(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, seq)
}

func (l *locks) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.by)
}

// has reports whether a dead letter is locked by this run. A deferred one never comes by itself: it is fetched.
func (l *locks) has(ctx context.Context, it *item) (bool, error) {
	if _, ok := l.get(it.seq); ok || it.place != deferred {
		return ok, nil
	}
	rm, err := l.queue.ReceiveDeferred(ctx, it.seq)
	if err != nil || rm == nil {
		return false, err
	}
	// Its lock time is not told: this one is renewed first.
	l.put(it.seq, lock{rm.LockToken, time.Now().Add(renewBefore)})
	return true, nil
}

// secure returns a dead letter's token with enough of its lock left.
func (l *locks) secure(ctx context.Context, seq int64) (bus.Token, error) {
	x, _ := l.get(seq)
	if time.Until(x.until) > renewBefore {
		return x.token, nil
	}
	until, err := l.queue.Renew(ctx, x.token)
	if err != nil {
		return bus.Token{}, l.lost(seq, err)
	}
	l.put(seq, lock{x.token, until})
	return x.token, nil
}

// complete takes a dead letter away.
func (l *locks) complete(ctx context.Context, seq int64, t bus.Token) error {
	if err := l.queue.Complete(ctx, t); err != nil {
		return l.lost(seq, err)
	}
	l.forget(seq)
	return nil
}

// lost forgets a lock that has ended: its message comes again.
func (l *locks) lost(seq int64, err error) error {
	if errors.Is(err, bus.ErrLockLost) {
		l.forget(seq)
		return errAgain
	}
	return err
}

// release gives back the messages that were passed over or not finished.
func (l *locks) release() {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	l.queue.Stop(ctx)
	var g errgroup.Group
	g.SetLimit(16)
	for _, x := range l.by {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if err := l.queue.Abandon(ctx, x.token); errors.Is(err, ErrUnreachable) {
				cancel() // nor will the others be: their locks end by themselves
			}
			return nil
		})
	}
	_ = g.Wait() // no step returns an error
	clear(l.by)
}
