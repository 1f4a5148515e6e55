//go:build unix

package crash

import (
	"path/filepath"
	"syscall"
	"testing"
)

// stop asks a replica to stop and wants it to say that all is well.
func stop(t *testing.T, w *world, r *replica) {
	t.Helper()
	r.signal(syscall.SIGTERM)
	if code, err := r.wait(w.ctx); err != nil || code != 0 {
		t.Errorf("exit code %d, %v: %s\n%s", code, err, r.cmd.ProcessState, r.output(t))
	}
}

func logOf(w *world, name string) string { return filepath.Join(w.t.ArtifactDir(), name+".log") }
