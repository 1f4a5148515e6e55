package inbound

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"

	"github.com/google/go-cmp/cmp"
)

// in runs a test of a world in a bubble.
func in(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

func wantStatuses(t *testing.T, w *world, id string, want ...status.Status) {
	t.Helper()
	if diff := cmp.Diff(want, w.topic.of(id)); diff != "" {
		t.Errorf("statuses of %s (-want +got):\n%s", id, diff)
	}
}

func wantLetter(t *testing.T, w *world, id string, reason failure.Reason) deadMessage {
	t.Helper()
	d, ok := w.letter(id)
	if !ok || d.reason != string(reason) {
		t.Errorf("dead letter of %s: found %v, reason %q, want %q", id, ok, d.reason, reason)
	}
	return d
}

func TestTwoLedgerWritesPerFileInTheSteadyState(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		const files = 100
		w.fno.takes = 10 * time.Millisecond
		w.route.Poll = Poll{Max: time.Second}
		w.fill(1, files, nil)
		w.start()
		w.drained()
		w.waitFor("the session to be released", func() bool { return w.b.free("Entity 0") })
		if r := w.check(); r.Processed != files {
			t.Errorf("%+v", r)
		}
		// The intent and the answer of each, and the last word before the session is released.
		if n := w.plan.calls("set state"); n > 2*files+1 {
			t.Errorf("%d ledger writes for %d files", n, files)
		}
	})
}

func TestLanesThatCompeteForRequestsWriteNoIntentsTwice(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		const sessions, files = 16, 40
		w.fno.takes = 10 * time.Millisecond
		w.route.Poll = Poll{Max: time.Second}
		w.requests = 2
		w.fill(sessions, files, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != sessions*files {
			t.Errorf("%+v", r)
		}
		if n := w.plan.calls("set state"); n > sessions*(2*files+2) {
			t.Errorf("%d ledger writes for %d files", n, sessions*files)
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		posts := 0
		w.fno.outage = func(_, op string) *http.Response {
			if op == "post" && posts < 8 {
				posts++
				return reply(http.StatusInternalServerError, "an exception")
			}
			return nil
		}
		w.fill(1, 2, nil)
		w.start()
		w.drained()
		r := w.check()
		d := wantLetter(t, w, "s0-f0", failure.ServerError)
		if d.props["fnobridge-attempts"] != int64(8) || r.Processed != 1 {
			t.Errorf("attempts %v, %+v", d.props["fnobridge-attempts"], r)
		}
	})
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		posts := 0
		w.fno.outage = func(_, op string) *http.Response {
			if op == "post" {
				if posts++; posts == 1 {
					return reply(http.StatusRequestEntityTooLarge, "too large")
				}
			}
			return nil
		}
		w.fill(1, 2, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 1 || posts != 2 {
			t.Errorf("%+v, %d posts", r, posts)
		}
		wantLetter(t, w, "s0-f0", failure.PayloadTooLarge)
	})
}

func TestACollisionOfImportsIsRetriedAndBadDataIsNot(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fill(1, 3, mixed)
		w.start()
		w.drained()
		w.check()
		wantStatuses(t, w, "s0-f0", status.Enqueued, status.Processing, status.Processed)
		wantStatuses(t, w, "s0-f1", status.Enqueued, status.Processing, status.ProcessedWithErrors, status.Retrying,
			status.Enqueued, status.Processing, status.Processed)
		wantStatuses(t, w, "s0-f2", status.Enqueued, status.Processing, status.ProcessedWithErrors, status.DeadLettered)
		d := wantLetter(t, w, "s0-f2", failure.ProcessedWithErrors)
		if !strings.Contains(d.detail, "the value is not valid") || !strings.Contains(fmt.Sprint(d.props["fnobridge-summary-url"]), "/summary/") {
			t.Errorf("the dead letter does not say why: %q %v", d.detail, d.props)
		}
	})
}

func TestAnImportThatNeverEndsIsItsOwnOutcome(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.send("Entity 0", "stuck", "never")
		w.send("Entity 0", "next", "good")
		w.fno.parallel = true
		began := time.Now()
		w.start()
		w.drained()
		w.check()
		wantLetter(t, w, "stuck", failure.NeverEnds)
		wantStatuses(t, w, "stuck", status.Enqueued, status.Processing, status.NeverEnds, status.DeadLettered)
		wantStatuses(t, w, "next", status.Enqueued, status.Processing, status.Processed)
		if d := time.Since(began); d < 2*time.Hour || d > 3*time.Hour {
			t.Errorf("took %s with a deadline of two hours", d)
		}
	})
}

