package inbound

import (
	"fmt"
	"testing"
	"time"
)

// What the broker refuses for a while is not asked for hundreds of times a second.
func TestAServerThatIsBusyIsLeftAlone(t *testing.T) {
	for _, op := range []string{"accept", "get state", "set state", "receive"} {
		t.Run(op, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.b.lock = 5 * time.Minute
				over := time.Now().Add(15 * time.Second)
				w.plan.pick = func(o string, _ int) faultKind {
					if o == op && time.Now().Before(over) {
						return failsBefore
					}
					return ""
				}
				w.fill(4, 5, nil)
				w.start()
				pass(time.Until(over))
				if n := w.plan.calls("accept") + w.plan.calls("accept by id"); n >= 20 {
					t.Errorf("%d accepts in 15 s", n)
				}
				w.drained()
				if d := time.Since(over); d > time.Minute {
					t.Errorf("the files took %s after it was over", d)
				}
				w.check()
			})
		})
	}
}

// A settlement that is refused for good ends in a plainer letter, or in a session that stands still; a ledger that cannot
// be written is tried ever more slowly.
func TestASettlementThatIsRefusedForGood(t *testing.T) {
	for _, c := range []struct {
		op               string
		tries, publishes int
	}{
		{"dead-letter", 20, 10}, {"complete", 20, 10}, {"set state", 70, 10},
	} {
		t.Run(c.op, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.b.lock = 5 * time.Minute
				w.b.delay = 20 * time.Millisecond
				over := time.Now().Add(time.Hour)
				w.plan.pick = func(o string, _ int) faultKind {
					if o == c.op && time.Now().Before(over) {
						return failsBefore
					}
					return ""
				}
				body := "bad"
				if c.op == "complete" {
					body = "good"
				}
				w.send("Entity 0", "refused", body)
				r := w.start()
				pass(time.Hour - time.Second)
				if n := w.plan.calls(c.op); n > c.tries {
					t.Errorf("%d tries in an hour", n)
				}
				if w.topic.raw > c.publishes {
					t.Errorf("%d publishes", w.topic.raw)
				}
				v := r.w.Sessions()
				if c.op != "set state" && (len(v) != 1 || v[0].Reason != "SettlementRefused") {
					t.Errorf("the session does not say why it stands: %+v", v)
				}
				if n := w.posts("refused"); n > 1 {
					t.Errorf("posted %d times", n)
				}
				w.drained()
				w.check()
			})
		})
	}
}

var _ = fmt.Sprint
