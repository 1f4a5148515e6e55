package inbound

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/letter"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// complete takes a file off its queue that F&O has imported, once the world knows.
func (l *lane) complete(f *fileImport) (next, error) {
	if l.w.setbacks.refusals(l.place(), f.msg.seq) > 0 {
		f.pending = nil // this process has said it
	}
	if f.stray {
		return l.strayEnded(f, nil)
	}
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	if err := l.completeMessage(f); err != nil {
		return goOn, err
	}
	l.log.InfoContext(f.ctx, "file processed", "sequence", f.msg.seq, "message", f.msg.Key, "entity", f.msg.Entity, "file", f.msg.File,
		"fnoMessage", f.entry.FnoID, "attempts", f.entry.Attempts, "took", time.Since(f.entry.First).Round(time.Millisecond))
	l.settled(f, telemetry.Processed, nil)
	return goOn, nil
}

// completeAgain takes a message off its queue that was settled before and was handed out again all the same.
func (l *lane) completeAgain(f *fileImport) (next, error) {
	if err := l.completeMessage(f); err != nil {
		return goOn, err
	}
	l.log.InfoContext(f.ctx, "a file that was settled before came again; completed", "sequence", f.msg.seq, "message", f.msg.Key)
	l.settled(f, telemetry.Duplicate, nil)
	return goOn, nil
}

func (l *lane) completeMessage(f *fileImport) error {
	l.w.o.At("before-complete")
	err := l.settle(f.msg, telemetry.Complete, func(ctx context.Context) error { return l.Complete(ctx, f.msg.raw) })
	if err != nil {
		l.w.setbacks.unsettled(l.place(), f.msg.seq)
		return err
	}
	l.w.o.At("completed")
	return nil
}

// settled notes that a file has left its queue. The note is stored with the next write.
func (l *lane) settled(f *fileImport, o telemetry.Outcome, err error) {
	route := ""
	if f.route != nil {
		route = f.route.Name
	}
	l.tel.FileEnded(f.ctx, route, o, f.msg.info.Enqueued)
	if f.entry.Phase != ledger.Settled {
		l.ledger.Settle(f.msg.seq)
	}
	l.letGo(f, err)
	l.view.settled()
	l.w.setbacks.fileEnded(l.place())
}

// failed decides about a file after an attempt that failed, or a failure that came before one: again within the
// route's bounds, or given up. Written down before the wait: a crash while backing off leaves no doubt about a post, and
// no attempt is forgotten.
func (l *lane) failed(f *fileImport, bad *failure.Failure) (next, error) {
	e := f.entry
	if bad.Verdict == failure.Reject || f.stray {
		return l.giveUp(f, bad)
	}
	now := time.Now()
	delay, ok := f.route.Retry.For(bad.Reason).Next(e.Tries(), e.Spent(now), bad.After)
	if !ok {
		return l.giveUp(f, bad)
	}
	if bad.Verdict == failure.Retry && len(f.pending) > 0 { // an import that failed in a way that passes: said with it
		again := fmt.Sprintf("posted again in %s, attempt %d", delay.Round(time.Millisecond), e.Attempts+1)
		if l.ledger.Holds() {
			again = "posted again after the held file before it"
		}
		l.events.say(f, status.Retrying, bad.Reason, again)
	}
	if bad.Reason == failure.StorageFailed {
		f.close() // its blob may be another one by now
	}
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	e.BackingOff(bad.Reason, now, bad.After)
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	f.retryAt = time.Now().Add(delay)
	f.due = f.retryAt
	l.tel.Retried(f.ctx, bad.Reason)
	l.log.InfoContext(f.ctx, "file is tried again", "sequence", f.msg.seq, "message", f.msg.Key, "attempts", e.Attempts,
		"reason", bad.Reason, "in", delay.Round(time.Millisecond), "error", bad)
	return goOn, nil
}

// unknown applies the route's policy to a post whose answer nobody has. Either way the world is told, always by the same
// name: how the answer was lost (a reset, a 504, no GUID in it) stands in the detail.
func (l *lane) unknown(f *fileImport, bad *failure.Failure) (next, error) {
	if bad.Reason != failure.UnknownOutcome && bad.Reason != failure.LedgerUnusable {
		named := *bad
		named.Reason, named.Detail = failure.UnknownOutcome, string(bad.Reason)+": "+bad.Detail
		bad = &named
	}
	if f.route != nil && f.broken == nil && f.route.ResendUnknown {
		l.events.say(f, status.UnknownOutcome, failure.UnknownOutcome, bad.Detail+"; unknownOutcome: resend, so it is posted again and F&O may get it twice")
		again := *bad
		again.Verdict, again.Reason = failure.Undecided, failure.UnknownOutcome // bounded like a retry, but not said twice
		return l.failed(f, &again)
	}
	policy := "unknownOutcome: deadletter, so it is not posted again"
	if f.broken != nil { // found out after it was posted: the configuration has changed, or the message is not what it was
		policy = "it cannot be posted again: " + f.broken.Error()
	}
	l.events.say(f, status.UnknownOutcome, failure.UnknownOutcome, bad.Detail+"; "+policy)
	return l.giveUp(f, bad)
}

