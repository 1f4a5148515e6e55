package inbound

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// begin finds a message's place in the ledger and goes on from there: this is where a redelivery, a crash and a
// hand-over all come together.
//
//	settled before -> complete        enqueued -> follow
//	never seen     -> post            waiting  -> the rest of the backoff, post
//	draining, dead -> dead-letter     held     -> hold
//	posting        -> posted by this process: its answer; intended and never posted by it: post; else: unknown outcome
func (l *lane) begin(f *file) error {
	l.cur = f
	if l.ledger.settled(f.seq) {
		return l.complete(f, telemetry.Duplicate)
	}
	l.passed(f.seq)
	if e := l.ledger.find(f.seq); e != nil {
		f.entry = *e
	}
	l.show(nil)
	if l.pass != nil && !f.intended { // it was for another file
		l.leave(errNotMade)
	}
	switch {
	case f.entry.Phase == InFno:
		return l.resume(f)
	case f.entry.Phase == Dead:
		return l.buried(f)
	case f.entry.Phase == Posting && !f.intended:
		if again, err := l.recall(f); err != nil || !again {
			return err
		}
	}
	if on, err := l.undrained(f); err != nil || !on {
		return err
	}
	if l.ledger.Doubt > 0 && f.entry.Phase == "" {
		if again, err := l.doubted(f); err != nil || !again {
			return err
		}
	}
	if err := l.sayReleased(f); err != nil {
		return err
	}
	switch {
	case f.entry.Phase == HeldBack:
		return l.hold(f, &failure.Failure{Verdict: failure.Reject, Reason: f.entry.Reason, Op: "hold", Detail: f.entry.Note})
	case f.bad != nil && f.bad.Verdict == failure.Reject:
		if f.entry.Base > 0 { // an operator released it: this is another try
			l.attempt(f)
		}
		return l.giveUp(f, f.bad)
	case f.entry.Phase == Waiting && f.entry.tries() > 0:
		delay, ok := f.route.Retry.For(f.entry.Reason).Next(f.entry.tries(), f.entry.spent(f.entry.Last), 0)
		if !ok {
			return l.giveUp(f, &failure.Failure{Verdict: failure.Reject, Reason: f.entry.Reason, Op: "post", Detail: "the attempts are used up"})
		}
		if !l.pause(delay-time.Since(f.entry.Last), "backing off ("+string(f.entry.Reason)+")") {
			return l.stopped()
		}
	}
	return l.post(f)
}

// passed cleans up what the arrival of a message proves. The session is delivered in order, so files before it that
// are not in hand have left the queue; and an intent that was to follow it was not carried out, because it still is
// in the queue.
func (l *lane) passed(seq int64) {
	for _, e := range slices.Clone(l.ledger.Files) {
		inHand := slices.ContainsFunc(l.inHand(), func(f *file) bool { return f.seq == e.Seq })
		switch {
		case e.Seq < seq && !inHand && e.Phase != SettledIn:
			l.ledger.settle(e.Seq)
			l.dirty = true
		case e.After == seq && e.Phase == Posting:
			l.ledger.drop(e.Seq)
			l.dirty = true
		}
	}
	if p := l.ledger.Park; p != nil && p.Mode == Holding && p.Seq < seq {
		l.log.InfoContext(l.held, "the held file is gone; the session goes on", "sequence", p.Seq)
		l.ledger.Park = nil
		l.dirty = true
	}
}

// resume follows a file that F&O has.
func (l *lane) resume(f *file) error {
	f.bad = nil // what was wrong with the message did not keep F&O from taking it
	if f.route == nil {
		return l.giveUp(f, reject(failure.NoRoute, "F&O took this file as message %s, but no route matches it any more, so its import cannot be followed", f.entry.FnoID))
	}
	telemetry.Describe(f.ctx, telemetry.File{FnoMessage: f.entry.FnoID, FnoExecution: f.entry.ExecID})
	l.cur = nil
	l.inFno = append(l.inFno, f)
	f.nextPoll = time.Now()
	l.log.InfoContext(f.ctx, "import taken up where the ledger left it", "sequence", f.seq, "message", f.key, "fnoMessage", f.entry.FnoID)
	return nil
}

// buried goes on dead-lettering a file that was given up for good.
func (l *lane) buried(f *file) error {
	bad := &failure.Failure{Verdict: failure.Reject, Reason: f.entry.Reason, Op: "dead-letter", Detail: f.entry.Note}
	if bad.Reason == failure.NeverEnds {
		l.say(f, l.event(f, status.NeverEnds, failure.NeverEnds, bad.Detail))
	}
	return l.move(f, bad)
}

// recall finds out about a post that the ledger says was begun. again asks for a new one.
func (l *lane) recall(f *file) (again bool, _ error) {
	if f.entry.By == l.w.instance {
		fl := l.w.flights.find(l.held, l.key(f.seq)) // an answer on its way is worth waiting for, even at a stop
		switch {
		case l.held.Err() != nil:
			return false, context.Cause(l.held)
		case fl != nil:
			return l.landed(f, fl.fnoID, fl.err)
		}
		f.entry.back() // this process wrote the intent and knows of no post: it never came to it
		return true, nil
	}
	if err := l.disown(f); err != nil {
		return false, err
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "post",
		Detail: fmt.Sprintf("the process that began attempt %d at %s did not live to note F&O's answer",
			f.entry.Attempts, f.entry.Last.UTC().Format(time.RFC3339)),
	})
}

// disown takes a post away from the process that began it, before anything is said about it. That process may still
// live, have the session back after this one is gone, and know the answer by then: it must not unsay what was said.
func (l *lane) disown(f *file) error {
	if f.entry.By == "" {
		return nil
	}
	f.entry.By = ""
	l.ledger.put(f.entry)
	return l.store()
}

// doubted takes a file of which nothing is known, because the ledger that knew was lost, for one that may have been
// posted. Written down first, so that it is this file that counts and not another one after it.
func (l *lane) doubted(f *file) (again bool, _ error) {
	l.attempt(f)
	f.entry.Phase = Posting
	l.ledger.Doubt--
	l.ledger.put(f.entry)
	if err := l.store(); err != nil {
		return false, err
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "read ledger",
		Detail: "the session state was unreadable, so nobody knows whether this file was posted",
	})
}

// pause waits for d and shows why. It reports whether d passed.
func (l *lane) pause(d time.Duration, why string) bool {
	if d <= 0 {
		return l.waiting.Err() == nil
	}
	l.show(func(v *SessionView) { v.Waiting, v.Until = why, time.Now().Add(d) })
	defer l.show(nil)
	return wait(l.waiting, d)
}
