package inbound

import (
	"context"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// proofAge is how old the last sign that the session is ours may be when something is published: enough for one question
// to F&O after a write of the ledger, so that an import that ends at once costs no renewal.
const proofAge = 250 * time.Millisecond

// publishRetries is how a publish that failed is repeated, until the lease or the worker ends.
var publishRetries = retry.Doubling{First: 50 * time.Millisecond, Max: 10 * time.Second}

// An announcer publishes the transitions of a lane's files, in order, while the lane owns the session.
type announcer struct {
	*ownedSession
	to   Publisher
	at   func(point string)
	show func(waiting string, until time.Time)
}

// say queues a transition. Transitions of one file leave in order, and several that came together leave in one send.
func (a *announcer) say(f *fileImport, s status.Status, reason failure.Reason, detail string) *status.Event {
	e := status.Event{
		Status: s, Reason: reason, Detail: detail, Time: time.Now(), Entity: f.msg.Entity, Company: f.msg.Company,
		Session: a.ID(), MessageID: f.msg.Key, SequenceNumber: f.msg.seq, Queue: a.src.Name, FileName: f.msg.File,
		FnoMessageID: f.entry.FnoID, ExecutionID: f.entry.ExecID, Attempt: max(f.entry.Attempts, 1),
	}
	if f.route != nil {
		e.Route, e.Environment = f.route.Name, f.route.Environment.Name()
	}
	e.TraceParent, e.TraceState = telemetry.Context(f.ctx)
	f.pending = append(f.pending, e)
	return &f.pending[len(f.pending)-1]
}

// sayFno queues a transition that F&O reported, in its own words too.
func (a *announcer) sayFno(f *fileImport, s dynamics.Status) *status.Event {
	e := a.say(f, s.State, "", "")
	e.FnoStatus = s.Raw
	return e
}

// flush publishes what is queued, and goes on trying until the lease or the worker ends: a file whose transition is
// not published is not settled.
func (a *announcer) flush(f *fileImport) error {
	for tries := 0; len(f.pending) > 0; {
		age := proofAge
		if tries > 0 {
			age = 0
		}
		// What is said must be said by the owner: a session that went to another before its lock ended, as it does when
		// its link breaks, is noticed here and not after a stale word.
		err := a.to.PublishIf(f.ctx, func() error {
			if err := a.lease.Prove(age); err != nil {
				return err
			}
			a.at("before-publish")
			return nil
		}, f.pending...)
		if err == nil {
			a.at("published")
			// Stored with the next write; a repeat is a duplicate that the topic drops.
			f.entry.Published = f.pending[len(f.pending)-1].Status
			f.pending = f.pending[:0]
			return nil
		}
		if a.owned.Err() != nil {
			return context.Cause(a.owned)
		}
		tries++
		if tries == 1 || tries%10 == 0 {
			a.log.WarnContext(f.ctx, "status event not published; the file waits", "sequence", f.msg.seq, "tries", tries, "error", err)
		}
		a.show("to publish a status event", time.Time{})
		if !retry.Wait(a.waiting, publishRetries.After(tries)) {
			return context.Cause(a.waiting)
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