// giveUp ends the attempts for a file, as the route's onFailure policy says.
func (l *lane) giveUp(f *fileImport, bad *failure.Failure) (next, error) {
	if f.stray {
		return l.strayEnded(f, bad)
	}
	policy := OnFailureSkip
	if f.route != nil {
		policy = f.route.OnFailure
	}
	switch policy {
	case OnFailureHold:
		return l.hold(f, bad)
	case OnFailureDrain:
		// In the same write as the decision: the files behind this one must not overtake it into F&O, whatever happens.
		l.ledger.Drain(f.entry, bad.Reason, bad.Detail, time.Now())
	}
	return l.giveUpForGood(f, bad)
}

// giveUpForGood decides that a file is dead-lettered, and writes that down: nobody who comes later decides otherwise,
// because the world is told next.
//
// What led to this is said before it is decided, because the next owner would find only the decision. A deadline is the
// exception: the next owner might find the import ended, so it finds the decision, and says both.
func (l *lane) giveUpForGood(f *fileImport, bad *failure.Failure) (next, error) {
	if bad.Reason != failure.NeverEnds {
		if err := l.events.flush(f); err != nil {
			return goOn, err
		}
	}
	f.failed = bad
	f.entry.Dead(bad.Reason, bad.Detail)
	return goOn, l.store(f.ctx)
}

// deadLetter says that a file is dead-lettered, and does it. A crash in between repeats what was said with the same event
// ID.
func (l *lane) deadLetter(f *fileImport) (next, error) {
	bad := f.failed
	if bad == nil { // decided by an earlier owner, which may have said nothing yet
		bad = &failure.Failure{Verdict: failure.Reject, Reason: f.entry.Reason, Op: "dead-letter", Detail: f.entry.Note}
		if bad.Reason == failure.NeverEnds {
			l.events.say(f, status.NeverEnds, failure.NeverEnds, bad.Detail)
		}
	}
	letter := l.letter(f, bad)
	refusals := l.w.setbacks.refusals(l.place(), f.msg.seq)
	if refusals > 0 {
		f.pending = nil // this process has said it
	} else {
		l.events.say(f, status.DeadLettered, bad.Reason, letter.Description).SummaryURL = letter.SummaryURL
	}
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	options := letter.Plain()
	if refusals < plainAfter {
		options = letter.Options(f.ctx, l.w.o.Overflow)
	}
	l.w.o.At("before-dead-letter")
	err := l.settle(f.msg, telemetry.DeadLetter, func(ctx context.Context) error { return l.DeadLetter(ctx, f.msg.raw, options) })
	if err != nil {
		l.w.setbacks.unsettled(l.place(), f.msg.seq)
		return goOn, err
	}
	l.w.o.At("dead-lettered")
	l.log.WarnContext(f.ctx, "file dead-lettered", "sequence", f.msg.seq, "message", f.msg.Key, "entity", f.msg.Entity, "reason", bad.Reason,
		"attempts", f.entry.Attempts, "detail", letter.Description)
	l.tel.DeadLettered(f.ctx, bad.Reason)
	l.settled(f, telemetry.DeadLettered, bad)
	return goOn, nil
}

func (l *lane) letter(f *fileImport, bad *failure.Failure) letter.Letter {
	letter := letter.Letter{
		Reason: bad.Reason, Description: bad.Detail, Attempts: f.entry.Attempts, FirstAttempt: f.entry.First,
		LastAttempt: f.entry.Last, HTTPStatus: bad.Status, FnoMessageID: f.entry.FnoID, ExecutionID: f.entry.ExecID,
		Entity: f.msg.Entity, Company: f.msg.Company, SummaryURL: f.why.SummaryURL, TraceID: traceID(f.ctx), SequenceNumber: f.msg.seq,
		Errors: dynamics.Describe(f.why.Errors),
	}
	if letter.Description == "" && bad.Err != nil {
		letter.Description = bad.Err.Error()
	}
	if f.route != nil {
		letter.Environment, letter.Activity, letter.Route = f.route.Environment.Name(), f.route.Activity, f.route.Name
	}
	return letter
}

func traceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
