package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// drained makes a session whose first file failed and whose next n-1 were drained behind it, and in which files that
// came later wait.
func drained(b *fakeBroker, session string, dead, waiting int) {
	b.group(session, dead)
	all := b.dead()
	first := all[len(all)-dead].Sequence
	l := ledger.Ledger{Park: &ledger.Park{Mode: ledger.Draining, Seq: first, Reason: "ProcessedWithErrors"}}
	l.Files = []*ledger.Entry{{Seq: 2, Phase: ledger.Waiting}} // that does not move, unlike those that wait
	for i := range waiting {
		seq := b.put(session, fmt.Sprintf("%s-%d", session, dead+i+1), fmt.Sprintf("%s%d", session, dead+i+1), nil)
		l.Files = append(l.Files, &ledger.Entry{Seq: seq, Phase: ledger.Waiting})
	}
	b.must(b.SetState(q, session, encoded(b.t, l)))
}

func TestADrainedGroupGoesBeforeWhatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 4, 3)
		drained(b, "B", 2, 0)
		b.group("C", 2) // not parked
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Audit: tr.add})
		says(t, rep, err, Report{Selected: 8, Done: 8, Requeued: 3, Lifted: 2})
		for s, n := range map[string]int{"A": 7, "B": 2, "C": 2} {
			equal(t, names(s, n), b.bodies(s))
		}
		if b.parked("A") || b.parked("B") || b.owned() != 0 || len(b.dead()) != 0 {
			t.Fatalf("A %v B %v locks %d dead %d", b.parked("A"), b.parked("B"), b.owned(), len(b.dead()))
		}
		lifted, err := ledger.Decode(b.State(q, "A"))
		b.must(err)
		if len(lifted.Files) != 1 || lifted.Files[0].Seq != 2 {
			t.Fatalf("the ledger does not forget which of its files moved: %+v", lifted.Files)
		}
		i := slices.IndexFunc(b.queue(), func(m broker.MessageInfo) bool { return string(m.Body) == "A7" })
		if p := b.queue()[i].Properties; p[PropResubmits] != nil || p[contract.PropKey] != "A-7" {
			t.Fatalf("a moved message counts as resubmitted: %v", p)
		}
	})
}

func TestAStandingSessionGoesAsAWholeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 4, 2)
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Audit: tr.add, Filter: Filter{To: 1}})
		says(t, rep, err, Report{Selected: 1, Blocked: 1})
		if len(b.dead()) != 4 || !b.parked("A") {
			t.Fatalf("%d dead letters, parked: %v", len(b.dead()), b.parked("A"))
		}
		if !strings.Contains(tr.recs[0].Error, "as a whole") {
			t.Fatalf("told: %s", tr.recs[0].Error)
		}
		// The failed file itself may stay: what was drained behind it goes on without it.
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Filter: Filter{From: 2}})
		says(t, rep, err, Report{Selected: 3, Done: 3, Requeued: 2, Lifted: 1})
		equal(t, names("A", 6)[1:], b.bodies("A"))
	})
}

func TestWhatFnoStillWorksOnIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 2, 1)
		b.park("A", ledger.Holding, 1, 3)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		if len(b.queue()) != 1 || !b.parked("A") {
			t.Fatalf("%d messages, parked: %v", len(b.queue()), b.parked("A"))
		}
	})
}

func TestASessionThatAWorkerHasLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 2, 1)
		s, err := b.worker.AcceptByID(t.Context(), q, "A")
		if err != nil {
			t.Fatal(err)
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Wait: time.Second, Audit: tr.add})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		if len(b.dead()) != 2 || !strings.Contains(tr.recs[0].Error, "locked by a worker") {
			t.Fatalf("%d dead letters, told: %s", len(b.dead()), tr.recs[0].Error)
		}
		// The worker lets go while we wait.
		go func() {
			retry.Wait(context.Background(), 3*time.Second) // the clock of the bubble
			closeQuietly(s)
		}()
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Wait: time.Minute})
		says(t, rep, err, Report{Selected: 2, Done: 2, Requeued: 1, Lifted: 1})
		equal(t, names("A", 3), b.bodies("A"))
	})
}

