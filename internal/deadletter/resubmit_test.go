package deadletter

import (
	"context"
	"errors"
	"fmt"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"
	"fnobridge/internal/letter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var q = contract.Source{Queue: "q"}

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

// equal fails with what is different.
func equal(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// says checks all counts of a report. What was selected, and the highest number, only where want says so.
func says(t *testing.T, got Report, err error, want Report) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if want.Selected == 0 {
		want.Selected = got.Selected
	}
	if want.Highest == 0 {
		want.Highest = got.Highest
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("the report is another (-want +got):\n%s", d)
	}
}

func TestCopySaysWhatTheOriginalSaid(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.must(b.PutAMQP("q", &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: map[string]any{"entity": "Groups", "traceparent": trace, "weight": int64(3)},
			Body:                  azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("payload")}},
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{
				MessageID: "m1", GroupID: new("usmf/Groups"), CorrelationID: "c1",
				Subject: new("subject"), ContentType: new("text/csv"),
				AbsoluteExpiryTime: new(time.Now().Add(-time.Hour)),
			},
			Header: &azservicebus.AMQPAnnotatedMessageHeader{
				Durable: true, Priority: 7, TTL: time.Hour, DeliveryCount: 9,
			},
			MessageAnnotations: map[any]any{"x-opt-partition-key": "p", "custom": "kept"},
		}))
		enqueued := b.queue()[0].Enqueued
		b.kill("usmf/Groups", "ServerError")

		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 1, Done: 1})
		if len(b.dead()) != 0 || len(b.queue()) != 1 {
			t.Fatalf("%d dead letters, %d messages", len(b.dead()), len(b.queue()))
		}
		want := &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: map[string]any{
				"entity": "Groups", "traceparent": trace, "weight": int64(3),
				contract.PropKey: "m1", PropResubmits: int64(1), PropOriginalSequenceNumber: int64(1), PropResubmittedFrom: "q",
				PropOriginalEnqueuedTime: letter.Stamp(enqueued),
			},
			Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("payload")}},
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{
				MessageID: "m1~r1-1", GroupID: new("usmf/Groups"), CorrelationID: "c1",
				Subject: new("subject"), ContentType: new("text/csv"),
			},
			Header:             &azservicebus.AMQPAnnotatedMessageHeader{Durable: true, Priority: 7}, // it does not expire by itself
			MessageAnnotations: map[any]any{"x-opt-partition-key": "p", "custom": "kept"},
		}
		if d := cmp.Diff(want, b.sent(0), cmpopts.IgnoreUnexported(azservicebus.AMQPAnnotatedMessage{})); d != "" {
			t.Fatal(d)
		}

		// It dies again: the count goes up, the origin stays.
		b.kill("usmf/Groups", "ServerError")
		if _, err := Resubmit(t.Context(), b, Options{Source: q}); err != nil {
			t.Fatal(err)
		}
		m := b.queue()[0]
		equal(t, "m1~r2-1", m.MessageID)
		for name, want := range map[string]any{
			PropResubmits: int64(2), contract.PropKey: "m1", PropOriginalSequenceNumber: int64(1), letter.PropAttempts: nil,
		} {
			if got := m.Properties[name]; got != want {
				t.Errorf("second life: %s is %v, want %v", name, got, want)
			}
		}
	})
}

// sent returns the nth message of the queue as it was sent: without what the broker wrote on it.
func (b *fakeBroker) sent(nth int) *azservicebus.AMQPAnnotatedMessage {
	b.t.Helper()
	page, err := b.worker.Receiver(q, 0).Peek(context.Background(), 1, nth+1)
	b.must(err)
	raw := page[nth].RawAMQPMessage
	for _, own := range []string{"x-opt-enqueued-time", "x-opt-sequence-number", "x-opt-message-state"} {
		delete(raw.MessageAnnotations, own)
	}
	return raw
}

func TestResubmitInTheOrderOfTheFirstLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		for i := range 300 { // three batches, in the worst order
			for _, s := range []string{"A", "B"} {
				b.misordered(s, 300-i)
			}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 600, Done: 600})
		equal(t, names("A", 300), b.bodies("A"))
		equal(t, names("B", 300), b.bodies("B"))
	})
}

