package inbound

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/history"
	"fnobridge/internal/ledger"
)

// laneCalls are the external calls of a lane.
var laneCalls = []string{
	"accept", "accept by id", "receive", "get state", "set state", "renew", "post", "GetMessageStatus", "GetExecutionIdByMessageId",
	"GetExecutionErrors", "GetExecutionSummaryPageUrl", "publish", "complete", "dead-letter", "open payload",
}

var long = flag.Bool("long", false, "run the long forms of the matrix and of the random schedules")

// rows returns which occurrences of a call or a point are hit: some, or with -long the first eight.
func rows(some ...int) []int {
	if *long {
		return []int{1, 2, 3, 4, 5, 6, 7, 8}
	}
	return some
}

// vary returns each row once with every value, which set puts into it.
func vary[R, V any](rows []R, values []V, set func(*R, V)) []R {
	var all []R
	for _, r := range rows {
		for _, v := range values {
			row := r
			set(&row, v)
			all = append(all, row)
		}
	}
	return all
}

// points are the names that At is called with.
var points = []string{
	"ledger-written", "before-post", "posted", "status-read", "before-publish", "published", "before-dead-letter",
	"dead-lettered", "before-complete", "completed",
}

// A rowPolicy is a row's route.
type rowPolicy struct {
	name string
	set  func(*world)
}

var policies = []rowPolicy{
	{"processed, dead-letter unknown", func(*world) {}},
	{"processed, resend unknown", func(w *world) { w.route.ResendUnknown = true }},
	{"enqueued, window 3", func(w *world) {
		w.route.Overlap, w.route.Window, w.route.ResendUnknown, w.fno.parallel = true, 3, true, true
	}},
	{"processed, drain", func(w *world) { w.route.OnFailure = OnFailureDrain }},
	{"processed, hold", func(w *world) {
		w.route.OnFailure = OnFailureHold
		w.operator(ledger.Skip)
	}},
}

// mixed returns files of which some fail for good, one for a passing reason, and the rest pass.
func mixed(_, f int) string {
	switch f {
	case 1:
		return "deadlock"
	case 2:
		return "bad"
	}
	return "good"
}

// prepare makes a world in which every call of the lane is made more than once: imports take longer than half a lease,
// and receivers are refreshed.
func prepare(t *testing.T, p rowPolicy) *world {
	w := newWorld(t)
	w.fno.takes = 25 * time.Second
	w.o.Refresh = 40 * time.Second
	p.set(w)
	return w
}

// A matrixRow is one run of a world: what goes wrong, when, and for whom. A test uses the fields that it names.
type matrixRow struct {
	policy  rowPolicy
	kind    faultKind
	cut     bool // the broker notices a crash at once
	workers int
	nth     int // occurrence of the call or the point
}

func (r *matrixRow) setPolicy(p rowPolicy) { r.policy = p }
func (r *matrixRow) setKind(k faultKind)   { r.kind = k }
func (r *matrixRow) setCut(cut bool)       { r.cut = cut }
func (r *matrixRow) setWorkers(n int)      { r.workers = n }
func (r *matrixRow) setNth(n int)          { r.nth = n }

// policyRows returns a row for every policy.
func policyRows() []matrixRow {
	return vary([]matrixRow{{workers: 1}}, policies, (*matrixRow).setPolicy)
}

func faultRows() []matrixRow {
	all := vary(policyRows(), faultKinds, (*matrixRow).setKind)
	all = vary(all, []int{1, 2}, (*matrixRow).setWorkers)
	return vary(all, rows(1, 3), (*matrixRow).setNth)
}

func crashRows() []matrixRow {
	all := vary(policyRows(), []bool{true, false}, (*matrixRow).setCut)
	all = vary(all, []int{1, 2}, (*matrixRow).setWorkers)
	return vary(all, rows(1, 4), (*matrixRow).setNth)
}

func stopRows() []matrixRow { return vary(policyRows(), rows(1, 4), (*matrixRow).setNth) }

func reportRows() []matrixRow {
	all := vary(policyRows(), []faultKind{failsBefore, replyLost}, (*matrixRow).setKind)
	return vary(all, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, (*matrixRow).setNth)
}

// every runs test in a bubble for every row, and fails when what test is about came about in none of them: the rows
// would show nothing.
func every(t *testing.T, what string, all []matrixRow, test func(t *testing.T, r matrixRow) (cameAbout bool)) {
	t.Helper()
	n := 0
	for _, r := range all {
		name := fmt.Sprintf("%s/%s/cut %v/%d workers/number %d", r.policy.name, r.kind, r.cut, r.workers, r.nth)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test(t, r) {
					n++
				}
			})
		})
	}
	if n == 0 && !t.Failed() {
		t.Errorf("%s came about in none of %d rows", what, len(all))
	}
}

func TestEveryFaultOfEveryCallKeepsThePromises(t *testing.T) {
	for _, call := range laneCalls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			every(t, "a fault of "+call, faultRows(), func(t *testing.T, r matrixRow) bool {
				w := prepare(t, r.policy)
				a := w.plan.add(call, r.nth, r.kind)
				w.fill(2, 4, mixed)
				for range r.workers {
					w.start()
				}
				w.drained()
				checkUnknown(t, call, r.kind, w.check())
				if !a.fired && r.nth == 1 {
					t.Error("the fault did not come about")
				}
				return a.fired
			})
		})
	}
}

