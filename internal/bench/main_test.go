//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// scratch is where the binary is built; it is gone when the tests are over.
var scratch string

// TestMain runs the loop by hand when this process is that contender, else the tests.
func TestMain(m *testing.M) {
	if os.Getenv(loopVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := runLoop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var err error
	if scratch, err = os.MkdirTemp("", "fnobridge-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch) // what stays behind harms nobody
		os.Exit(code)
	}))
}

// binary builds the bridge, once for all benchmarks.
var binary = sync.OnceValues(func() (string, error) {
	out := filepath.Join(scratch, "bridge")
	b, err := exec.Command("go", "build", "-o", out, "fnobridge/cmd/bridge").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the bridge: %w\n%s", err, b)
	}
	return out, nil
})
