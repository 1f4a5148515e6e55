//go:build unix

package crash

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The environment of a run.
const (
	longVariable = "FNOBRIDGE_CRASH_LONG" // the long run: 20,000 files
	seedVariable = "FNOBRIDGE_CRASH_SEED" // the schedule of an earlier run
	rttVariable  = "FNOBRIDGE_CRASH_RTT"  // how far the bridges are from Service Bus, in ms; 0 is loopback
)

// scratch is where the binary is built; it is gone when the tests are over.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "fnobridge-crash-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(scratch) // what stays behind harms nobody
		os.Exit(code)
	}))
}

// binary builds the bridge with its crash points, once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	for _, dir := range []string{"cmd", "internal"} { // go test looks again at what a test has opened: no stale result
		if err := filepath.WalkDir(filepath.Join("..", "..", dir), func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return "", err
		}
	}
	out := filepath.Join(scratch, "bridge")
	b, err := exec.Command("go", "build", "-tags", "crashpoints", "-o", out, "fnobridge/cmd/bridge").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the bridge: %w\n%s", err, b)
	}
	return out, nil
})

// seed returns the seed of this run and tells how to repeat it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := rand.Uint64N(1_000_000)
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
	}
	t.Logf("repeat with %s=%d", seedVariable, n)
	return n
}
