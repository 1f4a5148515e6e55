package deadletter

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fnobridge/internal/contract"
	"fnobridge/internal/retry"
)

// drained makes a session whose first file failed and whose next n-1 were drained behind it, and in which files that
// came later wait.
func drained(b *fakeBroker, session string, dead, waiting int) {
	b.group(session, dead)
	for i := range waiting {
		b.put(session, fmt.Sprintf("%s-%d", session, dead+i+1), fmt.Sprintf("%s%d", session, dead+i+1), nil)
	}
	b.states[session] = marked(Mark{Mode: "drain", Seq: b.dead[len(b.dead)-dead].seq, Reason: "ProcessedWithErrors"})
}

func standing(t *testing.T, b *fakeBroker, session string) bool {
	t.Helper()
	m, err := (fakeLedger{}).Mark(b.states[session])
	if err != nil {
		t.Fatal(err)
	}
	return m != nil
}

func TestADrainedGroupGoesBeforeWhatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		drained(b, "A", 4, 3)
		drained(b, "B", 2, 0)
		b.group("C", 2) // stands nowhere
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Audit: tr.add})
		if err != nil || rep.Done != 8 || rep.Requeued != 3 || rep.Lifted != 2 || !rep.Complete() {
			t.Fatalf("%+v %v", rep, err)
		}
		for s, n := range map[string]int{"A": 7, "B": 2, "C": 2} {
			if d := cmp.Diff(names(s, n), b.bodies(s)); d != "" {
				t.Fatal(d)
			}
		}
		if standing(t, b, "A") || standing(t, b, "B") || len(b.locked) != 0 || len(b.dead) != 0 {
			t.Fatalf("A %v B %v locks %d dead %d", standing(t, b, "A"), standing(t, b, "B"), len(b.locked), len(b.dead))
		}
		i := slices.IndexFunc(b.queue, func(m *fakeMessage) bool { return m.body() == "A7" })
		if m := b.queue[i]; m.m.ApplicationProperties[PropResubmits] != nil || m.m.ApplicationProperties[contract.PropKey] != "A-7" {
			t.Fatalf("a moved message counts as resubmitted: %v", m.m.ApplicationProperties)
		}
	})
}

func TestAStandingSessionGoesAsAWholeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		drained(b, "A", 4, 2)
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Audit: tr.add, Filter: Filter{To: 1}})
		if err != nil || rep.Done != 0 || rep.Blocked != 1 || len(b.dead) != 4 || !standing(t, b, "A") || !strings.Contains(tr.recs[0].Error, "as a whole") {
			t.Fatalf("%+v %v %+v", rep, err, tr.recs)
		}
		// The failed file itself may stay: what was drained behind it goes on without it.
		rep, err = Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Filter: Filter{From: 2}})
		if err != nil || rep.Done != 3 || rep.Lifted != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 6)[1:], b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWhatFnoStillWorksOnIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		drained(b, "A", 2, 1)
		b.states["A"] = marked(Mark{Mode: "hold", Seq: 1, Busy: []int64{3}})
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}})
		if err != nil || rep.Blocked != 2 || len(b.queue) != 1 || !standing(t, b, "A") {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

func TestASessionThatAWorkerHasLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		drained(b, "A", 2, 1)
		s, err := b.Session(t.Context(), q, "A")
		if err != nil {
			t.Fatal(err)
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Wait: time.Second, Audit: tr.add})
		if err != nil || rep.Blocked != 2 || len(b.dead) != 2 || !strings.Contains(tr.recs[0].Error, "locked by a worker") {
			t.Fatalf("%+v %v %+v", rep, err, tr.recs)
		}
		// The worker lets go while we wait.
		go func() {
			retry.Wait(context.Background(), 3*time.Second) // the clock of the bubble
			closeQuietly(s)
		}()
		rep, err = Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Wait: time.Minute})
		if err != nil || rep.Done != 2 || rep.Lifted != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 3), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

func TestABusySessionThatCannotStandIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("usmf/A", 2)
		if _, err := b.Session(t.Context(), q, "usmf/A"); err != nil {
			t.Fatal(err)
		}
		asked := ""
		begin := time.Now()
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Wait: time.Minute, Ordered: func(session, entity, company string) bool {
			asked = session + " " + entity + " " + company
			return false // its route skips
		}})
		if err != nil || rep.Done != 2 || asked != "usmf/A A usmf" || time.Since(begin) != 0 {
			t.Fatalf("%+v %v %q %v", rep, err, asked, time.Since(begin))
		}
	})
}

func TestAnUnreadableStateStopsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 2)
		b.states["A"] = []byte("not json")
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}})
		if err != nil || rep.Blocked != 2 || len(b.queue) != 0 {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

func TestAQueueWithoutSessionsHasNoMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.sessions = false
		b.group("A", 2)
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}})
		if err != nil || rep.Done != 2 {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

// What is drained between the list and the lock belongs to the group.
func TestLateDrainedFilesJoinTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		drained(b, "A", 2, 2)
		locks := 0
		b.fault = func(call string, _ int) (bool, error) {
			if call == "session" {
				if locks++; locks == 2 { // the first only looks
					b.kill(b.queue[0], "Drained")
				}
			}
			return false, nil
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}})
		if err != nil || rep.Done != 3 || rep.Requeued != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 4), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

var errCut = fmt.Errorf("%w: cut", ErrUnreachable)

// The matrix: the run is cut at every call, once before the call took effect and once after; then the command is
// repeated until it says that it is complete. Nothing lost, nothing doubled, every session in order, marks lifted.
func TestCutAtEveryCallAndRepeated(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for _, duplicates := range []bool{true, false} {
			t.Run(fmt.Sprintf("applied=%v/duplicateDetection=%v", applied, duplicates), func(t *testing.T) {
				for at := 0; ; at++ {
					calls := 0
					synctest.Test(t, func(t *testing.T) { calls = cutAt(t, at, applied, duplicates) })
					if at >= calls || t.Failed() {
						if at < 30 {
							t.Fatalf("only %d calls", at)
						}
						return
					}
				}
			})
		}
	}
}

// cutAt returns the number of calls of the first run.
func cutAt(t *testing.T, at int, applied, duplicates bool) int {
	b := newFake()
	b.duplicates = duplicates
	drained(b, "A", 4, 3)
	b.group("C", 5)
	b.dead[len(b.dead)-1], b.dead[len(b.dead)-3] = b.dead[len(b.dead)-3], b.dead[len(b.dead)-1]
	cut := ""
	b.fault = func(call string, n int) (bool, error) {
		switch {
		case n == at:
			cut = call
			return !applied, errCut
		case n > at && call != "abandon":
			return true, errCut // the connection stays away for the rest of this run
		}
		return false, nil
	}
	_, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}})
	calls := b.calls
	if cut != "" && cut != "abandon" && err == nil && cut != "session peek" && cut != "session receive" && cut != "session complete" {
		t.Fatalf("cut at call %d (%s) and no error", at, cut)
	}
	b.fault = nil
	for try := range 4 {
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Ledger: fakeLedger{}, Wait: 2 * time.Minute})
		if err != nil {
			t.Fatalf("cut at call %d (%s): repeated: %v", at, cut, err)
		}
		if rep.Complete() && len(b.dead) == 0 {
			break
		}
		if try == 3 {
			t.Fatalf("cut at call %d (%s): not complete: %+v", at, cut, rep)
		}
	}
	for s, n := range map[string]int{"A": 7, "C": 5} {
		got, want := b.bodies(s), names(s, n)
		if !duplicates && (cut == "send" || cut == "complete") && s == "C" {
			got = once(got) // the window that is one message wide: its copy was sent twice, next to each other
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("cut at call %d (%s), session %s: %s", at, cut, s, d)
		}
	}
	if standing(t, b, "A") {
		// When only the lift was missing, no dead letter is left to find the session by. It is in order, but still
		// stands, where it can be seen: `bridge sessions release`.
		if cut != "set state" && (!applied || cut != "complete") {
			t.Fatalf("cut at call %d (%s): the session still stands", at, cut)
		}
	}
	return calls
}

// once drops repetitions that stand next to each other.
func once(in []string) (out []string) {
	for i, s := range in {
		if i == 0 || s != in[i-1] {
			out = append(out, s)
		}
	}
	return out
}
