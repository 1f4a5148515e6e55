package inbound

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
)

func TestACorruptLedgerWaitsForAnOrder(t *testing.T) {
	const garbage = "\x00not a ledger"
	for _, window := range []int{1, 3} {
		for _, resend := range []bool{false, true} {
			for _, do := range []ledger.Do{ledger.Release, ledger.Skip} {
				t.Run(fmt.Sprintf("%s, resend %v, window %d", do, resend, window), func(t *testing.T) {
					in(t, func(t *testing.T, w *world) {
						w.o.Sessions = 1
						w.route.ResendUnknown = resend
						w.route.Window, w.route.Overlap, w.fno.parallel = window, window > 1, window > 1
						w.fill(1, 5, nil)
						w.b.setState("Entity 0", []byte(garbage))
						w.send("Entity 1", "other", "a file")
						r := w.start()
						w.waitFor("the other session", func() bool { return w.b.left() == 5 })
						pass(time.Hour)
						if n := w.posts("s0-f0"); n != 0 || string(w.b.stateOf("Entity 0")) != garbage {
							t.Fatalf("%d posts, state %q", n, w.b.stateOf("Entity 0"))
						}
						if raw := w.topic.raw; raw != 1+3 {
							t.Errorf("%d events in an hour, want the other session's three and one Held", raw)
						}
						if v := r.w.Sessions(); len(v) != 1 || v[0].Reason != failure.LedgerUnusable {
							t.Errorf("view %+v", v)
						}
						w.order("Entity 0", do)
						w.drained()
						rep := w.check()
						if got := string(w.b.stateOf(ledger.AsideSession("Entity 0"))); got != garbage {
							t.Errorf("kept aside: %q", got)
						}
						doubted := window
						if do == ledger.Skip {
							doubted--
							wantLetter(t, w, "s0-f0", failure.LedgerUnusable)
						} else if !resend {
							wantLetter(t, w, "s0-f0", failure.LedgerUnusable)
						}
						if rep.Unknown != doubted {
							t.Errorf("%d files in doubt, want %d", rep.Unknown, doubted)
						}
						if wantDead := map[bool]int{true: 0, false: window}[resend]; do == ledger.Release && rep.DeadLettered != wantDead {
							t.Errorf("%d dead letters, want %d", rep.DeadLettered, wantDead)
						}
					})
				})
			}
		}
	}
}

func TestAHeldSessionWaitsForAnOrder(t *testing.T) {
	for _, do := range []ledger.Do{ledger.Release, ledger.Skip} {
		t.Run(string(do), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.o.Sessions = 1
				w.route.OnFailure = OnFailureHold
				w.send("Entity 0", "first", "good")
				w.send("Entity 0", "second", "bad mended")
				w.send("Entity 0", "third", "good")
				r := w.start()
				w.waitFor("the session to be held", func() bool { return w.b.left() == 2 })
				pass(time.Minute)
				w.send("Entity 1", "other", "good")
				w.waitFor("another session to be served meanwhile", func() bool { return w.b.left() == 2 })
				pass(time.Hour)
				if w.posts("third") != 0 || w.posts("second") != 1 {
					t.Fatalf("posted: second %d, third %d", w.posts("second"), w.posts("third"))
				}
				wantStatuses(t, w, "second", status.Enqueued, status.Processing, status.ProcessedWithErrors, status.Held)
				v := r.w.Sessions()
				if len(v) != 1 || v[0].Parked != ledger.Holding || v[0].Reason != failure.ProcessedWithErrors {
					t.Errorf("view %+v", v)
				}
				raw := w.topic.raw
				w.order("Entity 0", do)
				w.drained()
				w.check()
				if raw != 3+4+3 {
					t.Errorf("%d events published while held", raw)
				}
				if do == ledger.Skip {
					wantLetter(t, w, "second", failure.OperatorSkipped)
					return
				}
				wantStatuses(t, w, "second", status.Enqueued, status.Processing, status.ProcessedWithErrors, status.Held,
					status.Released, status.Enqueued, status.Processing, status.Processed)
			})
		})
	}
}

func TestAFileThatIsHeldAgainSaysSoAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.OnFailure = OnFailureHold
		w.sendWith("Entity 0", "odd", "good", map[string]any{contract.PropCompany: "far too long"})
		w.start()
		pass(time.Minute)
		w.order("Entity 0", ledger.Release)
		pass(time.Minute)
		w.order("Entity 0", ledger.Skip)
		w.drained()
		w.check()
		wantStatuses(t, w, "odd", status.Held, status.Released, status.Held, status.DeadLettered)
	})
}

