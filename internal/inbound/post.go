package inbound

import (
	"context"
	"errors"
	"io"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// errNotMade tells the gate that a pass was not used.
var errNotMade = errors.New("the call was not made")

// post brings one file into F&O, within the bounds of its route. When it returns without an error the file is in
// l.inFno, or it was given up.
func (l *lane) post(f *file) error {
	for {
		if l.open(f); f.bad != nil {
			bad := f.bad
			f.bad = nil
			l.attempt(f)
			if again, err := l.failed(f, bad); err != nil || !again {
				return err
			}
			continue
		}
		if err := l.admit(f); err != nil {
			return err
		}
		err := l.intend(f)
		if err == nil { // writing may have taken long
			err = l.lease.Ensure(f.route.Timeout)
		}
		if err != nil {
			l.leave(errNotMade)
			return err
		}
		fnoID, posted, broken := l.enqueue(f)
		if broken != nil {
			return broken
		}
		if again, err := l.landed(f, fnoID, posted); err != nil || !again {
			return err
		}
	}
}

// admit waits at the environment's gate until this lane may make its call, with enough lease left for all of it. A
// wait may be long, so an intent that was written ahead is taken back first: a crash while waiting leaves no doubt.
func (l *lane) admit(f *file) error {
	env := f.route.Environment
	if l.pass == nil {
		l.pass = env.Gate().TryEnter()
	}
	if l.pass == nil {
		if f.intended {
			if err := l.withdraw(f); err != nil {
				return err
			}
		}
		if s := env.Gate().State(); !s.Open() {
			l.show(func(v *SessionView) {
				v.Waiting, v.Until = "for "+env.Name()+" ("+string(s.Reason)+")", s.Until
			})
		}
		began := time.Now()
		var err error
		for l.pass == nil && err == nil {
			if l.pass, err = l.w.slots.enter(l.waiting, env.Gate()); err == nil && l.pass.Probing() {
				l.knock(f)
			}
		}
		if e := l.ledger.find(f.seq); e != nil && !e.First.IsZero() { // noted also when the wait goes on in another lane
			f.entry.Off += time.Since(began)
			e.Off = f.entry.Off
			l.dirty = true
		}
		if err != nil {
			return l.stopped()
		}
		l.show(nil)
	}
	if err := l.lease.Ensure(f.route.Timeout); err != nil {
		l.leave(errNotMade)
		return err
	}
	return nil
}

// knock asks a question that changes nothing before a file is posted as the probe of a closed gate: an environment that
// takes what it is sent and never answers would otherwise cost one unknown outcome per probe. Without an answer the
// pass is given back and the gate stays closed; with one, the post itself decides.
func (l *lane) knock(f *file) {
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.waiting, func() { cancel(context.Cause(l.waiting)) })()
	_, err := f.route.Environment.MessageStatus(ctx, "00000000-0000-0000-0000-000000000000")
	if bad := failure.Of(err); err != nil && (bad.Status == 0 || bad.Verdict == failure.Pause) {
		l.leave(err)
	}
}

// leave gives the pass back.
func (l *lane) leave(outcome error) {
	if l.pass != nil {
		l.pass.Leave(outcome)
		l.pass = nil
	}
}

// attempt counts an attempt.
func (l *lane) attempt(f *file) {
	f.entry.Attempts++
	f.before, f.entry.Last = f.entry.Last, time.Now()
	if f.entry.First.IsZero() {
		f.entry.First = f.entry.Last
	}
}

// intend writes down what is about to be done. A crash after this leaves "posting" behind: whoever finds it knows that
// F&O may have the file.
func (l *lane) intend(f *file) error {
	if f.intended { // written ahead, together with the record of the file before
		f.entry.Last = time.Now()
		if f.entry.Attempts == 1 {
			f.entry.First = f.entry.Last
		}
		f.entry.After = 0
		l.ledger.put(f.entry)
		return nil
	}
	l.attempt(f)
	f.entry.Phase, f.entry.By, f.entry.After, f.entry.FnoID = Posting, l.w.instance, 0, ""
	l.ledger.put(f.entry)
	f.intended = true
	return l.store()
}

// withdraw takes an intent back that was not carried out, or that met an outage: what the next try has to wait for is the
// attempt before it.
func (l *lane) withdraw(f *file) error {
	f.intended = false
	f.entry.back()
	if !f.before.IsZero() {
		f.entry.Last = f.before
	}
	l.ledger.put(f.entry)
	return l.store()
}

// enqueue makes the call. broken says that the lane cannot go on; the answer then waits among the flights.
//
// The request runs under the worker's context, not under the lease: it began with enough lease for all of it, it cannot
// be called back once the lease is lost, and an answer that is heard is an outcome that is known. The same answer is
// why the next message is already received meanwhile: its intent can then share the write that records this one.
func (l *lane) enqueue(f *file) (fnoID string, err, broken error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(f.ctx))
	defer cancel(nil)
	defer context.AfterFunc(l.work, func() { cancel(context.Cause(l.work)) })()

	l.show(func(v *SessionView) { v.Waiting = "for F&O's answer to the post" })
	fl := l.w.flights.begin(l.key(f.seq))
	l.w.o.At("before-post")
	look := l.lookAhead()
	fnoID, err = f.route.Environment.Enqueue(ctx, dynamics.File{
		Activity: f.route.Activity, Entity: f.entity, Company: f.company, ExternalID: f.key,
		Package: f.route.Payload.Package, Size: f.payload.Size(),
		Open: func(ctx context.Context) (io.ReadCloser, error) { return f.payload.Reader(ctx) },
	})
	l.w.o.At("posted")
	fl.land(fnoID, err)
	l.leave(err)
	if broken = look(); broken == nil && l.held.Err() != nil {
		broken = context.Cause(l.held)
	}
	return fnoID, err, broken
}

// landed acts on F&O's answer to a post. again asks for another attempt, after the wait that was due.
func (l *lane) landed(f *file, fnoID string, err error) (again bool, _ error) {
	f.intended = false
	if err != nil {
		bad := failure.Of(err)
		switch {
		case bad.Verdict == failure.Unknown:
			return l.unknown(f, bad)
		case l.work.Err() != nil:
			return false, context.Cause(l.work)
		case bad.Verdict == failure.Pause:
			// An outage is not an attempt. Written down, because the wait at the gate may be long.
			if err := l.withdraw(f); err != nil {
				return false, err
			}
			l.w.flights.recorded(l.key(f.seq))
			l.log.InfoContext(f.ctx, "file waits for its environment", "sequence", f.seq, "environment", f.route.Environment.Name(), "reason", bad.Reason)
			return true, nil
		}
		return l.failed(f, bad)
	}
	now := time.Now()
	f.entry.accepted(fnoID, now)
	l.ledger.put(f.entry)
	l.writeAhead(f)
	if err := l.store(); err != nil {
		return false, err
	}
	l.w.flights.recorded(l.key(f.seq))
	telemetry.Describe(f.ctx, telemetry.File{FnoMessage: fnoID})
	l.cur = nil
	l.inFno = append(l.inFno, f)
	f.nextPoll = now
	if f.route.Poll.First > 0 {
		f.nextPoll = now.Add(f.route.Poll.next(0))
	}
	l.say(f, l.event(f, status.Enqueued, "", ""))
	l.show(nil)
	if f.route.Poll.First > 0 {
		return false, l.flush(f) // nobody waits in the dark for the first answer
	}
	return false, nil
}