func TestALongImportIsPostedOnceAndFollowedOverFreshReceivers(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.b.lock = 5 * time.Minute
		w.fno.takes = 90 * time.Minute
		w.fill(2, 1, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 2 || r.Unknown != 0 {
			t.Errorf("%+v", r)
		}
		wantStatuses(t, w, "s0-f0", status.Enqueued, status.Processing, status.Processed)
		if n := w.plan.calls("accept by id"); n < 2*10 {
			t.Errorf("%d fresh receivers in 90 minutes: a link must not idle for ten", n)
		}
		if w.fno.order != 2 {
			t.Errorf("%d imports", w.fno.order)
		}
		if raw := w.topic.raw; raw > 2*3+2*2 {
			t.Errorf("%d events were published for six transitions", raw)
		}
	})
}

func TestReceiversAreRefreshedWhateverTheyWaitFor(t *testing.T) {
	for what, prepare := range map[string]func(w *world){
		"an outage": func(w *world) {
			over := time.Now().Add(time.Hour)
			w.fno.outage = func(_, _ string) *http.Response {
				if time.Now().Before(over) {
					return reply(http.StatusUnauthorized, "")
				}
				return nil
			}
		},
		"the topic": func(w *world) {
			over := time.Now().Add(time.Hour)
			w.plan.pick = func(op string, _ int) faultKind {
				if op == "publish" && time.Now().Before(over) {
					return failsBefore
				}
				return ""
			}
		},
		"a backoff": func(w *world) {
			posts := 0
			w.fno.outage = func(_, op string) *http.Response {
				if posts++; op == "post" && posts == 1 {
					return reply(http.StatusInternalServerError, "", "Retry-After", "1500")
				}
				return nil
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.b.lock = 5 * time.Minute
				longest := time.Duration(0)
				w.b.held = func(d time.Duration) { longest = max(longest, d) }
				prepare(w)
				w.fill(1, 2, nil)
				w.start()
				w.drained()
				if r := w.check(); r.Processed != 2 {
					t.Errorf("%+v", r)
				}
				if longest > 9*time.Minute {
					t.Errorf("a receiver was held for %s", longest)
				}
			})
		})
	}
}

func TestWordsNobodyKnowsAreReportedAndWaitedOut(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.takes = time.Minute
		w.fno.words = []string{"Enqueued", "Hibernating", "Dreaming", "InProcess"}
		w.fill(1, 1, nil)
		w.start()
		w.drained()
		w.check()
		wantStatuses(t, w, "s0-f0", status.Enqueued, status.Unrecognised, status.Unrecognised, status.Processing, status.Processed)
		if raw := w.topic.list[2].FnoStatus; raw != "Dreaming" {
			t.Errorf("the second unknown word is %q", raw)
		}
	})
}

func TestAMessageWithoutARouteIsRejected(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.Match = contract.Pair{Entity: "Customers"}
		w.send("Vendors", "lost?", "a file")
		w.sendWith("Customers", "odd", "a file", map[string]any{contract.PropCompany: 7})
		w.sendWith("usmf/Customers", "right", "a file", nil)
		w.start()
		w.drained()
		w.end()
		wantLetter(t, w, "lost?", failure.NoRoute)
		wantLetter(t, w, "odd", failure.BadMessage)
		if _, ok := w.letter("right"); ok || w.posts("right") != 1 {
			t.Error("company/Entity did not find its route")
		}
	})
}

func TestAFileThatWasSettledBeforeIsOnlyCompleted(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fill(1, 2, nil)
		w.b.setState("Entity 0", []byte(`{"v":1,"settled":1}`))
		w.start()
		w.drained()
		w.end()
		if w.posts("s0-f0") != 0 || w.posts("s0-f1") != 1 {
			t.Errorf("posted %d and %d times", w.posts("s0-f0"), w.posts("s0-f1"))
		}
	})
}

func TestANewerLedgerIsLeftAlone(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions = 1
		state := `{"v":99,"files":[{"seq":1,"phase":"teleported"}]}`
		w.send("Entity 0", "other release", "a file")
		w.b.setState("Entity 0", []byte(state))
		w.send("Entity 1", "ours", "a file")
		w.start()
		w.waitFor("the other session", func() bool { return w.b.left() == 1 })
		pass(time.Hour)
		w.end()
		if got := string(w.b.stateOf("Entity 0")); got != state {
			t.Errorf("the state was changed to %s", got)
		}
		if len(w.topic.of("other release")) != 0 || w.posts("other release") != 0 {
			t.Error("something was done with the file")
		}
	})
}

