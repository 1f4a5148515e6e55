package deadletter

import "time"

// slowestLine is what a line carries at least, in bytes per second. Waits grow with what has to come over it.
const slowestLine = 128 << 10

// batchSize is how large the dead letters of one receive may be together: their bodies are in memory until the next
// one, and what arrives between two receives is given back.
const batchSize = 8 << 20

// batchOf returns how many dead letters one receive may lock, when the largest has so many bytes.
func batchOf(largest int) int { return min(max(1, batchSize/max(1, largest)), mostInBatch) }

// quiet returns how long a receive waits before it counts as "nothing there": long enough for a message of that size.
func quiet(size int) time.Duration {
	return shortQuiet + time.Duration(size)*time.Second/slowestLine
}
