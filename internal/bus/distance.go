package bus

import (
	"sync"
	"time"
)

// A distance is how far away the broker is, as its answers show. Bounds of calls follow it: what means that nobody is
// there in the same region is an ordinary answer from another continent, or over a line that is full.
type distance struct {
	mu        sync.Mutex
	mean      time.Duration // of a question and its answer; 0 before the first
	deviation time.Duration // from the mean, on the average
	silences  int           // calls without an answer since the last one, up to mostSilences
}

// Bounds are several times what an answer took so far, and twice as long after each call without an answer: the answer
// that comes too late is never measured.
const (
	meansPerBound      = 8
	deviationsPerBound = 4
	mostSilences       = 2
	mostBound          = time.Minute
)

// answered notes how long an answer took. The weights are those of TCP (RFC 6298).
func (d *distance) answered(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silences = 0
	if d.mean == 0 {
		d.mean, d.deviation = took, took/2
		return
	}
	d.deviation += ((took - d.mean).Abs() - d.deviation) / 4
	d.mean += (took - d.mean) / 8
}

// silent notes that a call ran into its bound.
func (d *distance) silent() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.silences = min(d.silences+1, mostSilences)
}

// roundTrip returns what a question and its answer take; 0 when that is not known yet.
func (d *distance) roundTrip() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mean + d.deviation
}

// bound returns for how long to wait for an answer, at least floor.
func (d *distance) bound(floor time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	far := meansPerBound*d.mean + deviationsPerBound*d.deviation
	return max(floor, min(max(floor, far)<<d.silences, mostBound))
}

// slowestLine is what a line carries at least, in bytes per second. What is sent has so much more time.
const slowestLine = 128 << 10

// carrying returns what bytes may take on their way over a slow line.
func carrying(bytes int) time.Duration {
	return time.Duration(bytes) * time.Second / slowestLine
}
