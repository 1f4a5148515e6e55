package inbound

import (
	"context"
	"sync"
)

// flights remembers the posts this process made whose answer is not in a ledger yet.
//
// A session can be lost while a post is on its way: the post cannot be called back, but its answer still comes, to a
// lane that may no longer write it down. The lane that next holds the session in this process finds it here, so that
// only the crash of a process, or a hand-over to another one, leaves an outcome unknown. It also knows the opposite: an
// intent that this process wrote and never followed by a post was never posted.
type flights struct {
	mu   sync.Mutex
	open map[flightKey]*flight
}

type flightKey struct {
	source, session string
	seq             int64
}

// flight is one post. done is closed when fnoID and err are final.
type flight struct {
	done  chan struct{}
	fnoID string
	err   error
}

func newFlights() *flights { return &flights{open: map[flightKey]*flight{}} }

// begin notes a post that is about to be made; land must follow.
func (f *flights) begin(k flightKey) *flight {
	fl := &flight{done: make(chan struct{})}
	f.mu.Lock()
	f.open[k] = fl
	f.mu.Unlock()
	return fl
}

func (fl *flight) land(fnoID string, err error) {
	fl.fnoID, fl.err = fnoID, err
	close(fl.done)
}

// recorded forgets a flight whose answer is in the ledger.
func (f *flights) recorded(k flightKey) {
	f.mu.Lock()
	delete(f.open, k)
	f.mu.Unlock()
}

// sweep forgets the flights of a session that keep does not name: what the ledger says of those files was written by
// somebody who knew better.
func (f *flights) sweep(source, session string, keep func(seq int64) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.open {
		if k.source == source && k.session == session && !keep(k.seq) {
			delete(f.open, k)
		}
	}
}

// find waits for the answer of a flight; nil when this process made no such post, or ctx ended first.
func (f *flights) find(ctx context.Context, k flightKey) *flight {
	f.mu.Lock()
	fl := f.open[k]
	f.mu.Unlock()
	if fl == nil {
		return nil
	}
	select {
	case <-fl.done:
		return fl
	case <-ctx.Done():
		return nil
	}
}
