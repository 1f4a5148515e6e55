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

func TestEveryFaultOfEveryCallKeepsThePromises(t *testing.T) {
	for _, call := range laneCalls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			fired := 0
			for _, kind := range faultKinds {
				for _, p := range policies {
					for workers := 1; workers <= 2; workers++ {
						for _, nth := range rows(1, 3) {
							name := fmt.Sprintf("%s/%s/%d workers/number %d", kind, p.name, workers, nth)
							t.Run(name, func(t *testing.T) {
								synctest.Test(t, func(t *testing.T) {
									w := prepare(t, p)
									a := w.plan.add(call, nth, kind)
									w.fill(2, 4, mixed)
									for range workers {
										w.start()
									}
									w.drained()
									checkUnknown(t, call, kind, w.check())
									if a.fired {
										fired++
									} else if nth == 1 {
										t.Error("the fault did not come about")
									}
								})
							})
						}
					}
				}
			}
			if fired == 0 && !t.Failed() {
				t.Errorf("no fault of %q came about: the row shows nothing", call)
			}
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
	case "receive", "set state", "renew", "complete", "dead-letter": // they lose the session, and may come while a post is under way
		most = 1
	default:
		if kind == lockLost && call != "publish" { // it may take every lock of the process, or come after an intent
			most = 1
		}
	}
	if r.Unknown > most {
		t.Errorf("%d files with an unknown outcome, at most %d is right", r.Unknown, most)
	}
}

func TestACrashAtEveryPointKeepsThePromises(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			fired := 0
			for _, p := range policies {
				for _, cut := range []bool{true, false} {
					for workers := 1; workers <= 2; workers++ {
						for _, nth := range rows(1, 4) {
							t.Run(fmt.Sprintf("%s/cut %v/%d workers/number %d", p.name, cut, workers, nth), func(t *testing.T) {
								synctest.Test(t, func(t *testing.T) {
									w := prepare(t, p)
									w.fill(2, 4, mixed)
									var first *running
									n := 0
									crashed := make(chan struct{})
									w.o.At = func(at string) {
										w.b.mu.Lock()
										hit := false
										if at == point {
											n++
											hit = n == nth
										}
										w.b.mu.Unlock()
										if hit {
											w.crash(first, cut)
											close(crashed)
										}
									}
									first = w.start()
									w.o.At = nil
									if workers == 2 {
										w.start()
									}
									done := make(chan struct{})
									w.wg.Go(func() {
										select {
										case <-crashed:
											fired++
											w.start()
										case <-done:
										}
									})
									w.drained()
									close(done)
									if r := w.check(); r.Unknown > 2 {
										t.Errorf("%d unknown outcomes for one crash with two sessions", r.Unknown)
									}
								})
							})
						}
					}
				}
			}
			if fired == 0 && !t.Failed() {
				t.Errorf("no crash at %q came about", point)
			}
		})
	}
}

func TestAStopAtEveryPointIsNoFailure(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			fired := 0
			for _, p := range policies {
				for _, nth := range rows(1, 4) {
					t.Run(fmt.Sprintf("%s/number %d", p.name, nth), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w := prepare(t, p)
							w.fill(2, 4, mixed)
							n := 0
							stop := make(chan struct{})
							w.o.At = func(at string) {
								w.b.mu.Lock()
								defer w.b.mu.Unlock()
								if at == point {
									if n++; n == nth {
										close(stop)
									}
								}
							}
							first := w.start()
							done := make(chan struct{})
							w.wg.Go(func() {
								select {
								case <-stop:
								case <-done:
									return
								}
								fired++
								began := time.Now()
								w.stop(first)
								if d := time.Since(began); d > 2*w.route.Timeout {
									t.Errorf("the stop took %s", d)
								}
								for _, x := range first.left {
									if x.Phase == ledger.Posting {
										t.Errorf("left behind in doubt: %+v", x)
									}
									if x.Why == "" || x.MessageID == "" || x.Session == "" {
										t.Errorf("the report does not say enough: %+v", x)
									}
								}
								w.start()
							})
							w.drained()
							close(done)
							if r := w.check(); r.Unknown > 0 {
								t.Errorf("%d unknown outcomes after a stop", r.Unknown)
							}
						})
					})
				}
			}
			if fired == 0 && !t.Failed() {
				t.Errorf("no stop at %q came about", point)
			}
		})
	}
}

// The report of a stop is read by people who decide by it: it goes by what the next owner of the session will find, also
// when the write that was under way did not arrive, or when nobody knows.
func TestTheReportOfAStopIsTrue(t *testing.T) {
	reports, doubts := 0, 0
	for _, p := range policies {
		for _, kind := range []faultKind{failsBefore, replyLost} {
			for nth := 1; nth <= 12; nth++ {
				t.Run(fmt.Sprintf("%s/%s/number %d", p.name, kind, nth), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := prepare(t, p)
						w.fill(1, 4, mixed)
						stop := make(chan struct{})
						first := w.start()
						w.plan.mu.Lock()
						w.plan.pick = func(op string, n int) faultKind {
							if op != "set state" || n != nth {
								return ""
							}
							first.stopTaking(errStopping)
							close(stop)
							return kind
						}
						w.plan.mu.Unlock()
						done := make(chan struct{})
						w.wg.Go(func() {
							select {
							case <-stop:
							case <-done:
								return
							}
							w.stop(first)
							l, err := ledger.Decode(w.b.stateOf("Entity 0"))
							if err != nil {
								t.Error(err)
							}
							for _, x := range first.left {
								reports++
								e := l.Find(x.Sequence)
								inDoubt := e != nil && e.Phase == ledger.Posting
								switch {
								case x.Phase == ledger.Posting:
									doubts++
								case strings.Contains(x.Why, "nobody knows whether") && !inDoubt:
								case inDoubt:
									t.Errorf("the next owner will not know whether F&O has it, and the report says %q: %s", x.Phase, x.Why)
								case e == nil && x.Phase != "", e != nil && e.Phase != ledger.Posting && x.Phase != e.Phase:
									t.Errorf("the next owner finds %+v, and the report says %q: %s", e, x.Phase, x.Why)
								}
							}
							w.start()
						})
						w.drained()
						close(done)
						w.check()
					})
				})
			}
		}
	}
	if reports < 50 || doubts == 0 || doubts > reports/2 {
		t.Errorf("%d reports, %d of them in doubt", reports, doubts)
	}
}
