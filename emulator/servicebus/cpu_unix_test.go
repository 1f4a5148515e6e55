//go:build unix

package servicebus_test

import (
	"syscall"
	"testing"
	"time"
)

// cpu starts counting the processor time of the process; the result reports it per operation. On a machine with other
// work it says more than the clock.
func cpu(b *testing.B) func(ops int) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := used()
	return func(ops int) {
		b.ReportMetric(float64((used()-began).Microseconds())/float64(ops), "cpu-us/op")
	}
}
