package inbound

import (
	"context"
	"time"

	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

// proofAge is how old the last sign that the session is ours may be when something is published: enough for one question
// to F&O after a write of the ledger, so that an import that ends at once costs no renewal.
const proofAge = 250 * time.Millisecond

// publishRetries is how a publish that failed is repeated, until the lease or the worker ends.
var publishRetries = retry.Doubling{First: 50 * time.Millisecond, Max: 10 * time.Second}

// say queues a transition. Transitions of one file leave in order, and several that came together leave in one send.
func (l *lane) say(f *fileImport, e status.Event) { f.pending = append(f.pending, e) }

// flush publishes what is queued, and goes on trying until the lease or the worker ends: a file whose transition is
// not published is not settled.
func (l *lane) flush(f *fileImport) error {
	for tries := 0; len(f.pending) > 0; {
		age := proofAge
		if tries > 0 {
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
			// Stored with the next write; a repeat is a duplicate that the topic drops.
			f.entry.Published = f.pending[len(f.pending)-1].Status
			f.pending = f.pending[:0]
			return nil
		}
		if l.owned.Err() != nil {
			return context.Cause(l.owned)
		}
		tries++
		if tries == 1 || tries%10 == 0 {
			l.log.WarnContext(f.ctx, "status event not published; the file waits", "sequence", f.msg.seq, "tries", tries, "error", err)
		}
		l.show("to publish a status event", time.Time{})
		if !retry.Wait(l.waiting, publishRetries.After(tries)) {
			return context.Cause(l.waiting)
		}
	}
	return nil
}

// last returns the last transition of the file, published or queued.
func (f *fileImport) last() status.Status {
	if n := len(f.pending); n > 0 {
		return f.pending[n-1].Status
	}
	return f.entry.Published
}
