package retry

import "time"

// A Doubling is a row of delays: First, twice that, and so on, none longer than Max. It is for calls that are repeated
// until they succeed; a file has a Policy instead.
type Doubling struct{ First, Max time.Duration }

// After returns the delay after n failures in a row. The first failure is number 1; a smaller n counts as 1.
func (d Doubling) After(n int) time.Duration {
	delay := min(d.First, d.Max)
	for ; n > 1 && delay < d.Max; n-- {
		if delay > d.Max/2 { // twice that is longer than Max, or longer than a Duration can be
			return d.Max
		}
		delay *= 2
	}
	return delay
}