func TestAnIdleSessionIsReleasedAndPickedUpAtOnce(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.takes = 0
		w.route.Poll = Poll{Max: time.Second}
		w.start()
		for n := range 50 {
			w.send("Entity 0", fmt.Sprintf("f%d", n), "good")
			began := time.Now()
			w.drained()
			if d := time.Since(began); d > 200*time.Millisecond {
				t.Errorf("file %d took %s", n, d)
			}
			w.waitFor("the session to be released", func() bool { return w.b.free("Entity 0") })
			if d := time.Since(began); d > 500*time.Millisecond {
				t.Errorf("the session was held for %s", d)
			}
			pass(time.Duration(n) * time.Second)
		}
		w.check()
	})
}

func TestAStopWhileFnoHangsLeavesAReport(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.Timeout, w.b.lock = time.Minute, 5*time.Minute
		w.plan.add("post", 2, hangs)
		w.fill(1, 3, nil)
		r := w.start()
		w.waitFor("the second post", func() bool { return w.b.left() == 2 })
		pass(time.Second)
		began := time.Now()
		w.stop(r)
		if d := time.Since(began); d < 25*time.Second || d > 27*time.Second {
			t.Errorf("the stop took %s with a grace period of 25 s", d)
		}
		if len(r.left) == 0 || r.left[0].MessageID != "s0-f1" || r.left[0].Phase != ledger.Posting {
			t.Errorf("left %+v", r.left)
		}
		w.start()
		w.drained()
		if rep := w.check(); rep.Unknown != 1 {
			t.Errorf("%+v", rep)
		}
	})
}

// Between two files nothing is announced: a stop right after a settlement whose answer was lost leaves no post behind that
// anybody could doubt.
func TestAStopBetweenTwoFilesLeavesNoDoubt(t *testing.T) {
	for _, text := range []string{"good", "bad"} {
		t.Run(text, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fill(1, 3, func(int, int) string { return text })
				r := w.start()
				lost := make(chan struct{})
				struck := false
				w.plan.mu.Lock()
				w.plan.pick = func(did string, _ int) faultKind {
					if did != map[string]string{"good": "complete", "bad": "dead-letter"}[text] || struck {
						return ""
					}
					struck = true
					r.stopTaking(errStopping)
					close(lost)
					return replyLost
				}
				w.plan.mu.Unlock()
				<-lost
				w.stop(r)
				for _, x := range r.left {
					if x.Phase == ledger.Posting {
						t.Errorf("left behind in doubt: %+v", x)
					}
				}
				w.start()
				w.drained()
				if rep := w.check(); rep.Unknown != 0 {
					t.Errorf("%+v", rep)
				}
			})
		})
	}
}

// The ledger has a bound: a window as wide as the configuration allows, of files with long IDs, and a file that takes so
// long that hundreds of others end behind it, fit in.
func TestTheLedgerHasRoom(t *testing.T) {
	long := strings.Repeat("i", 90)
	for name, c := range map[string]struct {
		window, files int
		first         string
	}{
		"a wide window":               {window: 100, files: 300, first: "a file"},
		"a slow file before the rest": {window: 3, files: 2200, first: "takes=20000 s"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.route.Window, w.route.Overlap, w.fno.parallel, w.fno.takes = c.window, true, true, time.Second
				w.route.Deadline = 40 * time.Hour
				for n := range c.files {
					body := "a file"
					if n == 0 {
						body = c.first
					}
					w.send("Entity 0", fmt.Sprintf("%s%04d", long, n), body)
				}
				w.start()
				w.drained()
				if r := w.check(); r.Processed != c.files {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

func TestAPublishOutageStopsSettlingAndIsWaitedOut(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		over := time.Now().Add(3 * time.Minute)
		w.plan.pick = func(op string, _ int) faultKind {
			if op == "publish" && time.Now().Before(over) {
				return failsBefore
			}
			return ""
		}
		w.fill(2, 3, nil)
		w.start()
		w.drained()
		if time.Now().Before(over) {
			t.Error("files left their queue before their transitions were published")
		}
		w.check()
	})
}
