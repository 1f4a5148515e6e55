package inbound

import (
	"fmt"
	"time"

	"fnobridge/internal/deadletter"
	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// failed decides about a file after an attempt that failed, or a failure that came before one: again within the
// route's bounds, or given up. When it says again, the wait that was due is over.
func (l *lane) failed(f *file, bad *failure.Failure) (again bool, _ error) {
	if bad.Verdict == failure.Reject {
		return false, l.giveUp(f, bad)
	}
	delay, ok := f.route.Retry.For(bad.Reason).Next(f.entry.tries(), f.entry.spent(time.Now()), bad.After)
	if !ok {
		return false, l.giveUp(f, bad)
	}
	if bad.Verdict == failure.Retry && len(f.pending) > 0 { // an import that failed in a way that passes: said with it
		e := l.event(f, status.Retrying, bad.Reason, fmt.Sprintf("posted again in %s, attempt %d", delay.Round(time.Millisecond), f.entry.Attempts+1))
		l.say(f, e)
	}
	if bad.Reason == failure.StorageFailed {
		f.forget() // its blob may be another one by now
	}
	if err := l.flush(f); err != nil {
		return false, err
	}
	// Written before the wait: a crash while backing off leaves no doubt about a post, and no attempt is forgotten.
	f.intended = false
	f.entry.Phase, f.entry.Reason, f.entry.By, f.entry.After = Waiting, bad.Reason, "", 0
	f.entry.FnoID, f.entry.ExecID, f.entry.Published, f.entry.Accepted = "", "", "", time.Time{}
	l.ledger.put(f.entry)
	if err := l.store(); err != nil {
		return false, err
	}
	l.w.flights.recorded(l.key(f.seq))
	l.w.o.Telemetry.Retried(f.ctx, bad.Reason)
	l.log.InfoContext(f.ctx, "file is tried again", "sequence", f.seq, "message", f.key, "attempts", f.entry.Attempts,
		"reason", bad.Reason, "in", delay.Round(time.Millisecond), "error", bad)
	if !l.pause(delay, "backing off ("+string(bad.Reason)+")") {
		return false, l.stopped()
	}
	return true, nil
}

// unknown applies the route's policy to a post whose answer nobody has. Either way the world is told, always by the same
// name: how the answer was lost (a reset, a 504, no GUID in it) stands in the detail.
func (l *lane) unknown(f *file, bad *failure.Failure) (again bool, _ error) {
	if bad.Reason != failure.UnknownOutcome && bad.Reason != failure.LedgerUnusable {
		named := *bad
		named.Reason, named.Detail = failure.UnknownOutcome, string(bad.Reason)+": "+bad.Detail
		bad = &named
	}
	if f.route != nil && f.bad == nil && f.route.ResendUnknown {
		f.entry.Unknown = true
		l.say(f, l.event(f, status.UnknownOutcome, failure.UnknownOutcome, bad.Detail+"; unknownOutcome: resend, so it is posted again and F&O may get it twice"))
		retry := *bad
		retry.Verdict, retry.Reason = failure.Undecided, failure.UnknownOutcome // bounded like a retry, but not said twice
		return l.failed(f, &retry)
	}
	policy := "unknownOutcome: deadletter, so it is not posted again"
	if f.bad != nil { // found out after it was posted: the configuration has changed, or the message is not what it was
		policy = "it cannot be posted again: " + f.bad.Error()
	}
	l.say(f, l.event(f, status.UnknownOutcome, failure.UnknownOutcome, bad.Detail+"; "+policy))
	return false, l.giveUp(f, bad)
}

// giveUp ends the attempts for a file, as the route's poison policy says.
func (l *lane) giveUp(f *file, bad *failure.Failure) error {
	policy := OnFailureSkip
	if f.route != nil {
		policy = f.route.OnFailure
	}
	if policy == OnFailureHold {
		return l.hold(f, bad)
	}
	if policy == OnFailureDrain && l.ledger.Park == nil {
		// In the same write as the decision: the files behind this one must not overtake it into F&O, whatever happens.
		l.ledger.Park = &Park{Mode: Draining, Seq: f.seq, Reason: bad.Reason, Detail: cutDetail(bad.Detail), Since: time.Now()}
		l.retract()
	}
	return l.move(f, bad)
}

// move dead-letters a file: decided in the ledger first, then said, then done, then noted. A crash in between repeats
// what was said with the same event ID, and nobody who comes later decides otherwise: the world has been told.
func (l *lane) move(f *file, bad *failure.Failure) error {
	if f.entry.Phase != Dead {
		// What led to this is said before it is decided, because the next owner would find only the decision. A deadline
		// is the exception: the next owner might find the import ended, so it finds the decision, and says both.
		if bad.Reason != failure.NeverEnds {
			if err := l.flush(f); err != nil {
				return err
			}
		}
		f.intended = false
		f.entry.Phase, f.entry.Reason, f.entry.By, f.entry.After = Dead, bad.Reason, "", 0
		f.entry.Note = cutDetail(bad.Detail)
		l.ledger.put(f.entry)
		if err := l.store(); err != nil {
			return err
		}
		l.w.flights.recorded(l.key(f.seq))
	}
	letter := deadletter.Letter{
		Reason: bad.Reason, Description: bad.Detail, Attempts: f.entry.Attempts, FirstAttempt: f.entry.First,
		LastAttempt: f.entry.Last, HTTPStatus: bad.Status, FnoMessageID: f.entry.FnoID, ExecutionID: f.entry.ExecID,
		Entity: f.entity, Company: f.company, SummaryURL: f.why.summary, TraceID: traceID(f.ctx), SequenceNumber: f.seq,
		Errors: f.why.text,
	}
	if letter.Description == "" && bad.Err != nil {
		letter.Description = bad.Err.Error()
	}
	if f.route != nil {
		letter.Environment, letter.Activity, letter.Route = f.route.Environment.Name(), f.route.Activity, f.route.Name
	}
	e := l.event(f, status.DeadLettered, bad.Reason, letter.Description)
	e.SummaryURL = f.why.summary
	l.say(f, e)
	if err := l.flush(f); err != nil {
		return err
	}
	options := letter.Options(f.ctx, l.w.o.Overflow)
	l.w.o.At("before-dead-letter")
	ctx, end := l.w.o.Telemetry.Settle(f.ctx, l.src.Destination, telemetry.DeadLetter, f.info(l.s.ID()))
	f.leaving = true
	err := l.s.DeadLetter(ctx, f.msg, options)
	end(err)
	if err != nil {
		return err
	}
	l.w.o.At("dead-lettered")
	l.log.WarnContext(f.ctx, "file dead-lettered", "sequence", f.seq, "message", f.key, "entity", f.entity, "reason", bad.Reason,
		"attempts", f.entry.Attempts, "detail", letter.Description)
	l.w.o.Telemetry.DeadLettered(f.ctx, bad.Reason)
	l.settled(f, telemetry.DeadLettered, bad)
	return nil
}

// contendedFor is for how many files a lane does not write intents ahead after it had to take one back: where many
// lanes compete for few requests the next one would be taken back too.
const contendedFor = 16

// complete takes a file off its queue: F&O has it and the world knows, or it was settled before.
func (l *lane) complete(f *file, o telemetry.Outcome) error {
	// The right to post the next file is taken before this one leaves the queue: the moment between the two is the only
	// one at which a crash makes a written-ahead intent look like a post.
	if a := l.ahead; a != nil && a.intended && l.pass == nil {
		if l.pass = a.route.Environment.Gate().TryEnter(); l.pass == nil {
			l.contended = contendedFor
			l.retract()
			if err := l.store(); err != nil {
				return err
			}
		}
	} else if l.contended > 0 {
		l.contended--
	}
	l.w.o.At("before-complete")
	ctx, end := l.w.o.Telemetry.Settle(f.ctx, l.src.Destination, telemetry.Complete, f.info(l.s.ID()))
	f.leaving = true
	err := l.s.Complete(ctx, f.msg)
	end(err)
	if err != nil {
		return err
	}
	l.w.o.At("completed")
	if o == telemetry.Duplicate {
		l.log.InfoContext(f.ctx, "a file that was settled before came again; completed", "sequence", f.seq, "message", f.key)
	} else {
		l.log.InfoContext(f.ctx, "file processed", "sequence", f.seq, "message", f.key, "entity", f.entity, "file", f.place.file,
			"fnoMessage", f.entry.FnoID, "attempts", f.entry.Attempts, "took", time.Since(f.entry.First).Round(time.Millisecond))
	}
	l.settled(f, o, nil)
	return nil
}

// settled notes that a file has left its queue. The note is stored with the next write.
func (l *lane) settled(f *file, o telemetry.Outcome, err error) {
	route := ""
	if f.route != nil {
		route = f.route.Name
	}
	l.w.o.Telemetry.FileEnded(f.ctx, route, o, *f.enqueued())
	l.w.flights.recorded(l.key(f.seq))
	l.ledger.settle(f.seq)
	l.dirty = true
	l.away(f)
	l.cur = nil
	if l.kept == f {
		l.kept = nil
	}
	l.drop(f, err)
	l.show(func(v *SessionView) { v.Files++ })
}

// enqueued gives when the message came to its queue.
func (f *file) enqueued() *time.Time {
	if f.msg.EnqueuedTime != nil {
		return f.msg.EnqueuedTime
	}
	return &time.Time{}
}
