package inbound

import (
	"context"
	"strings"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// follow asks F&O once how an import is doing, and acts on the answer.
func (l *lane) follow(f *fileImport) (next, error) {
	if f.route == nil {
		return l.giveUp(f, reject(failure.NoRoute, "F&O took this file as message %s, but no route matches it any more, so its import cannot be followed", f.entry.FnoID))
	}
	f.broken = nil // what was wrong with the message did not keep F&O from taking it
	if f.entry.Published == "" && len(f.pending) == 0 {
		l.events.say(f, status.Enqueued, "", "") // taken up from a ledger that was written before it was published
	}
	if !f.route.Environment.Gate().State().Open() { // the answer may take hours
		if err := l.events.flush(f); err != nil {
			return goOn, err
		}
	}
	var s dynamics.Status
	err := l.ask(f, func(ctx context.Context) error {
		var err error
		s, err = f.route.API.Ask(ctx, f.entry.FnoID)
		return err
	})
	if l.waiting.Err() != nil {
		return goOn, context.Cause(l.waiting)
	}
	if err != nil {
		return l.unanswered(f, err)
	}
	f.polls = 0
	l.w.o.At("status-read")
	switch {
	case s.OK():
		l.events.sayFno(f, s)
		return l.complete(f)
	case s.Final():
		return l.importFailed(f, s)
	}
	return l.progress(f, s)
}

// ask asks F&O about a file. An outage moves the file's deadline, and does not count against it.
func (l *lane) ask(f *fileImport, call func(ctx context.Context) error) error {
	paused, err := l.access.ask(f.ctx, f.route.Environment, call)
	if paused > time.Second {
		f.entry.Paused(paused)
	}
	return err
}

// questionRetries is how a status question that failed is repeated, where the route's polling is not slower.
var questionRetries = retry.Doubling{First: 2 * time.Second, Max: 30 * time.Second}

// unanswered schedules the next question after one that failed. It is no attempt of the file; the deadline bounds it,
// except while the environment is closed.
func (l *lane) unanswered(f *fileImport, err error) (next, error) {
	bad := failure.Of(err)
	f.polls++
	if bad.Verdict != failure.Pause {
		if f.polls == 1 || f.polls%10 == 0 {
			l.log.WarnContext(f.ctx, "status not read; the import is asked about again", "sequence", f.msg.seq, "failures", f.polls, "reason", bad.Reason, "error", err)
		}
		elapsed := time.Since(f.entry.AcceptedAt)
		if elapsed > f.route.Deadline {
			return l.neverEnds(f, "F&O's last answer to the status question was: "+bad.Error())
		}
		f.due = time.Now().Add(max(f.route.Poll.next(elapsed), questionRetries.After(f.polls), bad.After))
	}
	return goOn, l.events.flush(f)
}

// progress publishes what is new about an import that has not ended.
func (l *lane) progress(f *fileImport, s dynamics.Status) (next, error) {
	elapsed := time.Since(f.entry.AcceptedAt)
	word := s.State
	switch last := f.last(); {
	case word.Before(last):
		l.log.WarnContext(f.ctx, "F&O took the import back into its queue and begins it anew; set Skip reprocessing in the recurring job if that must not be",
			"sequence", f.msg.seq, "fnoMessage", f.entry.FnoID, "status", s.Raw, "before", last)
		l.events.sayFno(f, s).Status = status.Requeued
		word = ""
	case last == status.Requeued:
		word = "" // what comes now was said before
	}
	if word != "" && (word != f.last() || (word == status.Unrecognised && s.Raw != f.word)) {
		if word == status.Unrecognised {
			f.word = s.Raw
			l.log.WarnContext(f.ctx, "F&O answered with a status this version does not know; it is reported and waited out", "sequence", f.msg.seq, "status", s.Raw)
		}
		l.events.sayFno(f, s)
	}
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	if elapsed > f.route.Deadline {
		return l.neverEnds(f, "F&O still says "+strings.TrimSpace(string(word)+" "+s.Raw))
	}
	if l.changed() { // it takes long: a new owner should not repeat what was said, nor a topic remember it for ever
		if err := l.store(f.ctx); err != nil {
			return goOn, err
		}
	}
	f.due = time.Now().Add(f.route.Poll.next(elapsed))
	return goOn, nil
}

// neverEnds returns up following. The file is not posted again: F&O may still import it.
func (l *lane) neverEnds(f *fileImport, said string) (next, error) {
	bad := &failure.Failure{
		Verdict: failure.Reject, Reason: failure.NeverEnds, Op: "follow import",
		Detail: "no final status within " + f.route.Deadline.String() + " of F&O's acceptance; " + said,
	}
	l.events.say(f, status.NeverEnds, failure.NeverEnds, bad.Detail)
	return l.giveUp(f, bad)
}

// importFailed finds out why an import failed, and whether posting the file again can help.
func (l *lane) importFailed(f *fileImport, s dynamics.Status) (next, error) {
	if err := l.explain(f); err != nil {
		return goOn, err
	}
	bad := dynamics.ImportFailure(s, f.why.Errors, f.route.RepeatPartial)
	e := l.events.sayFno(f, s)
	e.Reason, e.Detail, e.SummaryURL = bad.Reason, bad.Detail, f.why.SummaryURL
	if bad.Verdict != failure.Retry || l.ledger.Drains(f.msg.seq) {
		return l.giveUp(f, bad)
	}
	return l.failed(f, bad)
}

// A question about a failed import is asked some times within some minutes, whatever the answer. It helps a person and tells
// a collision that passes from bad data, but F&O often has none, and may refuse it to a client that may import.
const (
	explainTries = 5
	explainLimit = 2 * time.Minute
)

var explainRetries = retry.Doubling{First: 500 * time.Millisecond, Max: 8 * time.Second}

// explain asks F&O why an import failed, and keeps what it got. The only errors are the lane's own.
func (l *lane) explain(f *fileImport) error {
	spent := time.Duration(0)
	var err error
	f.why, err = f.route.API.Explain(f.ctx, f.entry.FnoID, func(question func(context.Context) error) error {
		for try := 1; ; try++ {
			began := time.Now()
			paused, err := l.access.ask(f.ctx, f.route.Environment, question)
			spent += time.Since(began) - paused
			switch {
			case l.waiting.Err() != nil:
				return context.Cause(l.waiting)
			case err == nil:
				return nil
			}
			l.log.InfoContext(f.ctx, "F&O did not say more about a failed import", "sequence", f.msg.seq, "try", try, "error", err)
			if try >= explainTries || spent > explainLimit {
				return nil
			}
			if !retry.Wait(l.waiting, explainRetries.After(try)) {
				return context.Cause(l.waiting)
			}
		}
	})
	f.entry.ExecID = f.why.ExecutionID
	telemetry.Describe(f.ctx, telemetry.File{FnoMessage: f.entry.FnoID, FnoExecution: f.entry.ExecID})
	return err
}
