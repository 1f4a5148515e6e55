package dynamics

import (
	"context"
	"sync"
	"time"
)

// A Clock is the time an emulated F&O lives by: how long imports run, when exports come back, when tokens end, how long
// a fault delays. Deadlines of sockets are not on it.
type Clock interface {
	Now() time.Time
	// After returns a channel that receives once d has passed, and a function that ends the wait.
	After(d time.Duration) (<-chan time.Time, func())
}

// Real is the clock of the machine.
type Real struct{}

// Now returns the time in UTC.
func (Real) Now() time.Time { return time.Now().UTC() }

// After is a timer.
func (Real) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// A Fake is a clock that moves when it is told to. Its zero value is not usable; NewFake makes one.
type Fake struct {
	mu      sync.Mutex // guards the rest
	now     time.Time
	waiting map[*waiter]bool
	changed chan struct{} // closed and replaced when waiting changes
}

type waiter struct {
	at time.Time
	ch chan time.Time
}

// NewFake returns a clock that stands at start.
func NewFake(start time.Time) *Fake {
	return &Fake{now: start.UTC(), waiting: map[*waiter]bool{}, changed: make(chan struct{})}
}

// Now returns the time the clock stands at.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Advance moves the clock and wakes who waited for a time that has now come.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
	for w := range f.waiting {
		if !w.at.After(f.now) {
			delete(f.waiting, w)
			w.ch <- f.now
		}
	}
	f.tell()
}

// After waits on the fake time.
func (f *Fake) After(d time.Duration) (<-chan time.Time, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &waiter{at: f.now.Add(d), ch: make(chan time.Time, 1)}
	if d <= 0 {
		w.ch <- f.now
		return w.ch, func() {}
	}
	f.waiting[w] = true
	f.tell()
	return w.ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waiting, w)
		f.tell()
	}
}

// Waiting blocks until n waits are pending, so that a test knows who waits before it advances the clock.
func (f *Fake) Waiting(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		have, changed := len(f.waiting), f.changed
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tell wakes Waiting; the caller holds the lock.
func (f *Fake) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait reports whether d passed before the context ended.
func wait(ctx context.Context, c Clock, d time.Duration) bool {
	ch, stop := c.After(d)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-ch:
		return ctx.Err() == nil
	}
}
