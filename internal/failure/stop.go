package failure

import (
	"context"
	"errors"
)

// A Stop is the error of a call that its caller ended. What it says of the far side is nothing, unless the failure that
// wraps it has a verdict that says so: an upload that was stopped after its body was sent may have arrived.
type Stop struct{ err, cause error }

// NewStop returns the Stop of a context that has ended.
func NewStop(ctx context.Context) *Stop { return &Stop{err: ctx.Err(), cause: context.Cause(ctx)} }

func (s *Stop) Error() string {
	if s.cause == nil || errors.Is(s.err, s.cause) {
		return s.err.Error()
	}
	return s.err.Error() + ": " + s.cause.Error()
}

// Unwrap returns why the context ended: its error, and its cause.
func (s *Stop) Unwrap() []error { return []error{s.err, s.cause} }

// IsStop reports whether err is or wraps a Stop.
func IsStop(err error) bool {
	_, ok := errors.AsType[*Stop](err)
	return ok
}

// StoppedCall returns the failure of a call that ctx ended before the far side can have taken anything.
func StoppedCall(ctx context.Context) error {
	return &Failure{Verdict: Retry, Reason: Unclassified, Err: NewStop(ctx)}
}
