package inbound

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
)

// crashAt makes a world whose first process dies at the nth visit of a point. The function it gives waits for that and
// brings up the next process; it reports whether the crash came before the queue was empty.
func (w *world) crashAt(point string, nth int, cut bool) (next func() bool) {
	n := 0
	var first *running
	crashed, done := make(chan struct{}), make(chan struct{})
	w.o.At = func(at string) {
		w.b.mu.Lock()
		if at == point {
			n++
		}
		hit := at == point && n == nth
		w.b.mu.Unlock()
		if hit {
			w.crash(first, cut)
			close(crashed)
		}
	}
	first = w.start()
	w.o.At = nil
	w.wg.Go(func() {
		ctx := w.t.Context()
		_ = w.b.await(ctx, func() bool { return w.b.left() == 0 })
		close(done)
	})
	return func() bool {
		select {
		case <-crashed:
			w.start()
			return true
		case <-done:
			return false
		}
	}
}

// With one session it is known what was under way at each point, and so when an outcome may be unknown: from the intent
// to its record, and nowhere else.
func TestACrashLeavesADoubtOnlyWhereThereIsOne(t *testing.T) {
	doubt := map[string]bool{"before-post": true, "posted": true, "ledger-written": true}
	for _, point := range points {
		for nth := 1; nth <= 12; nth++ {
			t.Run(fmt.Sprintf("%s, number %d", point, nth), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.fill(1, 6, mixed)
					next := w.crashAt(point, nth, true)
					if !next() && nth == 1 {
						t.Error("no crash")
					}
					w.drained()
					r := w.check()
					most := 0
					if doubt[point] {
						most = 1
					}
					if r.Unknown > most {
						t.Errorf("%d unknown outcomes, at most %d is right", r.Unknown, most)
					}
				})
			})
		}
	}
}

// A broker or a client that hands a message out behind its successor breaks the order, and nobody can mend that. The lane
// starts over with a fresh receiver, whose order is the broker's again; the file that comes too late is dead-lettered by
// its name, never completed unread.
func TestAMessageOutOfOrderStartsTheSessionOver(t *testing.T) {
	for late := int64(1); late <= 5; late++ {
		t.Run(fmt.Sprintf("message %d", late), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				skipped, over := false, 0
				w.b.skips = func(seq int64) bool {
					if seq != late || skipped {
						return false
					}
					skipped = true
					return true
				}
				w.b.held = func(time.Duration) {
					if w.b.left() > 0 {
						over++
					}
				}
				w.fill(1, 6, nil)
				w.start()
				w.drained()
				if w.end(); over != 1 {
					t.Errorf("started over %d times", over)
				}
				for n := range 6 {
					id := fmt.Sprintf("s0-f%d", n)
					if int64(n+1) == late {
						wantLetter(t, w, id, failure.OutOfOrder)
					} else if !slices.Contains(w.topic.of(id), status.Processed) {
						t.Errorf("%s was not processed: %v", id, w.topic.of(id))
					}
				}
			})
		})
	}
}

func TestARejectionThatWasHeardIsNotForgotten(t *testing.T) {
	for _, point := range []string{"before-publish", "published", "before-dead-letter"} {
		t.Run(point, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fno.outage = func(_, op string) *http.Response {
					if op == "post" {
						return reply(http.StatusRequestEntityTooLarge, "too large")
					}
					return nil
				}
				w.fill(1, 1, nil)
				next := w.crashAt(point, 1, true)
				if !next() {
					t.Fatal("no crash")
				}
				w.drained()
				if r := w.check(); r.Unknown != 0 {
					t.Errorf("%+v", r)
				}
				wantLetter(t, w, "s0-f0", failure.PayloadTooLarge)
			})
		})
	}
}

func TestAStopDuringATopicOutageSettlesNothing(t *testing.T) {
	for first := 1; first <= 5; first++ { // the publish with which the outage begins
		for _, text := range []string{"good", "bad"} {
			t.Run(fmt.Sprintf("%s, from publish %d", text, first), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					var from time.Time
					w.plan.pick = func(op string, n int) faultKind {
						if op != "publish" || n < first {
							return ""
						}
						if from.IsZero() {
							from = time.Now()
						}
						if time.Since(from) < 3*time.Minute {
							return failsBefore
						}
						return ""
					}
					w.send("Entity 0", "a", text)
					r := w.start()
					pass(time.Minute)
					w.stop(r)
					w.start()
					w.drained()
					w.check()
				})
			})
		}
	}
}

func TestADeadlineThatWasToldIsNotTakenBack(t *testing.T) {
	for _, point := range []string{"before-publish", "published", "ledger-written", "before-dead-letter"} {
		for nth := 1; nth <= 6; nth++ {
			t.Run(fmt.Sprintf("%s, number %d", point, nth), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.b.lock = 5 * time.Minute
					w.send("Entity 0", "slow", "takes=7300") // a little longer than the deadline
					next := w.crashAt(point, nth, true)
					pass(2*time.Hour + 5*time.Minute)
					next()
					w.drained()
					w.check()
				})
			})
		}
	}
}

