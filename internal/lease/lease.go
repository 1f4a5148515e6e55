// Package lease turns the lock of a session into a context: what runs under it ends before the broker may hand the
// session to somebody else.
//
// Promised: the context of a lease has ended before the lock of the broker ends, whatever the clocks say, whether the
// renewals fail, hang or come back late. Not promised: that the lock is still there while the lease runs. A broker
// frees a session at once when its link goes; Prove asks for that.
package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fnobridge/internal/retry"
)

var (
	// ErrLost is the cause with which everything that runs under a lease ends when it is lost.
	ErrLost = errors.New("the session's lease is lost")
	// ErrShort says that too little of the lease is left to begin something.
	ErrShort = errors.New("not enough of the session's lease is left")
)

// A Lock is the part of a session that a lease needs.
type Lock interface {
	// Lock returns when the call that last got or renewed the lock was made, by our own clock, and until when the
	// broker then said it lasts, by the broker's clock.
	Lock() (granted, until time.Time)
	// LastFailure returns when a link or a connection of this process last failed, or may have.
	LastFailure() time.Time
	Renew(ctx context.Context) error
}

// A Lease is the lock of a session as a context: it ends, with ErrLost as its cause, before the broker may hand the
// session to another worker.
//
//	owned --half the lease--> renewing --ok--> owned
//	  |                         |
//	  |                         +--lost, or hung until the margin--> lost (for good)
//	  +--margin before the end-------------------------------------> lost (for good)
//
// The end is counted on our own monotonic clock from just before the request that got the lock: the broker's lock can
// only end later. The broker's own time says how long the lock is, never longer than the configured lock duration, so
// that a clock that is off can shorten a lease but not stretch it.
type Lease struct {
	s         Lock
	lock      time.Duration // configured lock duration of the queue
	margin    time.Duration
	ctx       context.Context
	lose      context.CancelCauseFunc
	wg        sync.WaitGroup
	onRenewal func(error) // told of every renewal; may be nil

	expire   *time.Timer   // ends ctx when the lease is over, whatever the session is doing; set before the loop starts
	renewing chan struct{} // full while a renewal is under way: the loop's, or one out of turn

	mu      sync.Mutex
	granted time.Time // when the lock was asked for, by our clock, monotonic
	until   time.Time // what the broker answered, by its clock
	end     time.Time // monotonic; written after every renewal, read by everybody
	proved  time.Time // when the last call that only the owner can make was begun; written by the lane and by renewals
}

// Start starts the lease. Stop ends it and waits for the renewal loop.
//
// A session that came late in a long accept was asked for long ago, as far as our clock knows; with a short lock little
// of the lease would be left. It is renewed before anything is done under it.
func Start(ctx context.Context, s Lock, lock time.Duration, onRenewal func(error)) *Lease {
	l := &Lease{s: s, lock: lock, margin: marginOf(lock), onRenewal: onRenewal, renewing: make(chan struct{}, 1)}
	l.ctx, l.lose = context.WithCancelCause(ctx)
	l.measure()
	if l.Remaining() < lock/2-l.margin {
		l.renew(true)
	}
	l.expire = time.AfterFunc(l.Remaining(), func() { l.lose(l.over()) })
	l.wg.Go(l.loop)
	return l
}

// marginOf is how long before its end a lease counts as over: a tenth of the lock, at most ten seconds. It must cover a
// settlement on its way to the broker and a pause of this process that the timer notices late.
func marginOf(lock time.Duration) time.Duration { return min(lock/10, 10*time.Second) }

// Context ends with the lease, and says why as its cause.
func (l *Lease) Context() context.Context { return l.ctx }

// measure takes the end of the lease from what the session knows of its lock.
func (l *Lease) measure() {
	granted, until := l.s.Lock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.granted, l.until = granted, until
	l.proved = granted
	l.end = granted.Add(max(0, min(until.Sub(granted), l.lock)))
}

