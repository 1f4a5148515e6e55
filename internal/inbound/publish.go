package inbound

import (
	"context"
	"time"

	"fnobridge/internal/status"
)

// say queues a transition. Transitions of one file leave in order, and several that came together leave in one send.
func (l *lane) say(f *file, e status.Event) { f.pending = append(f.pending, e) }

// proofAge is how old the last sign that the session is ours may be when something is published: enough for one question
// to F&O after a write of the ledger, so that an import that ends at once costs no renewal.
const proofAge = 250 * time.Millisecond

// flush publishes what is queued, and goes on trying until the lease or the worker ends: a file whose transition is
// not published is not settled.
func (l *lane) flush(f *file) error {
	for try := 0; len(f.pending) > 0; try++ {
		age := proofAge
		if try > 0 {
			age = 0
		}
		// What is said must be said by the owner: a session that went to another before its lock ended, as it does when
		// its link breaks, is noticed here and not after a stale word.
		err := l.w.o.Events.PublishIf(f.ctx, func() error {
			if err := l.lease.Prove(age); err != nil {
				return err
			}
			l.w.o.At("before-publish")
			return nil
		}, f.pending...)
		if err == nil {
			l.w.o.At("published")
			f.entry.Published = f.pending[len(f.pending)-1].Status
			f.pending = f.pending[:0]
			if e := l.ledger.find(f.seq); e != nil && e.Phase == InFno {
				e.Published = f.entry.Published // stored with the next write; a repeat is a duplicate the topic drops
				l.fresh = true
			}
			return nil
		}
		if l.held.Err() != nil {
			return context.Cause(l.held)
		}
		if try == 0 || try%10 == 9 {
			l.log.WarnContext(f.ctx, "status event not published; the file waits", "sequence", f.seq, "tries", try+1, "error", err)
		}
		l.show(func(v *SessionView) { v.Waiting = "to publish a status event" })
		if !wait(l.waiting, min(50*time.Millisecond<<min(try, 8), 10*time.Second)) {
			return context.Cause(l.waiting)
		}
	}
	return nil
}