// Whoever lost a session's lock puts nothing more into it: a worker may be at it, and would meet the files out of
// order.
func TestNothingIsSentIntoASessionThatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 4, 2)
		sends := 0
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op != bustest.OpSend {
				return bustest.Fault{}
			}
			sends++
			// The broker moves the session while the first copy is on its way, and a renewal finds that out.
			return bustest.Fault{First: func() { b.Steal(q, "A") }, Delay: shortestLock}
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Audit: tr.add})
		if err != nil {
			t.Fatal(err)
		}
		if sends != 1 || rep.Lifted != 0 || !b.parked("A") {
			t.Errorf("%d copies sent, %+v, parked: %v", sends, rep, b.parked("A"))
		}
		b.fault = nil
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Wait: time.Minute})
		if err != nil || !rep.Complete() || rep.Lifted != 1 {
			t.Errorf("%+v, %v", rep, err)
		}
		equal(t, names("A", 6), b.bodies("A"))
	})
}

func TestABusySessionThatCannotStandIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("usmf/A", 2)
		if _, err := b.worker.AcceptByID(t.Context(), q, "usmf/A"); err != nil {
			t.Fatal(err)
		}
		asked := ""
		begin := time.Now()
		rep, err := Resubmit(t.Context(), b, Options{
			Source: q, Wait: time.Minute, MayBeParked: func(session, entity, company string) bool {
				asked = session + " " + entity + " " + company
				return false // its route skips
			},
		})
		says(t, rep, err, Report{Selected: 2, Done: 2})
		equal(t, "usmf/A A usmf", asked)
		if took := time.Since(begin); took != 0 {
			t.Fatalf("it took %v", took)
		}
	})
}

func TestAnUnreadableStateStopsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 2)
		b.must(b.SetState(q, "A", []byte("not json")))
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		if len(b.queue()) != 0 {
			t.Fatalf("%d messages", len(b.queue()))
		}
	})
}

func TestAQueueWithoutSessionsHasNoMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, func(q *entity.QueueDescription) { q.RequiresSession = false })
		b.group("A", 2)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 2, Done: 2})
	})
}

// What is drained between the list and the lock belongs to the group.
func TestLateDrainedFilesJoinTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		drained(b, "A", 2, 2)
		locks := 0
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op == bustest.OpAcceptByID {
				if locks++; locks == 2 { // the first only looks
					b.kill("A", "Drained")
				}
			}
			return bustest.Fault{}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Done: 3, Requeued: 1, Lifted: 1})
		equal(t, names("A", 4), b.bodies("A"))
	})
}

var errCut = fmt.Errorf("%w: cut", ErrUnreachable)

// The matrix: the run is cut at every call, once before the call took effect and once after; then the command is
// repeated until it says that it is complete. Nothing lost, nothing doubled, every session in order, holds and drains
// lifted.
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

// kindOf says what a call of the command is about: a session's calls are not the queue's.
func kindOf(c bustest.Call) string {
	if c.Session != "" {
		return "session " + string(c.Op)
	}
	return string(c.Op)
}

// told are the calls whose failure a run reports as its own: it cannot go on without them. The failure of another one
// is a session's, and its audit lines say so; what is abandoned comes back by itself.
func told(cut string) bool {
	return !slices.Contains([]string{
		"", "abandon", "session peek", "session receive", "session complete",
	}, cut)
}

// cutAt returns the number of calls of the first run.
func cutAt(t *testing.T, at int, applied, duplicates bool) int {
	b := newFake(t, func(q *entity.QueueDescription) { q.RequiresDuplicateDetection = duplicates })
	drained(b, "A", 4, 3)
	b.misordered("C", 1, 2, 5, 4, 3)
	cut := ""
	b.fault = func(c bustest.Call, n int) bustest.Fault {
		switch {
		case n == at:
			cut = kindOf(c)
			return bustest.Fault{Skip: !applied, Err: errCut}
		case n > at && c.Op != bustest.OpAbandon:
			return bustest.Fault{Skip: true, Err: errCut} // the connection stays away for the rest of this run
		}
		return bustest.Fault{}
	}
	_, err := Resubmit(t.Context(), b, Options{Source: q})
	calls := len(b.calls)
	if err == nil && told(cut) {
		t.Fatalf("cut at call %d (%s) and no error", at, cut)
	}
	if errors.Is(err, ErrUnreachable) && cut != "abandon" && b.called(bustest.OpAbandon) {
		t.Fatalf("cut at call %d (%s): gave back to nobody", at, cut)
	}
	b.fault = nil
	for try := range 4 {
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Wait: 2 * time.Minute})
		if err != nil {
			t.Fatalf("cut at call %d (%s): repeated: %v", at, cut, err)
		}
		if rep.Complete() && len(b.dead()) == 0 {
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
	if b.parked("A") {
		// When only the lift was missing, no dead letter is left to find the session by. It is in order, but still
		// parked, where it can be seen: `bridge sessions release`.
		if cut != "session set state" && (!applied || cut != "complete") {
			t.Fatalf("cut at call %d (%s): the session is still parked", at, cut)
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
