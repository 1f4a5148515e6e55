//go:build unix

package crash

import (
	"sync/atomic"
	"syscall"
	"testing"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/internal/status"
)

// TestAFrozenReplicaDoesNotUnsayWhatItsSuccessorSaid: a replica is frozen between F&O's acceptance of a file and the
// answer. Its successor tells the world that the outcome is unknown and that the file is dead-lettered, and dies before
// it does that. The first one comes back, hears the answer, and has the session again: it may not import, report or
// complete the file as if nothing had been said.
func TestAFrozenReplicaDoesNotUnsayWhatItsSuccessorSaid(t *testing.T) {
	t.Parallel()
	var first atomic.Pointer[replica]
	frozen := make(chan struct{})
	s := usual
	s.onImport = func(fno.Import) {
		if r := first.Swap(nil); r != nil {
			if err := r.halt(); err != nil { // before the answer is written
				t.Error(err)
			}
			close(frozen)
		}
	}
	w := newWorld(t, s, patience)
	a, err := w.start("first", "")
	w.must(err)
	t.Cleanup(func() { a.inspect(t) })
	first.Store(a)
	w.must(w.send(parcel{session: session(keeping, 1)}, parcel{session: session(keeping, 1)}))
	select {
	case <-frozen:
	case <-w.ctx.Done():
		t.Fatal("nothing was imported")
	}
	w.bus.Faults().CutAll() // what the frozen one holds and waits for is free
	b, err := w.start("second", "before-dead-letter:1")
	w.must(err)
	if _, err := b.wait(w.ctx); err != nil || !b.killed() {
		t.Fatalf("the second replica: %v, %s", err, b.cmd.ProcessState)
	}
	a.signal(syscall.SIGCONT)
	w.waitAll()
	stop(t, w, a)
	if r := w.judge(); r.Unknown != 1 || r.DeadLettered != 1 || r.Processed != 2 {
		t.Errorf("%d unknown outcomes, %d dead letters, %d processed; want 1, 1 and 2", r.Unknown, r.DeadLettered, r.Processed)
	}
	last := map[string]status.Status{}
	for _, e := range w.history().Events {
		last[e.MessageID] = e.Status
	}
	if got := last[session(keeping, 1)+" #0000"]; got != status.DeadLettered {
		t.Errorf("the last word about the file is %s", got)
	}
}
