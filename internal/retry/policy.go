package retry

import "fnobridge/internal/failure"

// A Policy is the backoff of a route: one for every reason, unless a reason has its own.
type Policy struct {
	Default  Backoff
	ByReason map[failure.Reason]Backoff
}

// For returns the backoff for files that failed with r.
func (p Policy) For(r failure.Reason) Backoff {
	if b, ok := p.ByReason[r]; ok {
		return b
	}
	return p.Default
}
