package deadletter

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Some producers name a message after its file, and the file has one name every day. Both days are in the dead letters
// once the window of duplicate detection lies between them.

// window is a duplicate detection whose window is over after a minute, or none at all.
func window(detects bool) func(*entity.QueueDescription) {
	return func(q *entity.QueueDescription) {
		q.RequiresDuplicateDetection, q.DuplicateDetectionHistoryTimeWindow = detects, time.Minute
	}
}

// twoDays sends a file under one ID on two days, and what came later.
func (b *fakeBroker) twoDays(session string) (monday, tuesday int64) {
	b.t.Helper()
	monday = b.put(session, "customers.csv", "of Monday", nil)
	<-time.After(24 * time.Hour)
	tuesday = b.put(session, "customers.csv", "of Tuesday", nil)
	<-time.After(24 * time.Hour)
	return monday, tuesday
}

func TestTwoDeadLettersOfOneIDBothComeBack(t *testing.T) {
	for _, detects := range []bool{true, false} {
		t.Run(fmt.Sprintf("duplicateDetection=%v", detects), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFake(t, window(detects))
				b.twoDays("A")
				b.kill("A", "Unauthorized")
				b.kill("A", "Unauthorized")
				rep, err := Resubmit(t.Context(), b, Options{Source: q})
				says(t, rep, err, Report{Selected: 2, Done: 2})
				equal(t, []string{"of Monday", "of Tuesday"}, b.bodies("A"))
			})
		})
	}
}

// The run is cut at every call, before it took effect and after, and repeated: of two dead letters with one ID in a
// drained session none is taken for the copy of the other.
func TestTwoDeadLettersOfOneIDAreCutAtEveryCall(t *testing.T) {
	for _, detects := range []bool{true, false} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("duplicateDetection=%v/applied=%v", detects, applied), func(t *testing.T) {
				for at := 0; ; at++ {
					calls := 0
					synctest.Test(t, func(t *testing.T) { calls = cutTwoDays(t, at, applied, detects) })
					if at >= calls || t.Failed() {
						if at < 15 {
							t.Fatalf("only %d calls", at)
						}
						return
					}
				}
			})
		}
	}
}

func cutTwoDays(t *testing.T, at int, applied, detects bool) (calls int) {
	b := newFake(t, window(detects))
	monday, _ := b.twoDays("A")
	b.put("A", "later", "later", nil)
	b.kill("A", "ProcessedWithErrors")
	b.kill("A", "Drained")
	b.park("A", ledger.Draining, monday)
	b.fault = func(_ bustest.Call, n int) bustest.Fault {
		switch {
		case n < at:
			return bustest.Fault{}
		case n == at && applied:
			return bustest.Fault{Err: errCut}
		}
		return bustest.Fault{Skip: true, Err: errCut} // the connection stays away for the rest of this run
	}
	_, _ = Resubmit(t.Context(), b, Options{Source: q}) // cut
	calls = len(b.calls)
	b.fault = nil
	<-time.After(2 * time.Minute) // locks end, and so does the window of duplicate detection
	for range 4 {
		if _, err := Resubmit(t.Context(), b, Options{Source: q, Wait: 2 * time.Minute}); err != nil {
			t.Fatalf("cut at call %d, repeated: %v", at, err)
		}
	}
	got := b.bodies("A")
	if !slices.Equal(got, []string{"of Monday", "of Tuesday", "later"}) || len(b.dead()) != 0 {
		t.Errorf("cut at call %d: %v in the queue, %d dead letters", at, got, len(b.dead()))
	}
	return calls
}

// A release that named copies by the ID alone was cut after it had sent Monday's. The next one knows its copy, and does
// not take it for Tuesday's.
func TestACopyOfAnEarlierReleaseIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, window(false))
		monday, _ := b.twoDays("A")
		b.kill("A", "ProcessedWithErrors")
		b.kill("A", "Drained")
		b.put("A", "customers.csv~r1", "of Monday", map[string]any{
			contract.PropKey: "customers.csv", PropResubmits: int64(1),
			PropOriginalSequenceNumber: monday, PropResubmittedFrom: "q",
		})
		b.park("A", ledger.Draining, monday)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 2, Done: 1, Already: 1, Lifted: 1})
		equal(t, []string{"of Monday", "of Tuesday"}, b.bodies("A"))
	})
}

// Two sources may have the same ID at the same place. Their copies meet where both are sent.
func TestTheSamePlaceInTwoSourcesIsTwoCopies(t *testing.T) {
	a, b := contract.Source{Queue: "a"}, contract.Source{Queue: "b"}
	if resubmitted(a, "elsewhere", 1, 1) == resubmitted(b, "elsewhere", 1, 1) {
		t.Error("the copies of two sources have one name")
	}
	equal(t, resubmitted(a, "a", 1, 7), "~r1-7")
}

// Two files of one ID that are alive are told apart by their place, too.
func TestTwoWaitingFilesOfOneIDGoBehindTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, window(false))
		b.group("A", 1)
		b.twoDays("A")
		b.park("A", ledger.Draining, 1)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 1, Done: 1, Requeued: 2, Lifted: 1})
		equal(t, []string{"A1", "of Monday", "of Tuesday"}, b.bodies("A"))
	})
}