func TestACrashAroundAHoldHidesNothing(t *testing.T) {
	for _, point := range []string{"before-publish", "published", "ledger-written"} {
		for nth := 1; nth <= 12; nth++ {
			t.Run(fmt.Sprintf("%s, number %d", point, nth), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.route.OnFailure = OnFailureHold
					w.route.ResendUnknown, w.fno.parallel = true, true
					w.operator(ledger.Release)
					w.send("Entity 0", "first", "good")
					w.send("Entity 0", "second", "bad mended")
					w.send("Entity 0", "third", "good")
					next := w.crashAt(point, nth, true)
					if !next() && nth == 1 {
						t.Error("no crash")
					}
					w.drained()
					w.check()
					got := w.topic.of("second")
					if r := slices.Index(got, status.Released); r >= 0 && (r == 0 || got[r-1] != status.Held) {
						t.Errorf("statuses of the held file: %v", got)
					}
					if !slices.Contains(got, status.Held) && w.posts("second") < 3 {
						t.Errorf("nobody was told that the file is held: %v", got)
					}
				})
			})
		}
	}
}

// The answer to a post must come, or be given up, before the broker can hand the session to somebody else.
func TestAPostNeverOutlivesItsLease(t *testing.T) {
	for post := 4 * time.Second; post < 20*time.Second; post += 3 * time.Second {
		for nth := 1; nth <= 6; nth++ {
			t.Run(fmt.Sprintf("posts of %s, renewal %d fails", post, nth), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.o.Sessions, w.o.Accepts = 1, 1 // so that only the other process can take the session
					w.route.Timeout = 20 * time.Second
					w.route.ResendUnknown = true
					w.fno.post, w.fno.takes = post, 100*time.Millisecond
					w.route.Poll = Poll{First: 200 * time.Millisecond, Max: time.Second}
					w.plan.add("renew", nth, failsBefore)
					w.fill(1, 6, nil)
					w.start()
					w.start()
					w.drained()
					w.check()
				})
			})
		}
	}
}

func TestAnAnswerOnItsWayIsHeardByTheNextLaneOfTheProcess(t *testing.T) {
	for call, nth := range map[string]int{
		"set state": 3, // which records the second post
		"post":      2, // while the second post is on its way
	} {
		t.Run(call, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fno.post = 3 * time.Second
				w.plan.pick = func(op string, n int) faultKind {
					if op == call && n == nth {
						w.plan.pick = nil
						return lockLost
					}
					return ""
				}
				w.fill(1, 4, nil)
				w.start()
				w.drained()
				if r := w.check(); r.Unknown != 0 || w.fno.order != 4 {
					t.Errorf("%d imports, %+v", w.fno.order, r)
				}
				if len(w.plan.log) == 0 {
					t.Error("the lock was never lost")
				}
			})
		})
	}
}

func TestTheStricterOfTwoRoutesDecides(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.parallel = true
		w.routes = func(_ *running, standard Route) []*Route {
			loose := standard
			loose.Name, loose.Match, loose.Overlap, loose.Window = "loose", contract.Pair{Company: "loos"}, true, 3
			return []*Route{&loose, &standard}
		}
		for n := range 12 {
			company := "loos"
			if n%4 == 2 {
				company = "tigh"
			}
			w.sendWith("Entity 0", fmt.Sprintf("f%02d", n), "good", map[string]any{contract.PropCompany: company})
		}
		w.route.Window = 3 // means nothing without overlap
		w.start()
		w.drained()
		w.end()
		imports := w.fno.recorded()
		most := 0
		for n, i := range imports {
			running := 0
			for m, o := range imports {
				if m != n && !o.Accepted.After(i.Accepted) && o.Ended.After(i.Accepted) {
					running++
				}
			}
			most = max(most, running)
			if tight := i.ExternalID[1:] == "02" || i.ExternalID[1:] == "06" || i.ExternalID[1:] == "10"; tight && running > 0 {
				t.Errorf("%s was posted while %d others ran", i.ExternalID, running)
			}
		}
		if most != 2 {
			t.Errorf("at most %d files ran beside another, want 2", most)
		}
	})
}

func TestAPublishedTransitionIsNotPublishedAgainByARestart(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.takes = time.Hour
		w.fill(1, 1, nil)
		for range 5 {
			r := w.start()
			pass(5 * time.Minute)
			w.stop(r)
		}
		w.start()
		w.drained()
		w.check()
		wantStatuses(t, w, "s0-f0", status.Enqueued, status.Processing, status.Processed)
		if w.topic.raw != 3 {
			t.Errorf("%d events for three transitions", w.topic.raw)
		}
	})
}
