package inbound

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"
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

// A letter with its properties is refused, the plain one is not.
func TestADeadLetterThatIsTooMuchForTheBrokerGoesPlain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.b.lock = 5 * time.Minute
		w.plan.pick = func(op string, n int) faultKind {
			if op == "dead-letter" && n <= plainAfter {
				return failsBefore
			}
			return ""
		}
		w.send("Entity 0", "refused", "bad")
		w.send("Entity 0", "next", "good")
		w.start()
		w.drained()
		d, ok := w.letter("refused")
		if !ok || d.reason != "ProcessedWithErrors" || d.props["fnobridge-attempts"] != nil {
			t.Errorf("dead letter %+v", d)
		}
		w.check()
	})
}

// What says nothing more is not kept for ever; what does, is.
func TestTheStateOfAQuietSessionIsCleared(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.b.lock = 5 * time.Minute
		w.fno.takes = 0
		for i := range 50 {
			w.send(fmt.Sprintf("order-%d", i), fmt.Sprintf("f%d", i), "good")
		}
		w.start()
		w.drained()
		pass(time.Minute)
		if len(w.b.stateOf("order-7")) == 0 {
			t.Error("the numbers of the settled files are forgotten at once")
		}
		pass(2 * quietFor)
		for i := range 50 {
			if s := w.b.stateOf(fmt.Sprintf("order-%d", i)); len(s) > 0 {
				t.Errorf("order-%d keeps its state: %s", i, s)
			}
		}
		w.send("order-7", "again", "good")
		w.drained()
		w.check()
	})
}

// F&O asks for more time than a receiver lasts.
func TestRetryAfterOutlivesAReceiver(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.b.lock = 5 * time.Minute
		var posts []time.Time
		w.fno.outage = func(_, op string) *http.Response {
			if op != "post" {
				return nil
			}
			posts = append(posts, time.Now())
			if len(posts) == 1 {
				return reply(http.StatusInternalServerError, "busy", "Retry-After", "1500")
			}
			return nil
		}
		w.send("Entity 0", "a", "good")
		w.start()
		w.drained()
		w.end()
		if d := posts[1].Sub(posts[0]); d < 1500*time.Second {
			t.Errorf("asked for 1500 s, posted again after %s", d)
		}
	})
}

type stuckStorage struct{}

func (stuckStorage) Put(ctx context.Context, _ string, _ []byte) (string, error) {
	<-ctx.Done() // takes the request and never answers
	return "", ctx.Err()
}

func TestAStuckOverflowDoesNotHoldTheLane(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.b.lock = 5 * time.Minute
		w.o.Overflow = stuckStorage{}
		one := `{"RecordId":"7","Field":"NAME","ErrorMessage":"` + strings.Repeat("wrong ", 150) + `"}`
		value, _ := json.Marshal(map[string]string{"value": "[" + strings.Repeat(one+",", 20) + one + "]"})
		w.fno.outage = func(_, op string) *http.Response {
			if op == "GetExecutionErrors" {
				return reply(http.StatusOK, string(value))
			}
			return nil
		}
		w.send("Entity 0", "bad one", "bad")
		w.send("Entity 0", "next", "good")
		began := time.Now()
		w.start()
		w.drained()
		if d := time.Since(began); d > time.Minute {
			t.Errorf("two files took %s beside a storage account that does not answer", d)
		}
		w.check()
	})
}

// Its route has gone from the configuration while it was held behind another one.
func TestAHeldFileWithoutARouteHoldsNoProcess(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.send("Entity 0", "a", "good")
		w.b.setState("Entity 0", []byte(`{"v":1,"files":[{"seq":1,"id":"a","phase":"held","n":1,"why":"ProcessedWithErrors","note":"x"}]}`))
		w.route.Match = contract.Pair{Entity: "Another"}
		r := w.start()
		pass(time.Minute)
		if v := r.w.Sessions(); len(v) != 1 || v[0].Parked != ledger.Holding {
			t.Errorf("%+v", v)
		}
		w.order("Entity 0", ledger.Skip)
		w.drained()
		w.end()
	})
}
