package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"fnobridge/internal/contract"
	"fnobridge/internal/letter"
	"fnobridge/internal/retry"
)

var q = Entity{Queue: "q"}

// bodies returns what waits in a session of the queue, in order.
func (b *fakeBroker) bodies(session string) (out []string) {
	for _, m := range b.queue {
		if m.session() == session {
			out = append(out, m.body())
		}
	}
	return out
}

// group kills n files of a session: ID s-1 with body "s1", and so on.
func (b *fakeBroker) group(session string, n int) {
	for i := range n {
		b.kill(b.put(session, fmt.Sprintf("%s-%d", session, i+1), fmt.Sprintf("%s%d", session, i+1), nil), "ProcessedWithErrors")
	}
}

func names(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s%d", prefix, i+1))
	}
	return out
}

// trail collects the audit lines as "action outcome sequence".
type trail struct {
	mu   sync.Mutex
	recs []Record
}

func (t *trail) add(r Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recs = append(t.recs, r)
	return nil
}

func TestCopySaysWhatTheOriginalSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		m := b.put("usmf/Groups", "m1", "payload", map[string]any{
			"entity": "Groups", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "weight": int64(3),
		})
		m.m.Properties.CorrelationID, m.m.Properties.Subject, m.m.Properties.ContentType = "c1", new("subject"), new("text/csv")
		m.m.Properties.AbsoluteExpiryTime = new(time.Now().Add(-time.Hour))
		m.m.Header = &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7, TTL: time.Hour, DeliveryCount: 9}
		m.m.MessageAnnotations = map[any]any{"x-opt-sequence-number": int64(1), "x-opt-partition-key": "p", "custom": "kept"}
		m.m.DeliveryTag = []byte("tag")
		b.kill(m, "ServerError")
		enqueued := m.enqueued

		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 1 || !rep.Complete() || len(b.dead) != 0 || len(b.queue) != 1 {
			t.Fatalf("%+v %v, %d left", rep, err, len(b.dead))
		}
		want := &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: map[string]any{
				"entity": "Groups", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "weight": int64(3),
				contract.PropKey: "m1", PropResubmits: int64(1), PropOriginalSequenceNumber: int64(1), PropResubmittedFrom: "q", PropOriginalEnqueuedTime: letter.Stamp(enqueued),
			},
			Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("payload")}},
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{
				MessageID: "m1~r1", GroupID: new("usmf/Groups"), CorrelationID: "c1", Subject: new("subject"), ContentType: new("text/csv"),
			},
			Header:             &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7, TTL: time.Hour},
			MessageAnnotations: map[any]any{"x-opt-partition-key": "p", "custom": "kept"},
		}
		if d := cmp.Diff(want, b.queue[0].m, cmp.AllowUnexported(), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".inner" }, cmp.Ignore())); d != "" {
			t.Fatal(d)
		}

		// It dies again: the count goes up, the origin stays.
		b.kill(b.queue[0], "ServerError")
		if _, err := Resubmit(t.Context(), b, Options{Entity: q}); err != nil {
			t.Fatal(err)
		}
		p := b.queue[0].m.ApplicationProperties
		if b.queue[0].id() != "m1~r2" || p[PropResubmits] != int64(2) || p[contract.PropKey] != "m1" || p[PropOriginalSequenceNumber] != int64(1) || p[letter.PropAttempts] != nil {
			t.Fatalf("second life: %s %v", b.queue[0].id(), p)
		}
	})
}

func TestResubmitInTheOrderOfTheFirstLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		var files []*fakeMessage
		for i := range 300 { // three batches
			for _, s := range []string{"A", "B"} {
				files = append(files, b.put(s, fmt.Sprintf("%s-%d", s, i), fmt.Sprintf("%s%d", s, i+1), nil))
			}
		}
		slices.Reverse(files) // died in the worst order
		for _, f := range files {
			b.kill(f, "Timeout")
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 600 {
			t.Fatalf("%+v %v", rep, err)
		}
		for _, s := range []string{"A", "B"} {
			if d := cmp.Diff(names(s, 300), b.bodies(s)); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// A file that was resubmitted and died again has a new number in its queue; its place is still that of its first life.
func TestASecondLifeKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 3)
		if _, err := Resubmit(t.Context(), b, Options{Entity: q, Filter: Filter{To: 1}}); err != nil {
			t.Fatal(err)
		}
		b.kill(b.queue[0], "Timeout")
		if b.dead[2].seq != 4 {
			t.Fatalf("the copy has the number %d", b.dead[2].seq)
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 3 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 3), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

func TestOnlyTheSelectedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		for i := range 500 {
			reason := "Timeout"
			if i%100 == 77 {
				reason = "NoRoute"
			}
			b.kill(b.put("A", fmt.Sprint(i), fmt.Sprint(i), nil), reason)
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Filter: Filter{Reasons: []string{"noroute"}}, Audit: tr.add, By: "ann"})
		if err != nil || rep.Done != 5 || len(b.dead) != 495 {
			t.Fatalf("%+v %v, %d left", rep, err, len(b.dead))
		}
		if d := cmp.Diff([]string{"77", "177", "277", "377", "477"}, b.bodies("A")); d != "" {
			t.Fatal(d)
		}
		for _, m := range b.dead {
			if m.until.After(time.Now()) {
				t.Fatalf("message %d is still locked", m.seq)
			}
		}
		if len(tr.recs) != 5 || tr.recs[0].Action != "resubmit" || tr.recs[0].Outcome != "done" || tr.recs[0].SequenceNumber != 78 || tr.recs[0].CopyID != "77~r1" || tr.recs[0].By != "ann" || *tr.recs[0].Session != "A" {
			t.Fatalf("%+v", tr.recs)
		}
	})
}

// A copy that dies at once must not be taken for one more of the selection.
func TestResubmitDoesNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 10)
		b.fault = func(call string, _ int) (bool, error) {
			if call == "complete" {
				b.mu.Lock()
				defer b.mu.Unlock()
				for _, m := range slices.Clone(b.queue) {
					b.kill(m, "NoRoute")
				}
			}
			return false, nil
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 10 || len(b.dead) != 10 || rep.Highest != 10 {
			t.Fatalf("%+v %v, %d dead", rep, err, len(b.dead))
		}
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 3)
		b.states["B"] = marked(Mark{Mode: "drain", Seq: 4})
		b.group("B", 2)
		b.put("B", "new", "B3", nil)
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, DryRun: true, Audit: tr.add, Ledger: fakeLedger{}})
		if err != nil || rep.Selected != 5 || rep.Done != 0 || rep.Requeued != 1 || !rep.DryRun || len(b.dead) != 5 || len(b.queue) != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
		for _, r := range tr.recs {
			if r.Outcome != OutcomeWould {
				t.Fatalf("%+v", r)
			}
		}
		if len(tr.recs) != 6 || slices.Contains(b.names, "send") || slices.Contains(b.names, "complete") || slices.Contains(b.names, "set state") || len(b.locked) != 0 {
			t.Fatalf("%d lines, calls %v", len(tr.recs), b.names)
		}
	})
}

func TestEditReplacesThePayloadOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.kill(b.put("A", "a", "", map[string]any{"dataref": "https://x/y", "sha256": "00", "filename": "f.csv"}), "ClaimCheckMissing")
		b.group("B", 2)
		if _, err := Resubmit(t.Context(), b, Options{Entity: q, Edit: []byte("x")}); !errors.Is(err, ErrUsage) || len(b.queue) != 0 {
			t.Fatalf("edit of three messages: %v", err)
		}
		if _, err := Resubmit(t.Context(), b, Options{Entity: q, Edits: map[int64][]byte{9: nil}}); !errors.Is(err, ErrUsage) {
			t.Fatalf("edit of an unknown message: %v", err)
		}
		var tr trail
		if _, err := Resubmit(t.Context(), b, Options{Entity: q, Edits: map[int64][]byte{1: []byte("better"), 3: []byte("too")}, Audit: tr.add}); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(b.queue, func(m *fakeMessage) bool { return m.session() == "A" })
		p := b.queue[i].m.ApplicationProperties
		if d := cmp.Diff([]string{"better"}, b.bodies("A")); d != "" || p["dataref"] != nil || p["sha256"] != nil || p["filename"] != "f.csv" {
			t.Fatalf("%s %v", d, p)
		}
		if d := cmp.Diff([]string{"B1", "too"}, b.bodies("B")); d != "" {
			t.Fatal(d)
		}
		for _, r := range tr.recs {
			if r.Edited != (r.SequenceNumber != 2) {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestARefusedMessageStopsItsSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 4)
		b.group("B", 2)
		b.tooLarge = func(m *azservicebus.AMQPAnnotatedMessage) bool { return string(m.Body.Data[0]) == "A2" }
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Audit: tr.add})
		if err != nil || rep.Done != 3 || rep.Failed != 1 || rep.Blocked != 2 || rep.Complete() || len(b.dead) != 3 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff([]string{"A1"}, b.bodies("A")); d != "" {
			t.Fatal(d)
		}
		if len(tr.recs) != 6 {
			t.Fatalf("%d audit lines for 6 messages", len(tr.recs))
		}
	})
}

func TestAMessageWithoutASessionIsShownNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 1)
		b.dead[0].m.Properties.GroupID = nil
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Failed != 1 || len(b.dead) != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

func TestLocksOfOthersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 3)
		b.lock(b.dead[1]) // a killed run had it; a minute from now it is free
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Wait: 5 * time.Second})
		if err != nil || rep.Done != 1 || rep.Locked != 1 || rep.Blocked != 1 {
			t.Fatalf("not waited for: %+v %v", rep, err)
		}
		waits := 0
		rep, err = Resubmit(t.Context(), b, Options{Entity: q, Wait: 2 * time.Minute, Waiting: func(int) { waits++ }})
		if err != nil || rep.Done != 2 || waits == 0 {
			t.Fatalf("waited for: %+v %v, %d", rep, err, waits)
		}
		if d := cmp.Diff(names("A", 3), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWhatSomebodyElseTookIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 3)
		b.fault = func(call string, n int) (bool, error) {
			if call == "receive" && len(b.dead) == 3 {
				b.dead = slices.Delete(b.dead, 0, 1)
			}
			return false, nil
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 2 || rep.Gone != 1 || !rep.Complete() {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

func TestDeferredDeadLettersAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 3)
		b.dead[1].deferred = true
		rep, err := Resubmit(t.Context(), b, Options{Entity: q})
		if err != nil || rep.Done != 3 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 3), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

// Locks that end while the run is still passing other messages are renewed, or the message is received again.
func TestShortLocksAreNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.lockFor = 8 * time.Second
		b.group("A", 250)
		slices.Reverse(b.dead)
		b.fault = func(call string, n int) (bool, error) {
			if call == "receive" || call == "send" && n%10 == 0 {
				retry.Wait(context.Background(), time.Second) // the clock of the bubble: the broker is slow
			}
			return false, nil
		}
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Wait: time.Minute})
		if err != nil || rep.Done != 250 {
			t.Fatalf("%+v %v", rep, err)
		}
		if d := cmp.Diff(names("A", 250), b.bodies("A")); d != "" {
			t.Fatal(d)
		}
	})
}

// Where the locks end before the scan has passed the messages in front, the run says so instead of going round for ever.
func TestAScanThatIsSlowerThanTheLocksEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.lockFor = 2 * time.Second
		b.group("A", 250)
		slices.Reverse(b.dead)
		b.fault = func(call string, _ int) (bool, error) {
			if call == "receive" {
				retry.Wait(context.Background(), time.Second)
			}
			return false, nil
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Wait: time.Minute, Audit: tr.add})
		if err != nil || rep.Done != 0 || rep.Blocked != 250 || !strings.Contains(tr.recs[0].Error, "raise the lock duration") {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}

func TestInterruptFinishesTheMessageInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 10)
		ctx, cancel := context.WithCancel(t.Context())
		b.fault = func(call string, _ int) (bool, error) {
			if call == "send" && len(b.queue) == 4 {
				cancel()
			}
			return false, nil
		}
		rep, err := Resubmit(ctx, b, Options{Entity: q})
		if err != nil || rep.Done != 5 || rep.Rest != 5 || rep.Doubt != 0 || !rep.Stopped || len(b.dead) != 5 || len(b.queue) != 5 {
			t.Fatalf("%+v %v", rep, err)
		}
		for _, m := range b.dead {
			if m.until.After(time.Now()) {
				t.Fatal("a message is still locked")
			}
		}
	})
}

func TestRateBoundsTheSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 21)
		begin := time.Now()
		if _, err := Resubmit(t.Context(), b, Options{Entity: q, Rate: 2}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Fatalf("21 messages at 2 per second took %v", took)
		}
	})
}

func TestAnAuditTrailThatCannotBeWrittenStopsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 10)
		full := errors.New("disk full")
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, Audit: func(Record) error { return full }})
		if !errors.Is(err, full) || len(b.dead) != 9 || rep.Done != 1 {
			t.Fatalf("%+v %v, %d left", rep, err, len(b.dead))
		}
	})
}

func TestToAnotherQueueLeavesTheSessionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 2)
		b.states["A"] = marked(Mark{Mode: "drain", Seq: 1})
		rep, err := Resubmit(t.Context(), b, Options{Entity: q, To: "elsewhere", Ledger: fakeLedger{}})
		if err != nil || rep.Done != 2 || len(b.other["elsewhere"]) != 2 || rep.Lifted != 0 || slices.Contains(b.names, "session") {
			t.Fatalf("%+v %v", rep, err)
		}
		// There, the number of another queue does not decide the order.
		rm := received(b.other["elsewhere"][0])
		rm.SequenceNumber = new(int64(99))
		if k := orderKey(Entity{Queue: "elsewhere"}, rm); k != 99 {
			t.Fatalf("sorted by %d", k)
		}
	})
}

func TestCopyIDsFitAndRepeat(t *testing.T) {
	long := strings.Repeat("ü", 64)
	for _, c := range []struct{ original, want string }{{"m", "m~r1"}, {strings.Repeat("x", 125), strings.Repeat("x", 125) + "~r1"}} {
		if got := copyID(c.original, "~r1"); got != c.want {
			t.Errorf("%q became %q", c.original, got)
		}
	}
	a, b := copyID(long, "~r1"), copyID(long+"x", "~r1")
	if len(a) > 128 || a == b || a != copyID(long, "~r1") || !strings.HasSuffix(a, "~r1") {
		t.Fatalf("%q and %q", a, b)
	}
}

func TestPurgeTakesTheSelectedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake()
		b.group("A", 250)
		b.kill(b.put("A", "keep", "keep", nil), "NoRoute")
		b.dead[3].deferred = true
		var tr trail
		rep, err := Purge(t.Context(), b, Options{Entity: q, Filter: Filter{Reasons: []string{"ProcessedWithErrors"}}, Audit: tr.add})
		if err != nil || rep.Done != 250 || len(b.dead) != 1 || len(tr.recs) != 250 || tr.recs[0].Action != ActionPurge || len(b.queue) != 0 {
			t.Fatalf("%+v %v, %d left, %d lines", rep, err, len(b.dead), len(tr.recs))
		}
		if rep, err = Purge(t.Context(), b, Options{Entity: q, DryRun: true}); err != nil || rep.Selected != 1 || len(b.dead) != 1 {
			t.Fatalf("%+v %v", rep, err)
		}
	})
}
