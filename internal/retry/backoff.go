package retry

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A Backoff says how often one file is tried, and how long is waited in between. Its settings are checked where they
// are read, in package config.
type Backoff struct {
	Attempts   int           // at most this many attempts, the first included
	First      time.Duration // delay after the first failed attempt
	Max        time.Duration // cap of one delay, jitter included
	Total      time.Duration // no attempt starts later than this after the first one
	Multiplier float64       // each delay is this much longer than the one before
	Jitter     float64       // 0 to 1: a delay is drawn from ±this fraction around its nominal value
}

// Next returns the delay before the attempt that follows `attempt` failed ones. elapsed is the time since the first
// attempt. after is what the other side asked us to wait (Retry-After), 0 if it did not say: a longer one wins over the
// policy, also over Max, because asking sooner is known to fail. ok is false when the attempts are used up or the next
// one would start after Total: the file is then dead-lettered.
func (b Backoff) Next(attempt int, elapsed, after time.Duration) (delay time.Duration, ok bool) {
	if attempt >= b.Attempts {
		return 0, false
	}
	// The library begins at the nominal delay of this attempt, so its first answer is the one we want. It draws the
	// jitter after its own cap; the cap below is the one that is promised.
	e := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(b.nominal(attempt)),
		backoff.WithRandomizationFactor(b.Jitter),
		backoff.WithMaxElapsedTime(0), // Total is checked here: time that passed before a restart counts too
	)
	delay = max(min(e.NextBackOff(), b.Max), after, 0)
	if elapsed+delay > b.Total {
		return 0, false
	}
	return delay, true
}

// nominal returns the delay after that many failed attempts, without jitter.
func (b Backoff) nominal(attempt int) time.Duration {
	grown := float64(b.First) * math.Pow(b.Multiplier, float64(max(attempt, 1)-1))
	if grown >= float64(b.Max) {
		return b.Max
	}
	return time.Duration(grown)
}
