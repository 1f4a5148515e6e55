package inbound

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fnobridge/internal/failure"
)

// recall finds out about a post that the ledger says was begun. This process may have made it for a lane that lost the
// session since, and then knows the answer; or it wrote the intent and never came to the post. What another process
// began, and did not live to note, nobody knows.
func (l *lane) recall(f *fileImport) (next, error) {
	if f.entry.By == l.w.instance {
		answer := l.w.flights.await(l.owned, l.key(f.msg.seq)) // one on its way is worth waiting for, even at a stop
		switch {
		case l.owned.Err() != nil:
			return goOn, context.Cause(l.owned)
		case answer != nil:
			return l.landed(f, answer.id, answer.err)
		}
		f.entry.Withdrawn()
		return goOn, nil
	}
	if f.entry.By != "" {
		// Taken away from that process before anything is said about the post: it may still live, own the session again
		// after this one is gone, and know the answer by then. It must not take back what was said.
		f.entry.Disowned()
		if err := l.store(f.ctx); err != nil {
			return goOn, err
		}
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "post",
		Detail: fmt.Sprintf("the process that began attempt %d at %s did not live to note F&O's answer",
			f.entry.Attempts, f.entry.Last.UTC().Format(time.RFC3339)),
	})
}

// doubt takes a file of which nothing is known, because the ledger that knew was lost, for one that may have been
// posted. Written down first, so that it is this file that counts and not another one after it.
func (l *lane) doubt(f *fileImport) (next, error) {
	f.entry.Doubted(time.Now())
	l.ledger.Doubt--
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "read ledger",
		Detail: "the session state was unreadable, so nobody knows whether this file was posted",
	})
}

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
