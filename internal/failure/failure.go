// Package failure holds the one error type that decides what happens to a file.
//
// A Failure is made where the knowledge is (the F&O client, the payload opener, the lane) and read where the decision
// is (the lane and the settlement). It carries a Verdict, which says what to do, and a Reason from a closed set, which
// is used unchanged as the metric label, the log field, the field of the status event and the dead-letter reason.
//
// Not promised: that Detail is short. It may quote what F&O said; whoever writes it to a bounded place cuts it there.
// Promised: neither Detail nor Error ever holds a token, a secret or the query part of a URL.
package failure

import (
	"errors"
	"fmt"
	"time"
)

// A Verdict says what a failure means for the file that met it. The zero value decides nothing and is a defect where
// it reaches a settlement; settlements treat it as Retry, so that an omission can never lose a file.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota
	Retry             // this file again, within the bounds of the route
	Reject            // this file never: dead-letter it now
	Pause             // nobody to this environment for now: close its gate; not an attempt of the file
	PauseJob          // nobody to this recurring job for now: close its gate; not an attempt of the file
	Unknown           // F&O may or may not have taken the file: the route's unknownOutcome policy decides
)

// String returns the verdict as logs and documents write it.
func (v Verdict) String() string {
	switch v {
	case Retry:
		return "retry"
	case Reject:
		return "reject"
	case Pause:
		return "pause"
	case PauseJob:
		return "pause job"
	case Unknown:
		return "unknown"
	default:
		return "undecided"
	}
}

// A Failure is an error with a verdict.
type Failure struct {
	Verdict Verdict
	Reason  Reason
	Op      string        // what was being done, as in "enqueue" or "open payload"
	Status  int           // the HTTP status, where there was one
	After   time.Duration // how long the other side asked us to wait; 0 when it did not say
	Detail  string        // what was said or seen, for a person; may be long, never secret. What to do is package letter's
	Err     error         // the cause, may be nil
}

// Error says what was being done, why it failed, and what the other side said.
func (f *Failure) Error() string {
	s := string(f.Reason)
	if f.Op != "" {
		s = f.Op + ": " + s
	}
	if f.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", f.Status)
	}
	if f.Detail != "" {
		s += ": " + f.Detail
	}
	if f.Err != nil && f.Err.Error() != f.Detail { // Detail may be the words of Err
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Of returns the failure in err's chain. An error that carries none becomes a Retry for reason Unclassified: unsure
// means transient, with the route's bounds as the cap. A nil error has none.
func Of(err error) *Failure {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Verdict: Retry, Reason: Unclassified, Err: err}
}
