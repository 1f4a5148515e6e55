package inbound

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
)

// recall finds out about a post that the ledger says was begun. This process may have made it for a lane that lost the
// session since, and then knows the answer; or it wrote the intent and never came to the post. What another process
// began, and did not live to note, nobody knows.
func (l *lane) recall(f *fileImport) (next, error) {
	if f.entry.By == l.w.instance {
		answer := l.w.flights.await(l.owned, l.key(f.msg.seq)) // one on its way is worth waiting for, even at a stop
		switch {
		case l.owned.Err() != nil:
			return goOn, context.Cause(l.owned)
		case answer != nil:
			return l.landed(f, answer.id, answer.err)
		}
		f.entry.Withdrawn()
		return goOn, nil
	}
	if f.entry.By != "" {
		// Taken away from that process before anything is said about the post: it may still live, own the session again
		// after this one is gone, and know the answer by then. It must not take back what was said.
		f.entry.Disowned()
		if err := l.store(); err != nil {
			return goOn, err
		}
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "post",
		Detail: fmt.Sprintf("the process that began attempt %d at %s did not live to note F&O's answer",
			f.entry.Attempts, f.entry.Last.UTC().Format(time.RFC3339)),
	})
}

// doubt takes a file of which nothing is known, because the ledger that knew was lost, for one that may have been
// posted. Written down first, so that it is this file that counts and not another one after it.
func (l *lane) doubt(f *fileImport) (next, error) {
	f.entry.Doubted(time.Now())
	l.ledger.Doubt--
	if err := l.store(); err != nil {
		return goOn, err
	}
	return l.unknown(f, &failure.Failure{
		Verdict: failure.Unknown, Reason: failure.UnknownOutcome, Op: "read ledger",
		Detail: "the session state was unreadable, so nobody knows whether this file was posted",
	})
}

// checkpoint is the last thing a lane does while it still owns the session. It writes down the answers to posts that
// this process made and no lane has noted, and whatever else is not stored yet.
func (l *lane) checkpoint() error {
	if l.ledger == nil || l.owned.Err() != nil {
		return nil
	}
	for _, e := range slices.Clone(l.ledger.Files) {
		if e.Phase != ledger.Posting || e.By != l.w.instance {
			continue
		}
		answer := l.w.flights.await(l.owned, l.key(e.Seq))
		switch {
		case l.owned.Err() != nil:
			return context.Cause(l.owned)
		case answer == nil: // it never came to the post
			e.Withdrawn()
		case answer.err == nil:
			e.Accepted(answer.id, time.Now())
		default:
			noteFailure(e, failure.Of(answer.err))
		}
	}
	if !l.changed() {
		return nil
	}
	return l.store()
}

// noteFailure writes down a post that failed, for the next owner to go on from.
func noteFailure(e *ledger.Entry, bad *failure.Failure) {
	switch bad.Verdict {
	case failure.Unknown: // that is what the entry says
	case failure.Pause: // an outage is no attempt
		e.Withdrawn()
	default:
		e.BackingOff(bad.Reason, time.Now())
	}
}