func TestFilesOfAWindowAreHeldInTheirOrder(t *testing.T) {
	// Each import takes its own time, so that they fail in every order.
	for _, bad := range [][]int{{0, 1}, {1, 0}, {0, 2}, {2, 0}, {1, 2}, {2, 1}, {0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, crash %v", bad, crash), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.route.OnFailure, w.route.Overlap, w.route.Window, w.fno.parallel = OnFailureHold, true, 3, true
					for f := range 5 {
						text := "good"
						if at := slices.Index(bad, f); at >= 0 {
							text = fmt.Sprintf("bad mended takes=%d", 10+10*at)
						}
						w.send("Entity 0", fmt.Sprintf("f%d", f), text)
					}
					r := w.start()
					for range bad {
						pass(10 * time.Minute)
						if crash {
							w.crash(r, true)
							r = w.start()
							pass(time.Minute)
						}
						w.order("Entity 0", ledger.Release)
					}
					w.drained()
					if rep := w.check(); rep.Processed != 5 || rep.Unknown != 0 {
						t.Errorf("%+v", rep)
					}
					var released []string
					for _, e := range w.topic.list {
						if e.Status == status.Released {
							released = append(released, e.MessageID)
						}
					}
					if len(released) != len(bad) || !slices.IsSorted(released) {
						t.Errorf("released %v", released)
					}
					for _, f := range bad {
						if n := w.posts(fmt.Sprintf("f%d", f)); n != 2 {
							t.Errorf("f%d was posted %d times", f, n)
						}
					}
				})
			})
		}
	}
}

func TestADrainedSessionIsDeadLetteredInOrderUntilReleased(t *testing.T) {
	for _, window := range []int{1, 3} {
		t.Run(fmt.Sprintf("window %d", window), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.route.OnFailure = OnFailureDrain
				w.route.Window, w.route.Overlap, w.fno.parallel = window, window > 1, window > 1
				w.send("Entity 0", "a", "good")
				w.send("Entity 0", "b", "bad")
				for _, id := range []string{"c", "d", "e", "f", "g"} {
					w.send("Entity 0", id, "good")
				}
				w.start()
				w.drained()
				pass(time.Minute)
				w.send("Entity 0", "late", "good")
				w.drained()
				w.order("Entity 0", ledger.Release)
				w.send("Entity 0", "after", "good")
				w.drained()
				w.check()
				wantLetter(t, w, "b", failure.ProcessedWithErrors)
				for _, id := range []string{"f", "g", "late"} {
					wantLetter(t, w, id, failure.Drained)
				}
				if window == 1 {
					wantLetter(t, w, "c", failure.Drained)
				}
				var order []string
				for _, d := range w.b.dead {
					order = append(order, d.id)
				}
				if !slices.IsSorted(order[:len(order)-1]) {
					t.Errorf("dead-lettered in the order %v", order)
				}
				wantStatuses(t, w, "after", status.Enqueued, status.Processing, status.Processed)
			})
		})
	}
}

// What is said of an attempt is of that attempt: after a release the import of the first one is over.
func TestASecondAttemptDoesNotCarryTheExecutionOfTheFirst(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.route.OnFailure = OnFailureHold
		w.plan.add("post", 2, replyLost)
		w.send("Entity 0", "odd", "bad")
		w.start()
		pass(time.Minute)
		w.order("Entity 0", ledger.Release)
		pass(time.Minute)
		w.order("Entity 0", ledger.Skip)
		w.drained()
		w.end()
		first := ""
		for _, e := range w.topic.list {
			switch {
			case e.Attempt == 1 && e.ExecutionID != "":
				first = e.ExecutionID
			case e.Attempt == 2 && e.ExecutionID != "":
				t.Errorf("%s of attempt 2 carries execution %s; attempt 1 had %s", e.Status, e.ExecutionID, first)
			}
		}
		d := wantLetter(t, w, "odd", failure.OperatorSkipped)
		if first == "" || d.props["fnobridge-execution-id"] != nil {
			t.Errorf("execution of attempt 1 %q, of the dead letter %v", first, d.props["fnobridge-execution-id"])
		}
	})
}