// In their second life the files of a group have new numbers in the queue and their old places in the order.
func TestAGroupGoesAsAWholeInItsSecondLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 4)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 4, Done: 4})
		first := b.queue()[0].Sequence
		b.kill("A", "ProcessedWithErrors")
		for range 3 {
			b.kill("A", "Drained")
		}
		b.put("A", "A-5", "A5", nil)
		b.park("A", ledger.Draining, first)

		var tr trail
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Audit: tr.add, Filter: Filter{To: first + 1}})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		if !b.parked("A") || len(b.dead()) != 4 {
			t.Fatalf("a part of the group went: %v, parked: %v", b.bodies("A"), b.parked("A"))
		}
		rep, err = Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 4, Done: 4, Requeued: 1, Lifted: 1})
		equal(t, names("A", 5), b.bodies("A"))
	})
}

// A part of the group never went back: the rest, which did and failed again, does not overtake it.
func TestASecondLifeDoesNotOvertakeWhatIsLeftOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 4)
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Filter: Filter{To: 2}})
		says(t, rep, err, Report{Selected: 2, Done: 2})
		first := b.queue()[0].Sequence
		b.kill("A", "ProcessedWithErrors")
		b.kill("A", "Drained")
		b.park("A", ledger.Draining, first)
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Filter: Filter{From: first}})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		rep, err = Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 4, Done: 4, Lifted: 1})
		equal(t, names("A", 4), b.bodies("A"))
	})
}

// The failed file of a second life is on its way back already. What died behind it is told by its number in the queue.
func TestAGroupGoesAsAWholeAlsoWithoutTheFileThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 3)
		rep, err := Resubmit(t.Context(), b, Options{Source: q})
		says(t, rep, err, Report{Selected: 3, Done: 3})
		first := b.queue()[0].Sequence
		for range 3 {
			b.kill("A", "Drained")
		}
		b.park("A", ledger.Draining, first)
		b.meddle(0, func(r *bustest.Receiver, m *azservicebus.ReceivedMessage) error {
			return r.Complete(t.Context(), m.LockToken)
		})
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Filter: Filter{To: first + 1}})
		says(t, rep, err, Report{Selected: 1, Blocked: 1})
	})
}

// The same over TCP, with the real SDK.
func TestServiceSendsTwoDeadLettersOfOneIDBack(t *testing.T) {
	clock := &laterClock{}
	w := start(t, func(o *servicebus.Options) { o.Clock = clock })
	for _, day := range []string{"of Monday", "of Tuesday"} {
		tx, err := w.client.NewSender("q", nil)
		if err != nil {
			t.Fatal(err)
		}
		m := &azservicebus.Message{MessageID: new("customers.csv"), SessionID: new("A"), Body: []byte(day)}
		if err := tx.SendMessage(t.Context(), m, nil); err != nil {
			t.Fatal(err)
		}
		_ = tx.Close(t.Context())
		w.kill(t, "q", "A", "NoRoute")
		clock.by.Add(int64(time.Hour)) // the window of duplicate detection is over
	}
	rep, err := Resubmit(t.Context(), w.svc, Options{Source: q})
	says(t, rep, err, Report{Selected: 2, Done: 2})
	equal(t, []string{"of Monday", "of Tuesday"}, w.waiting("q", "A"))
}

// laterClock is a clock that the test moves on.
type laterClock struct {
	broker.RealClock
	by atomic.Int64
}

func (c *laterClock) Now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

// The stages of an item are those of the drawing.
func TestAnItemGoesNoWayThatIsNotDrawn(t *testing.T) {
	for name, row := range map[string]struct {
		ways  []func(*item)
		legal bool
	}{
		"sent and completed":          {[]func(*item){(*item).begun, (*item).taken, (*item).ended}, true},
		"refused":                     {[]func(*item){(*item).begun, (*item).refused, (*item).ended}, true},
		"in doubt":                    {[]func(*item){(*item).begun, (*item).ended}, true},
		"of an earlier run":           {[]func(*item){(*item).recognised, (*item).ended}, true},
		"gone":                        {[]func(*item){(*item).ended}, true},
		"sent twice":                  {[]func(*item){(*item).begun, (*item).taken, (*item).begun}, false},
		"sent although there is one":  {[]func(*item){(*item).recognised, (*item).begun}, false},
		"taken without being sent":    {[]func(*item){(*item).taken}, false},
		"refused after it was taken":  {[]func(*item){(*item).begun, (*item).taken, (*item).refused}, false},
		"counted twice":               {[]func(*item){(*item).ended, (*item).ended}, false},
		"found after it was sent":     {[]func(*item){(*item).begun, (*item).recognised}, false},
		"goes on after it was ended":  {[]func(*item){(*item).ended, (*item).begun}, false},
		"refused without being asked": {[]func(*item){(*item).refused}, false},
	} {
		it := &item{}
		for _, f := range row.ways {
			f(it)
		}
		if legal := it.wrong == nil; legal != row.legal {
			t.Errorf("%s: %v", name, it.wrong)
		}
	}
}

// A way that is not drawn ends the run: nothing is guessed about the message.
func TestAWrongStageEndsTheRun(t *testing.T) {
	r := &run{}
	it := &item{}
	it.taken()
	if err := r.finish(&plan{items: []*item{it}}, it, OutcomeDone, nil); !errors.Is(err, it.wrong) || err == nil {
		t.Errorf("%v", err)
	}
}
