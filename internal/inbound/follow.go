package inbound

import (
	"context"
	"slices"
	"strings"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// statusOf gives F&O's states in the words of the status events.
var statusOf = map[dynamics.State]status.Status{
	dynamics.Enqueued: status.Enqueued, dynamics.Dequeued: status.Dequeued,
	dynamics.Preprocessing: status.PreProcessing, dynamics.Processing: status.Processing,
	dynamics.Processed: status.Processed, dynamics.ProcessedWithErrors: status.ProcessedWithErrors,
	dynamics.PreProcessingError: status.PreProcessingError, dynamics.PostProcessingFailed: status.PostProcessingFailed,
}

// ask makes one call to F&O about a file: within the budget of status calls, through the gate, ended by a stop.
func (l *lane) ask(f *file, call func(ctx context.Context, env *dynamics.Environment) error) error {
	env := f.route.Environment
	pass, out, err := l.mayAsk(env)
	if out > time.Second { // an outage moves the deadline, and is not held against the file
		f.entry.Accepted = f.entry.Accepted.Add(out)
		f.entry.Off += out
		if e := l.ledger.find(f.seq); e != nil && e.Phase == InFno {
			e.Accepted, e.Off = f.entry.Accepted, f.entry.Off
			l.dirty = l.dirty || err != nil // the wait goes on in another lane
		}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.waiting, func() { cancel(context.Cause(l.waiting)) })()
	err = call(ctx, env)
	pass.Leave(err)
	return err
}

// mayAsk waits for the right to ask one question: a turn of the budget, then a pass, which took out. Who has waited for
// the end of an outage takes another turn, because all others have waited with a turn in hand, too.
func (l *lane) mayAsk(env *dynamics.Environment) (pass *dynamics.Pass, out time.Duration, _ error) {
	for {
		if err := env.StatusTurn(l.waiting); err != nil {
			return nil, out, err
		}
		s := env.Gate().State()
		if !s.Open() {
			l.show(func(v *SessionView) {
				v.Waiting, v.Until = "for "+env.Name()+" ("+string(s.Reason)+")", s.Until
			})
		}
		began := time.Now()
		pass, err := l.w.slots.enter(l.waiting, env.Gate())
		out += time.Since(began)
		if !s.Open() {
			l.show(nil)
		}
		if err != nil {
			return nil, out, err
		}
		if pass.Probing() || !env.Gate().State().Since.After(began) {
			return pass, out, nil
		}
		pass.Leave(errNotMade)
	}
}

// follow asks F&O once how an import is doing, and acts on the answer.
func (l *lane) follow(f *file) error {
	if f.entry.Published == "" && len(f.pending) == 0 {
		l.say(f, l.event(f, status.Enqueued, "", "")) // taken up from a ledger that was written before it was published
	}
	var s dynamics.Status
	err := l.ask(f, func(ctx context.Context, env *dynamics.Environment) error {
		var err error
		s, err = env.MessageStatus(ctx, f.entry.FnoID)
		return err
	})
	if l.waiting.Err() != nil {
		return l.stopped()
	}
	if err != nil {
		return l.unanswered(f, err)
	}
	f.polls = 0
	l.w.o.At("status-read")
	switch {
	case s.OK():
		l.say(f, l.fnoEvent(f, s))
		if err := l.flush(f); err != nil {
			return err
		}
		return l.complete(f, telemetry.Processed)
	case s.Final():
		return l.failedImport(f, s)
	}
	return l.progress(f, s)
}

// unanswered schedules the next question after one that failed. It is no attempt of the file; the deadline bounds it,
// except while the environment is closed.
func (l *lane) unanswered(f *file, err error) error {
	bad := failure.Of(err)
	f.polls++
	if bad.Verdict != failure.Pause {
		if f.polls == 1 || f.polls%10 == 0 {
			l.log.WarnContext(f.ctx, "status not read; the import is asked about again", "sequence", f.seq, "failures", f.polls, "reason", bad.Reason, "error", err)
		}
		if time.Since(f.entry.Accepted) > f.route.Deadline {
			return l.neverEnds(f, "F&O's last answer to the status question was: "+bad.Error())
		}
		f.nextPoll = time.Now().Add(max(f.route.Poll.next(time.Since(f.entry.Accepted)), min(time.Second<<min(f.polls, 5), 30*time.Second), bad.After))
	}
	return l.flush(f)
}

// progress publishes what is new about an import that has not ended.
func (l *lane) progress(f *file, s dynamics.Status) error {
	elapsed := time.Since(f.entry.Accepted)
	word, known := statusOf[s.State]
	if !known && s.Raw != "" {
		word = status.Unrecognised
	}
	if word != "" && (word != f.last() || (word == status.Unrecognised && s.Raw != f.raw)) {
		if word == status.Unrecognised {
			f.raw = s.Raw
			l.log.WarnContext(f.ctx, "F&O answered with a status this version does not know; it is reported and waited out", "sequence", f.seq, "status", s.Raw)
		}
		l.say(f, l.fnoEvent(f, s))
		l.dirty = true // written below: an import that reports progress takes long, and a new owner should not repeat it
	}
	if err := l.flush(f); err != nil {
		return err
	}
	if elapsed > f.route.Deadline {
		return l.neverEnds(f, "F&O still says "+strings.TrimSpace(string(word)+" "+s.Raw))
	}
	if l.dirty || l.fresh { // it takes long; a topic does not remember for ever what it has seen
		if err := l.store(); err != nil {
			return err
		}
	}
	f.nextPoll = time.Now().Add(f.route.Poll.next(elapsed))
	l.show(nil)
	return nil
}

// last gives the last transition of the file, published or queued.
func (f *file) last() status.Status {
	if n := len(f.pending); n > 0 {
		return f.pending[n-1].Status
	}
	return f.entry.Published
}

// fnoEvent describes a transition that F&O reported.
func (l *lane) fnoEvent(f *file, s dynamics.Status) status.Event {
	word, known := statusOf[s.State]
	if !known {
		word = status.Unrecognised
	}
	e := l.event(f, word, "", "")
	e.FnoStatus = s.Raw
	return e
}

// neverEnds gives up following. The file is not posted again: F&O may still import it.
func (l *lane) neverEnds(f *file, said string) error {
	bad := &failure.Failure{
		Verdict: failure.Reject, Reason: failure.NeverEnds, Op: "follow import",
		Detail: "no final status within " + f.route.Deadline.String() + " of F&O's acceptance; " + said,
	}
	l.say(f, l.event(f, status.NeverEnds, failure.NeverEnds, bad.Detail))
	l.away(f)
	return l.giveUp(f, bad)
}

// failedImport finds out why an import failed, and whether posting the file again can help.
func (l *lane) failedImport(f *file, s dynamics.Status) error {
	why, err := l.explain(f)
	if err != nil {
		return err
	}
	f.why = why
	bad := dynamics.ImportFailure(s, why.errors)
	e := l.fnoEvent(f, s)
	e.Reason, e.Detail, e.SummaryURL = bad.Reason, bad.Detail, why.summary
	l.say(f, e)
	l.away(f)
	f.entry.Off += max(0, time.Since(f.entry.Accepted)) // F&O's time is not the file's
	switch p := l.ledger.Park; {
	case bad.Verdict != failure.Retry, p != nil && p.Mode == Draining && p.Seq < f.seq:
		return l.giveUp(f, bad)
	case p != nil && p.Mode == Holding:
		return l.later(f, bad)
	}
	again, err := l.failed(f, bad)
	if err != nil || !again {
		return err
	}
	return l.post(f)
}

// away takes a file out of those in F&O: it ended there, or nobody waits for it any more.
func (l *lane) away(f *file) {
	l.inFno = slices.DeleteFunc(l.inFno, func(o *file) bool { return o == f })
	l.cur = f
}

// explanation is what F&O says about a failed import.
type explanation struct {
	errors  []dynamics.ExecutionError
	text    string // all of them, for a person
	summary string // F&O's execution summary page
}

// explainTries bounds how often one question about a failed import is asked: some seconds in all. Its answer helps a
// person and tells a collision that passes from bad data, but F&O often has none.
const explainTries = 5

// explain asks for the execution, its errors and its page. It gives what it got; the only errors are the lane's own.
func (l *lane) explain(f *file) (explanation, error) {
	var x explanation
	steps := []func(ctx context.Context, env *dynamics.Environment) error{
		func(ctx context.Context, env *dynamics.Environment) error {
			id, err := env.ExecutionID(ctx, f.entry.FnoID)
			f.entry.ExecID = id
			return err
		},
		func(ctx context.Context, env *dynamics.Environment) error {
			errs, err := env.ExecutionErrors(ctx, f.entry.ExecID)
			x.errors = errs
			return err
		},
		func(ctx context.Context, env *dynamics.Environment) error {
			url, err := env.ExecutionSummaryURL(ctx, f.entry.ExecID)
			x.summary = url
			return err
		},
	}
	for i, step := range steps {
		if i > 0 && f.entry.ExecID == "" {
			break // no execution: nothing more to ask
		}
		for try := 1; ; {
			err := l.ask(f, step)
			if l.waiting.Err() != nil {
				return x, l.stopped()
			}
			if err == nil {
				break
			}
			if failure.Of(err).Verdict != failure.Pause { // an outage is waited out at the gate
				l.log.InfoContext(f.ctx, "F&O did not say more about a failed import", "sequence", f.seq, "try", try, "error", err)
				if try++; try > explainTries {
					break
				}
				if !wait(l.waiting, 250*time.Millisecond<<try) {
					return x, l.stopped()
				}
			}
		}
	}
	x.text = dynamics.Describe(x.errors)
	telemetry.Describe(f.ctx, telemetry.File{FnoMessage: f.entry.FnoID, FnoExecution: f.entry.ExecID})
	return x, nil
}