// A file that was resubmitted and died again has a new number in its queue; its place is still that of its first life.
func TestASecondLifeKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		if _, err := Resubmit(t.Context(), b, Options{Source: q, Filter: Filter{To: 1}}); err != nil {
			t.Fatal(err)
		}
		b.kill("A", "Timeout")
		if n := b.dead()[2].Sequence; n != 4 {
			t.Fatalf("the copy has the number %d", n)
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 3, Done: 3})
		equal(t, names("A", 3), b.bodies("A"))
	})
}

func TestOnlyTheSelectedGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		for i := range 500 {
			reason := "Timeout"
			if i%100 == 77 {
				reason = "NoRoute"
			}
			b.put("A", fmt.Sprint(i), fmt.Sprint(i), nil)
			b.kill("A", reason)
		}
		var tr trail
		noRoute := Filter{Reasons: []string{"noroute"}}
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Filter: noRoute, Audit: tr.add, By: "ann"})
		says(t, rep, err, Report{Selected: 5, Done: 5})
		equal(t, []string{"77", "177", "277", "377", "477"}, b.bodies("A"))
		if len(b.dead()) != 495 || b.lockedDead() != 0 {
			t.Fatalf("%d left, %d of them still locked", len(b.dead()), b.lockedDead())
		}
		if len(tr.recs) != 5 {
			t.Fatalf("%d audit lines", len(tr.recs))
		}
		equal(t, Record{
			Time: tr.recs[0].Time, Action: "resubmit", Outcome: "done", By: "ann", Source: "q", Target: "q", SequenceNumber: 78,
			MessageID: "77", CopyID: "77~r1-78", Session: new("A"), Reason: "NoRoute",
		}, tr.recs[0])
	})
}

// A copy that dies at once must not be taken for one more of the selection.
func TestResubmitDoesNotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 10)
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op == bustest.OpComplete {
				for range b.queue() {
					b.kill("A", "NoRoute")
				}
			}
			return bustest.Fault{}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 10, Done: 10, Highest: 10})
		if len(b.dead()) != 10 {
			t.Fatalf("%d dead", len(b.dead()))
		}
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		b.park("B", ledger.Draining, 4)
		b.group("B", 2)
		b.put("B", "new", "B3", nil)
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, DryRun: true, Audit: tr.add})
		says(t, rep, err, Report{Selected: 5, Requeued: 1, DryRun: true})
		equal(t, []int{5, 1, 0}, []int{len(b.dead()), len(b.queue()), b.owned()})
		for _, r := range tr.recs {
			if r.Outcome != OutcomeWould {
				t.Fatalf("%+v", r)
			}
		}
		if len(tr.recs) != 6 {
			t.Fatalf("%d audit lines", len(tr.recs))
		}
		for _, op := range []bustest.Op{bustest.OpSend, bustest.OpComplete, bustest.OpSetState} {
			if b.called(op) {
				t.Errorf("a dry run calls %s", op)
			}
		}
	})
}

func TestEditReplacesThePayloadOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.put("A", "a", "", map[string]any{"dataref": "https://x/y", "sha256": "00", "filename": "f.csv"})
		b.kill("A", "ClaimCheckMissing")
		b.group("B", 2)
		if _, err := Resubmit(t.Context(), b, Options{Source: q, Edit: []byte("x")}); !errors.Is(err, ErrUsage) ||
			len(b.queue()) != 0 {
			t.Fatalf("edit of three messages: %v", err)
		}
		_, err := Resubmit(t.Context(), b, Options{Source: q, Edits: map[int64][]byte{9: nil}})
		if !errors.Is(err, ErrUsage) {
			t.Fatalf("edit of an unknown message: %v", err)
		}
		var tr trail
		edits := map[int64][]byte{1: []byte("better"), 3: []byte("too")}
		if _, err := Resubmit(t.Context(), b, Options{Source: q, Edits: edits, Audit: tr.add}); err != nil {
			t.Fatal(err)
		}
		equal(t, []string{"better"}, b.bodies("A"))
		equal(t, []string{"B1", "too"}, b.bodies("B"))
		i := slices.IndexFunc(b.queue(), func(m broker.MessageInfo) bool { return m.SessionID == "A" })
		for name, want := range map[string]any{"dataref": nil, "sha256": nil, "filename": "f.csv"} {
			if got := b.queue()[i].Properties[name]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
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
		b := newFake(t)
		b.put("A", "A-1", "A1", nil)
		b.put("A", "A-2", strings.Repeat("x", 256<<10-150), nil) // fits, and its copy, which says more, does not
		b.put("A", "A-3", "A3", nil)
		b.put("A", "A-4", "A4", nil)
		for range 4 {
			b.kill("A", "Timeout")
		}
		b.group("B", 2)
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Audit: tr.add})
		says(t, rep, err, Report{Selected: 6, Done: 3, Failed: 1, Blocked: 2})
		equal(t, []string{"A1"}, b.bodies("A"))
		if rep.Complete() || len(b.dead()) != 3 || len(tr.recs) != 6 {
			t.Fatalf("complete: %v, %d dead letters, %d audit lines for 6 messages", rep.Complete(), len(b.dead()), len(tr.recs))
		}
	})
}

func TestAMessageWithoutASessionIsShownNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.must(b.Put("t", &azservicebus.Message{Body: []byte("A1")})) // the subscription needs a session
		s := contract.Source{Topic: "t", Subscription: "s"}
		rep, err := Resubmit(t.Context(), b, Options{Source: s, To: "q"})
		says(t, rep, err, Report{Selected: 1, Failed: 1})
		if n := len(b.Messages(bustest.Address(s) + "/$DeadLetterQueue")); n != 1 {
			t.Fatalf("%d dead letters", n)
		}
	})
}

func TestLocksOfOthersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		b.meddle(1, func(*bustest.Receiver, *azservicebus.ReceivedMessage) error {
			return nil // a killed run had it; a minute from now it is free
		})
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Wait: 5 * time.Second})
		says(t, rep, err, Report{Selected: 3, Done: 1, Locked: 1, Blocked: 1})
		waits := 0
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Wait: 2 * time.Minute, Waiting: func(int) { waits++ }})
		says(t, rep, err, Report{Selected: 2, Done: 2})
		if waits == 0 {
			t.Fatal("nobody was told that it waits")
		}
		equal(t, names("A", 3), b.bodies("A"))
	})
}

func TestWhatSomebodyElseTookIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op == bustest.OpReceive && len(b.dead()) == 3 {
				b.meddle(0, func(r *bustest.Receiver, m *azservicebus.ReceivedMessage) error {
					return r.Complete(context.Background(), m.LockToken)
				})
			}
			return bustest.Fault{}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 3, Done: 2, Gone: 1})
		if !rep.Complete() {
			t.Error("not complete")
		}
	})
}

func TestDeferredDeadLettersAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		b.deferDead(1)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 3, Done: 3})
		if !b.called(bustest.OpRenew) {
			t.Error("nobody tells how long the lock of a deferred message lasts, and it was not renewed")
		}
		equal(t, names("A", 3), b.bodies("A"))
	})
}

// Locks that end while the run is still passing other messages are renewed, or the message is received again.
func TestShortLocksAreNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, locksLast(8*time.Second))
		b.misordered("A", backwards(250)...)
		b.fault = func(c bustest.Call, n int) bustest.Fault {
			if c.Op == bustest.OpReceive || c.Op == bustest.OpSend && n%10 == 0 {
				return bustest.Fault{Delay: time.Second} // the broker is slow
			}
			return bustest.Fault{}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Wait: time.Minute})
		says(t, rep, err, Report{Selected: 250, Done: 250})
		equal(t, names("A", 250), b.bodies("A"))
	})
}

// locksLast sets the lock duration of the queue.
func locksLast(d time.Duration) func(*entity.QueueDescription) {
	return func(q *entity.QueueDescription) { q.LockDuration = d }
}

// A copy is sent only while enough of the lock is left to complete the dead letter behind it: a run that dies in
// between would leave both, and a queue without duplicate detection keeps both.
func TestACopyIsNotSentOnAnEndingLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, locksLast(15*time.Second))
		b.group("A", 5)
		sends := 0
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op != bustest.OpSend {
				return bustest.Fault{}
			}
			sends++
			if left := time.Until(b.dead()[0].LockedUntil); left < renewBefore {
				t.Errorf("send %d begins with %v of the lock left", sends, left)
			}
			return bustest.Fault{Delay: 6 * time.Second}
		}
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 5, Done: 5})
		equal(t, 5, sends)
	})
}

