package inbound

import (
	"context"
	"io"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// begin does what has to be done before a file can be posted, one thing at a time, and then posts it.
func (l *lane) begin(f *fileImport) (next, error) {
	if f.stray { // it was not posted after all
		return l.strayEnded(f, nil)
	}
	if !l.awaitTurn(f) {
		return goOn, nil
	}
	e := f.entry
	switch {
	case l.ledger.Drains(f.msg.seq):
		return l.drain(f)
	case l.ledger.Doubt > 0 && e.Phase == ledger.New:
		return l.doubt(f)
	case e.Phase == ledger.Waiting && e.Published == status.Held:
		return l.sayReleased(f)
	case f.broken != nil:
		if e.Base > 0 { // an operator released it: this is another try
			e.Tried(time.Now())
		}
		return l.giveUp(f, f.broken)
	case e.Phase == ledger.Waiting && e.Tries() > 0 && f.retryAt.IsZero():
		return l.resumeBackoff(f)
	}
	return l.post(f)
}

// resumeBackoff waits out the rest of a backoff that an earlier owner of the session began.
func (l *lane) resumeBackoff(f *fileImport) (next, error) {
	e := f.entry
	delay, ok := f.route.Retry.For(e.Reason).Next(e.Tries(), e.Spent(e.Last), 0)
	if !ok {
		return l.giveUp(f, &failure.Failure{Verdict: failure.Reject, Reason: e.Reason, Op: "post", Detail: "the attempts are used up"})
	}
	f.retryAt = e.Last.Add(delay)
	if e.Until.After(f.retryAt) {
		f.retryAt = e.Until
	}
	f.due = f.retryAt
	return goOn, nil
}

// post makes one attempt: it asks for the right to make the call, writes down that it is about to, makes it, and writes
// down the answer. A crash before the intent is written leaves nothing behind, one after it an unknown outcome, which
// recall finds.
func (l *lane) post(f *fileImport) (next, error) {
	if bad := l.open(f); bad != nil {
		f.entry.Tried(time.Now())
		return l.failed(f, bad)
	}
	permit, paused, err := l.access.awaitCall(f.ctx, f.route)
	f.entry.Paused(paused)
	if err != nil {
		return goOn, err
	}
	f.entry.Intended(l.w.instance, time.Now())
	if err = l.store(f.ctx); err == nil {
		err = l.lease.Ensure(f.route.Timeout + dynamics.UploadTime(f.payload.Size())) // writing may have taken long
	}
	if err != nil {
		permit.giveBack()
		return goOn, err
	}
	id, err := l.enqueue(f, permit)
	if l.owned.Err() != nil {
		return goOn, context.Cause(l.owned) // the answer waits among the flights
	}
	return l.landed(f, id, err)
}

// enqueue makes the call. It runs under the worker's context, not under the lease: it began with enough lease for all of
// it, it cannot be called back once the lease is lost, and an answer that is heard is an outcome that is known.
func (l *lane) enqueue(f *fileImport, p *permit) (id string, err error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(f.ctx))
	defer cancel(nil)
	defer context.AfterFunc(l.work, func() { cancel(context.Cause(l.work)) })()

	l.show("for F&O's answer to the post", time.Time{})
	answer := l.w.flights.begin(l.key(f.msg.seq))
	l.w.o.At("before-post")
	id, err = f.route.API.Post(ctx, dynamics.File{
		Activity: f.route.Activity, Entity: f.msg.Entity, Company: f.msg.Company, ExternalID: f.msg.Key,
		Package: f.route.Payload.Package, Size: f.payload.Size(),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return f.payload.Reader(ctx) },
	})
	l.w.o.At("posted")
	asking, stop := l.untilStopped(ctx)
	defer stop()
	err = p.judge(asking, err)
	answer.land(id, err)
	return id, err
}

// landed acts on F&O's answer to a post.
func (l *lane) landed(f *fileImport, id string, err error) (next, error) {
	if err != nil {
		bad := failure.Of(err)
		switch {
		case bad.Verdict == failure.Unknown:
			return l.unknown(f, bad)
		case l.work.Err() != nil:
			return goOn, context.Cause(l.work)
		case bad.Verdict == failure.Pause || bad.Verdict == failure.PauseJob:
			return l.outage(f, bad)
		}
		return l.failed(f, bad)
	}
	now := time.Now()
	f.entry.Accepted(id, now)
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	telemetry.Describe(f.ctx, telemetry.File{FnoMessage: id})
	f.retryAt, f.due = time.Time{}, now
	l.events.say(f, status.Enqueued, "", "")
	if f.route.Poll.First == 0 {
		return goOn, nil
	}
	f.due = now.Add(f.route.Poll.next(0))
	if f.route.Poll.First <= soon {
		return goOn, nil // what is known together is said together
	}
	return goOn, l.events.flush(f)
}

// soon is how long nobody is left in the dark: with F&O's first answer expected sooner, it is published together with
// the acceptance.
const soon = 100 * time.Millisecond

// outage takes the attempt back: an outage is none. Written down, because the wait at the gate may be long.
func (l *lane) outage(f *fileImport, bad *failure.Failure) (next, error) {
	f.entry.Withdrawn()
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	l.log.InfoContext(f.ctx, "file waits for F&O", "sequence", f.msg.seq, "environment", f.route.Environment.Name(),
		"activity", f.route.Activity, "reason", bad.Reason)
	return goOn, nil
}