// checkUnknown allows one unknown outcome, and only where nobody can know: the answer to a post was lost or did not come,
// or the session went to another process while the answer was awaited or not yet written down.
func checkUnknown(t *testing.T, call string, kind faultKind, r history.Report) {
	t.Helper()
	most := 0
	switch call {
	case "post":
		if kind != failsBefore {
			most = 1
		}
	case "set state", "renew": // they lose the session, and may come while a post is under way or its answer is not noted
		most = 1
	case "receive", "complete", "dead-letter": // they lose it between two posts
	default:
		if kind == lockLost && call != "publish" { // it may take every lock of the process, or come after an intent
			most = 1
		}
	}
	if r.Unknown > most {
		t.Errorf("%d files with an unknown outcome, at most %d is right", r.Unknown, most)
	}
}

// visited returns what At is to be, and a channel that is closed at the nth visit of a point, once then was called.
func (w *world) visited(point string, nth int, then func()) (at func(string), visited <-chan struct{}) {
	n := 0
	here := make(chan struct{})
	return func(at string) {
		w.b.mu.Lock()
		if at == point {
			n++
		}
		hit := at == point && n == nth
		w.b.mu.Unlock()
		if hit {
			then()
			close(here)
		}
	}, here
}

// drainedUnless waits until the queue is empty. Meanwhile, when happens is closed, do is called. It reports whether it
// was.
func (w *world) drainedUnless(happens <-chan struct{}, do func()) (happened bool) {
	w.t.Helper()
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-happens:
			happened = true
			do()
		case <-done:
		}
	}()
	func() {
		defer close(done) // also when the test ends here
		w.drained()
	}()
	<-over
	return happened
}

func TestACrashAtEveryPointKeepsThePromises(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			every(t, "a crash at "+point, crashRows(), func(t *testing.T, r matrixRow) bool {
				w := prepare(t, r.policy)
				w.fill(2, 4, mixed)
				var first *running
				at, crashed := w.visited(point, r.nth, func() { w.crash(first, r.cut) })
				w.o.At = at
				first = w.start()
				w.o.At = nil
				for range r.workers - 1 {
					w.start()
				}
				happened := w.drainedUnless(crashed, func() { w.start() })
				if rep := w.check(); rep.Unknown > 2 {
					t.Errorf("%d unknown outcomes for one crash with two sessions", rep.Unknown)
				}
				return happened
			})
		})
	}
}

func TestAStopAtEveryPointIsNoFailure(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			every(t, "a stop at "+point, stopRows(), func(t *testing.T, r matrixRow) bool {
				w := prepare(t, r.policy)
				w.fill(2, 4, mixed)
				at, stop := w.visited(point, r.nth, func() {})
				w.o.At = at
				first := w.start()
				happened := w.drainedUnless(stop, func() {
					began := time.Now()
					w.stop(first)
					if d := time.Since(began); d > 2*w.route.Timeout {
						t.Errorf("the stop took %s", d)
					}
					checkLeft(t, first.left)
					w.start()
				})
				if rep := w.check(); rep.Unknown > 0 {
					t.Errorf("%d unknown outcomes after a stop", rep.Unknown)
				}
				return happened
			})
		})
	}
}

// checkLeft looks at the report of a stop that nothing has disturbed.
func checkLeft(t *testing.T, left []Left) {
	t.Helper()
	for _, x := range left {
		if x.Phase == ledger.Posting {
			t.Errorf("left behind in doubt: %+v", x)
		}
		if x.Why == "" || x.MessageID == "" || x.Session == "" {
			t.Errorf("the report does not say enough: %+v", x)
		}
	}
}

// The report of a stop is read by people who decide by it: it goes by what the next owner of the session will find, also
// when the write that was under way did not arrive, or when nobody knows.
func TestTheReportOfAStopIsTrue(t *testing.T) {
	reports, doubts := 0, 0
	every(t, "a stop with a fault", reportRows(), func(t *testing.T, r matrixRow) bool {
		w := prepare(t, r.policy)
		w.fill(1, 4, mixed)
		stop := make(chan struct{})
		first := w.start()
		w.plan.mu.Lock()
		w.plan.pick = func(op string, n int) faultKind {
			if op != "set state" || n != r.nth {
				return ""
			}
			first.stopTaking(errStopping)
			close(stop)
			return r.kind
		}
		w.plan.mu.Unlock()
		happened := w.drainedUnless(stop, func() {
			w.stop(first)
			reports += len(first.left)
			doubts += w.checkReport(first.left)
			w.start()
		})
		w.check()
		return happened
	})
	if reports < 50 || doubts == 0 || doubts > reports/2 {
		t.Errorf("%d reports, %d of them in doubt", reports, doubts)
	}
}

// checkReport holds the report of a stop against what the next owner of the session will find. It returns how many files
// are reported as in doubt.
func (w *world) checkReport(left []Left) (doubts int) {
	w.t.Helper()
	l, err := ledger.Decode(w.b.stateOf("Entity 0"))
	if err != nil {
		w.t.Error(err)
		return 0
	}
	for _, x := range left {
		e := l.Find(x.Sequence)
		inDoubt := e != nil && e.Phase == ledger.Posting
		switch {
		case x.Phase == ledger.Posting:
			doubts++
		case strings.Contains(x.Why, "nobody knows whether") && !inDoubt:
		case inDoubt:
			w.t.Errorf("the next owner will not know whether F&O has it, and the report says %q: %s", x.Phase, x.Why)
		case e == nil && x.Phase != "", e != nil && e.Phase != ledger.Posting && x.Phase != e.Phase:
			w.t.Errorf("the next owner finds %+v, and the report says %q: %s", e, x.Phase, x.Why)
		}
	}
	return doubts
}