// Where the locks end before the scan has passed the messages in front, the run says so instead of going round for
// ever.
func TestAScanThatIsSlowerThanTheLocksEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, locksLast(5*time.Second))
		b.misordered("A", backwards(250)...)
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op == bustest.OpReceive {
				return bustest.Fault{Delay: 2500 * time.Millisecond}
			}
			return bustest.Fault{}
		}
		var tr trail
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Wait: time.Minute, Audit: tr.add})
		says(t, rep, err, Report{Selected: 250, Blocked: 250})
		if !strings.Contains(tr.recs[0].Error, "raise the lock duration") {
			t.Fatalf("told: %s", tr.recs[0].Error)
		}
	})
}

func TestInterruptFinishesTheMessageInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 10)
		ctx, cancel := context.WithCancel(t.Context())
		b.fault = func(c bustest.Call, _ int) bustest.Fault {
			if c.Op == bustest.OpSend && len(b.queue()) == 4 {
				cancel()
			}
			return bustest.Fault{}
		}
		rep, err := Resubmit(ctx, b, Options{Source: q})
		says(t, rep, err, Report{Selected: 10, Done: 5, Rest: 5, Stopped: true})
		equal(t, []int{5, 5, 0}, []int{len(b.dead()), len(b.queue()), b.lockedDead()})
	})
}

// What is completed is over: a run gives back only what it still has locked.
func TestWhatIsCompletedIsNotGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 3, Done: 3})
		if b.called(bustest.OpAbandon) {
			t.Error("a completed message was abandoned")
		}
	})
}

func TestRateBoundsTheSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 21)
		begin := time.Now()
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Rate: 2})
		says(t, rep, err, Report{Selected: 21, Done: 21})
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Fatalf("21 messages at 2 per second took %v", took)
		}
	})
}

func TestAnAuditTrailThatCannotBeWrittenStopsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 10)
		full := errors.New("disk full")
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Audit: func(Record) error { return full }})
		if !errors.Is(err, full) || len(b.dead()) != 9 || rep.Done != 1 {
			t.Fatalf("%+v %v, %d left", rep, err, len(b.dead()))
		}
	})
}

func TestToAnotherQueueLeavesTheSessionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 2)
		b.park("A", ledger.Draining, 1)
		rep, err := Resubmit(t.Context(), b, Options{Source: q, To: "elsewhere"})
		says(t, rep, err, Report{Selected: 2, Done: 2})
		if n := len(b.Messages("elsewhere")); n != 2 || b.called(bustest.OpAcceptByID) {
			t.Fatalf("%d messages elsewhere, a session was locked: %v", n, b.called(bustest.OpAcceptByID))
		}
		// There, the number of another queue does not decide the order.
		elsewhere := contract.Source{Queue: "elsewhere"}
		page, err := b.worker.Receiver(elsewhere, 0).Peek(t.Context(), 1, 1)
		b.must(err)
		page[0].SequenceNumber = new(int64(99))
		if k := orderKey(elsewhere, page[0]); k != 99 {
			t.Fatalf("sorted by %d", k)
		}
	})
}

func TestCopyIDsFitAndRepeat(t *testing.T) {
	long := strings.Repeat("ü", 64)
	for _, c := range []struct{ original, want string }{
		{"m", "m~r1"}, {strings.Repeat("x", 125), strings.Repeat("x", 125) + "~r1"},
	} {
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
		b := newFake(t)
		b.group("A", 250)
		b.put("A", "keep", "keep", nil)
		b.kill("A", "NoRoute")
		b.deferDead(3)
		var tr trail
		failed := Filter{Reasons: []string{"ProcessedWithErrors"}}
		rep, err := Purge(t.Context(), b, Options{Source: q, Filter: failed, Audit: tr.add})
		says(t, rep, err, Report{Selected: 250, Done: 250})
		equal(t, []int{1, 0}, []int{len(b.dead()), len(b.queue())})
		if len(tr.recs) != 250 || tr.recs[0].Action != ActionPurge {
			t.Fatalf("%d audit lines, %+v", len(tr.recs), tr.recs[0])
		}
		rep, err = Purge(t.Context(), b, Options{Source: q, DryRun: true})
		says(t, rep, err, Report{Selected: 1, DryRun: true})
		if len(b.dead()) != 1 {
			t.Fatalf("%d left", len(b.dead()))
		}
	})
}
