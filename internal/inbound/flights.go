package inbound

import (
	"context"
	"sync"
)

// flights remembers the posts this process made whose answer is not in a ledger yet.
//
// A session can be lost while a post is on its way: the post cannot be called back, but its answer still comes, to a
// lane that may no longer write it down. The lane that next owns the session in this process finds it here, so that
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

// A flight is one post. done is closed when id and err are final.
type flight struct {
	done chan struct{}
	id   string // F&O's
	err  error
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

func (fl *flight) land(id string, err error) {
	fl.id, fl.err = id, err
	close(fl.done)
}

// sweep forgets the flights of a session that the ledger does not ask for any more: the answer is in it, or somebody
// else wrote it who knew better.
func (f *flights) sweep(source, session string, asked func(seq int64) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.open {
		if k.source == source && k.session == session && !asked(k.seq) {
			delete(f.open, k)
		}
	}
}

// await waits for the answer of a flight; nil when this process made no such post, or ctx ended first.
func (f *flights) await(ctx context.Context, k flightKey) *flight {
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
