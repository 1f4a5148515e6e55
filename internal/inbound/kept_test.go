package inbound

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"fnobridge/internal/bus/bustest"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
)

// A write of the ledger that takes long uses up lease. A post begins only with enough of it for all of the call.
func TestAPostHasLeaseForAllOfItsTimeAfterASlowWrite(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.Timeout = 24 * time.Second // of a lease of 27 s, of which the first read and the first write take 3.8
		w.b.Fault = func(c bustest.Call) bustest.Fault {
			if c.Op == bustest.OpGetState || c.Op == bustest.OpSetState {
				return bustest.Fault{Delay: 1900 * time.Millisecond}
			}
			return w.b.fault(c)
		}
		shortest := time.Hour
		w.o.At = func(at string) {
			if at != "before-post" {
				return
			}
			for _, s := range w.b.SessionsOf(theQueue) {
				if s.ID == "Entity 0" {
					shortest = min(shortest, time.Until(s.LockedUntil))
				}
			}
		}
		w.fill(1, 5, nil)
		w.start()
		w.drained()
		w.check()
		if margin := 3 * time.Second; shortest < w.route.Timeout+margin-10*time.Millisecond {
			t.Errorf("a post of up to %s began with %s of the lock left, %s of them margin", w.route.Timeout, shortest, margin)
		}
	})
}

// Whoever finds the post of another process takes it away from that before anything is said: it may still live, and own
// the session again with an answer.
func TestAPostIsTakenFromTheProcessThatBeganItBeforeItIsSaid(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		l := &ledger.Ledger{}
		e, _ := l.Admit(1, "s0-f0")
		e.Intended("another process", time.Now())
		state, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		w.b.setState("Entity 0", state)
		w.fill(1, 1, nil)
		at, said := w.visited("before-publish", 1, func() {
			found, err := ledger.Decode(w.b.stateOf("Entity 0"))
			if err != nil {
				t.Error(err)
				return
			}
			if e := found.Find(1); e == nil || e.By != "" {
				t.Errorf("said while the ledger says %+v", e)
			}
		})
		w.o.At = at
		w.start()
		<-said
		w.drained()
		w.end()
		wantLetter(t, w, "s0-f0", failure.UnknownOutcome)
	})
}

// A stop writes down the answer to a post that no lane could note: the process knows it, and nobody after it would.
func TestAStopWritesDownTheAnswerThatOnlyThisProcessKnows(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.plan.add("set state", 2, failsBefore) // the answer; the session is lost with it
		first := w.start()
		w.plan.mu.Lock()
		w.plan.pick = func(op string, n int) faultKind {
			if op == "get state" && n == 2 { // the next lane of the same process has only just begun
				first.stopTaking(errStopping)
			}
			return ""
		}
		w.plan.mu.Unlock()
		w.fill(1, 1, nil)
		<-first.done
		w.start()
		w.drained()
		if r := w.check(); r.Unknown != 0 || r.Processed != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// An order that was given before a file was held was meant for another one.
func TestAnOrderFromBeforeTheHoldIsThrownAway(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.OnFailure = OnFailureHold
		w.order("Entity 0", ledger.Skip)
		pass(10 * time.Minute)
		w.send("Entity 0", "held", "bad")
		w.start()
		pass(time.Hour)
		if _, dead := w.letter("held"); dead || !slices.Contains(w.topic.of("held"), status.Held) {
			t.Errorf("dead-lettered %v, statuses %v", dead, w.topic.of("held"))
		}
		w.order("Entity 0", ledger.Skip)
		w.drained()
		w.check()
		wantLetter(t, w, "held", failure.OperatorSkipped)
	})
}

// unknownOutcome: resend is a retry, and bounded like one.
func TestAFileIsNotSentAgainForEverWhereEveryAnswerIsLost(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.ResendUnknown = true
		w.fno.parallel = true
		w.plan.pick = func(op string, _ int) faultKind {
			if op == "post" {
				return replyLost
			}
			return ""
		}
		w.send("Entity 0", "f", "good")
		w.start()
		w.drained()
		w.end()
		wantLetter(t, w, "f", failure.UnknownOutcome)
		if n, want := w.posts("f"), w.route.Retry.Default.Attempts; n != want {
			t.Errorf("posted %d times, the route allows %d", n, want)
		}
	})
}

// What is in a ledger is not kept in memory as well.
func TestThePostsOfAProcessAreForgottenOnceTheyAreWrittenDown(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.plan.add("post", 3, replyLost)
		w.plan.add("set state", 9, failsBefore)
		w.fill(3, 5, mixed)
		p := w.start()
		w.drained()
		w.waitFor("the sessions to be released", func() bool {
			return !slices.ContainsFunc([]string{"Entity 0", "Entity 1", "Entity 2"}, func(id string) bool { return !w.b.free(id) })
		})
		w.check()
		if n := len(p.w.flights.open); n != 0 {
			t.Errorf("%d posts are remembered after all is done", n)
		}
	})
}

// A session that has nothing left makes room at once while others wait for a slot, and stays a while otherwise.
func TestAnIdleSessionMakesRoomWhileOthersWait(t *testing.T) {
	for sessions, want := range map[int]bool{1: true, 8: false} {
		t.Run(fmt.Sprintf("%d slots", sessions), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.o.Sessions, w.o.Idle = sessions, 30*time.Second
				longest := time.Duration(0)
				var mu sync.Mutex // lanes end at the same time
				w.b.held = func(d time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					longest = max(longest, d)
				}
				w.fill(4, 1, nil)
				w.start()
				began := time.Now()
				w.drained()
				took := time.Since(began)
				pass(10 * time.Minute)
				w.check()
				if hurried := took < w.o.Idle && longest < w.o.Idle; want && took > w.o.Idle || !want && hurried {
					t.Errorf("4 sessions took %s, one was kept %s", took, longest)
				}
			})
		})
	}
}
