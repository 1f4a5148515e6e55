//go:build crashpoints

package main

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// crashPoint returns a function that kills the process, as kill -9 does, the Nth time it comes to the point that the
// variable FNOBRIDGE_CRASH names as POINT:N. Only the crash tests build with the tag crashpoints.
func crashPoint() func(string) {
	point, count, ok := strings.Cut(os.Getenv("FNOBRIDGE_CRASH"), ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if !ok || err != nil {
		return nil
	}
	var left atomic.Int64
	left.Store(n)
	return func(at string) {
		if at == point && left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
}