// Remaining returns how much of the lease is left, the margin not counted.
func (l *Lease) Remaining() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.end) - l.margin
}

// Ensure makes sure that d of the lease is left, the margin not counted, renewing it out of turn if need be. Nothing
// that cannot be called back may begin without it. What takes longer than a lease, such as the upload of a large file,
// begins with nearly a whole lease: the renewals go on meanwhile.
func (l *Lease) Ensure(d time.Duration) error {
	d = min(d, (l.lock-l.margin)*9/10) // a renewal takes time of its own
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if l.Remaining() >= d {
		return nil
	}
	if !l.renew(false) {
		return context.Cause(l.ctx)
	}
	if left := l.Remaining(); left < d && l.ctx.Err() == nil {
		return fmt.Errorf("%w: %s left, %s needed", ErrShort, left.Round(time.Millisecond), d)
	}
	return context.Cause(l.ctx)
}

// Prove makes sure that the broker confirmed the lock within the last age, and after the last failure of a connection,
// by renewing it if not. A broker frees a session at once when its link goes, long before the lock would have ended.
func (l *Lease) Prove(age time.Duration) error {
	l.mu.Lock()
	last := l.proved
	l.mu.Unlock()
	if (time.Since(last) > age || last.Before(l.s.LastFailure())) && l.ctx.Err() == nil {
		l.renew(false)
	}
	return context.Cause(l.ctx)
}

// Confirm notes that the broker took a call that only the owner of the session can make, begun at the given time.
func (l *Lease) Confirm(begun time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if begun.After(l.proved) {
		l.proved = begun
	}
}

func (l *Lease) loop() {
	for {
		left := l.Remaining()
		if left <= 0 || !retry.Wait(l.ctx, left/2) || !l.renew(false) {
			return // with none left, the timer ends the lease
		}
	}
}

// renew renews the lock. It reports whether the lease goes on; if not, the lease has ended with its cause. first says
// that nothing was done under the lease so far, so that one that is over is no loss.
func (l *Lease) renew(first bool) bool {
	select {
	case l.renewing <- struct{}{}:
		defer func() { <-l.renewing }()
	case <-l.ctx.Done():
	}
	if l.ctx.Err() != nil {
		return false
	}
	bound := l.Remaining()
	if first {
		bound = l.lock / 2
	}
	ctx, cancel := context.WithTimeout(l.ctx, bound)
	err := l.s.Renew(ctx)
	cancel()
	if l.ctx.Err() != nil {
		return false
	}
	if l.onRenewal != nil {
		l.onRenewal(err)
	}
	if err != nil {
		l.lose(fmt.Errorf("%w: %w", ErrLost, err))
		return false
	}
	// A renewal that came back after the old lease was over proves nothing: somebody else may have had the session in
	// between. The timer says so too, unless this process stood still and the timer is late.
	if !first && l.Remaining() <= 0 {
		l.lose(fmt.Errorf("%w: the renewal took longer than the lease", ErrLost))
		return false
	}
	l.measure()
	left := l.Remaining()
	if left <= 0 {
		l.lose(l.over())
		return false
	}
	if !first {
		l.expire.Reset(left)
	}
	return true
}

// over says why there is no lease left, and names the one cause that waiting does not mend.
func (l *Lease) over() error {
	l.mu.Lock()
	granted, until := l.granted, l.until
	l.mu.Unlock()
	if until.Sub(granted) <= l.margin {
		return fmt.Errorf("%w: the broker says the lock lasts until %s, which is %s after it was asked for by our clock: "+
			"the clocks differ, or the queue's lock duration is under %s", ErrLost,
			until.UTC().Format(time.RFC3339), until.Sub(granted).Round(time.Millisecond), 2*l.margin)
	}
	return fmt.Errorf("%w: it ran out", ErrLost)
}

// Stop ends the lease without calling it lost.
func (l *Lease) Stop() {
	l.lose(context.Canceled)
	l.wg.Wait()
	l.expire.Stop()
}
