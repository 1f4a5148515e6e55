package deadletter

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"fnobridge/internal/failure"
)

// MaxAttempts is the largest number of attempts a Backoff may ask for. More than this is an outage that should have
// closed the environment's gate, not a file that is being retried.
const MaxAttempts = 1000

// A Backoff says how often, how long and how patiently one file is tried. It is a value: the delay is a function of how
// many attempts have failed, so the count can live in the ledger and survive any restart.
type Backoff struct {
	Attempts   int           // at most this many attempts, the first included
	First      time.Duration // delay after the first failed attempt
	Max        time.Duration // cap of one delay, jitter included
	Total      time.Duration // no attempt starts later than this after the first one
	Multiplier float64       // each delay is this much longer than the one before
	Jitter     float64       // 0 to 1: a delay is drawn from ±this fraction around its nominal value
}

// Next gives the delay before the attempt that follows `attempt` failed ones; elapsed is the time since the first
// attempt, after is what the other side asked us to wait (Retry-After), 0 if it did not say. A longer `after` wins over
// the policy, also over Max, because asking sooner is known to fail. ok is false when the attempts are used up or the
// next one would start after Total: the file is then dead-lettered.
func (b Backoff) Next(attempt int, elapsed, after time.Duration) (delay time.Duration, ok bool) {
	if attempt >= b.Attempts {
		return 0, false
	}
	// The library keeps the interval inside itself, so the state of attempt n is reached by asking n times. It caps the
	// interval before it draws the jitter; the cap below is the one that is promised.
	e := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(b.First),
		backoff.WithMultiplier(b.Multiplier),
		backoff.WithMaxInterval(b.Max),
		backoff.WithRandomizationFactor(b.Jitter),
		backoff.WithMaxElapsedTime(0), // Total is judged here: time that passed before a restart counts too
	)
	for range max(attempt, 1) {
		delay = e.NextBackOff()
	}
	delay = max(min(delay, b.Max), after, 0)
	if elapsed+delay > b.Total {
		return 0, false
	}
	return delay, true
}

// Validate refuses settings that cannot mean what they say, all of them at once, with the arithmetic shown.
func (b Backoff) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if b.Attempts < 1 || b.Attempts > MaxAttempts {
		bad("attempts: %d is not between 1 and %d", b.Attempts, MaxAttempts)
	}
	if b.First <= 0 {
		bad("first: %v is not a delay; it must be longer than 0", b.First)
	}
	if b.Max < b.First {
		bad("max: %v is shorter than first: %v, so no delay could ever be given", b.Max, b.First)
	}
	if b.Multiplier < 1 || math.IsNaN(b.Multiplier) || math.IsInf(b.Multiplier, 0) {
		bad("multiplier: %g is not 1 or more; delays must not shrink", b.Multiplier)
	}
	if b.Jitter < 0 || b.Jitter > 1 || math.IsNaN(b.Jitter) {
		bad("jitter: %g is not between 0 and 1", b.Jitter)
	}
	if b.Total <= 0 {
		bad("total: %v is not a time; retries are always bounded", b.Total)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if sum, shown := b.waits(); sum > b.Total {
		return fmt.Errorf("attempts: %d do not fit into total: %v: the waits between them are %s = %v; raise total to %v or more, or lower attempts to %d",
			b.Attempts, b.Total, shown, sum, sum, b.fitting())
	}
	return nil
}

// waits adds up the nominal delays between the attempts and writes the sum as a person would.
func (b Backoff) waits() (sum time.Duration, shown string) {
	const terms = 4 // shown at each end
	var parts []string
	next := b.nominal()
	for i := range b.Attempts - 1 {
		d := next()
		sum += d
		switch {
		case i < terms || i >= b.Attempts-1-terms:
			parts = append(parts, d.String())
		case i == terms:
			parts = append(parts, "...")
		}
		if sum > math.MaxInt64/4 { // centuries; the rest cannot matter
			break
		}
	}
	return sum, strings.Join(parts, " + ")
}

// fitting gives the number of attempts whose waits fit into Total.
func (b Backoff) fitting() int {
	next := b.nominal()
	sum, n := time.Duration(0), 1
	for n < b.Attempts {
		if sum += next(); sum > b.Total {
			break
		}
		n++
	}
	return n
}

// nominal gives the delays without jitter, one per call.
func (b Backoff) nominal() func() time.Duration {
	e := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(b.First), backoff.WithMultiplier(b.Multiplier), backoff.WithMaxInterval(b.Max),
		backoff.WithRandomizationFactor(0), backoff.WithMaxElapsedTime(0))
	return func() time.Duration { return min(e.NextBackOff(), b.Max) }
}

// A Policy is the backoff of a route: one for every reason, unless a reason has its own.
type Policy struct {
	Default  Backoff
	ByReason map[failure.Reason]Backoff
}

// For gives the backoff for files that failed with r.
func (p Policy) For(r failure.Reason) Backoff {
	if b, ok := p.ByReason[r]; ok {
		return b
	}
	return p.Default
}

// Validate checks the default and every override, and that overrides name reasons that exist.
func (p Policy) Validate() error {
	var errs []error
	if err := p.Default.Validate(); err != nil {
		errs = append(errs, err)
	}
	known := map[failure.Reason]bool{}
	for _, r := range failure.Reasons() {
		known[r] = true
		if b, ok := p.ByReason[r]; ok {
			if err := b.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", r, err))
			}
		}
	}
	for r := range p.ByReason {
		if !known[r] {
			errs = append(errs, fmt.Errorf("%s: no such reason", r))
		}
	}
	return errors.Join(errs...)
}
