package inbound

import (
	"fmt"
	"fnobridge/internal/contract"
	"net/http"
	"testing"
	"time"
)

func TestAnOutageCountsNoAttemptAndIsProbedByOneCall(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		over := time.Now().Add(3 * time.Hour)
		calls := 0
		w.fno.outage = func(_, op string) *http.Response {
			if time.Now().After(over) {
				return nil
			}
			calls++
			return reply(http.StatusServiceUnavailable, "maintenance")
		}
		w.fill(5, 4, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 20 || r.DeadLettered != 0 {
			t.Errorf("%+v", r)
		}
		if calls > 5+3*90 { // one each when it began, then about one a minute, jittered
			t.Errorf("%d calls into an outage", calls)
		}
		for _, e := range w.topic.list {
			if e.Attempt > 1 {
				t.Fatalf("attempt %d of %s: an outage was counted", e.Attempt, e.MessageID)
			}
		}
	})
}

func TestAnOutageDoesNotUseUpTheTimeForRetries(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		n := 0
		began := time.Now()
		w.fno.outage = func(_, op string) *http.Response {
			n++
			after := time.Since(began) - 5*time.Hour
			justAfter := after > 0 && after < 2*time.Second && n > 2 && n < 100
			switch {
			case n == 1 || justAfter:
				return reply(http.StatusInternalServerError, "a bad moment") // an attempt
			case after < 0:
				return reply(http.StatusServiceUnavailable, "maintenance") // none
			}
			return nil
		}
		w.fill(1, 1, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 1 {
			t.Errorf("%+v", r)
		}
	})
}

func TestRetryAfterHoldsTheEnvironment(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		var asked time.Time
		w.fno.outage = func(_, op string) *http.Response {
			if op != "post" {
				return nil
			}
			if asked.IsZero() {
				asked = time.Now()
				return reply(http.StatusTooManyRequests, "slow down", "Retry-After", "90")
			}
			if d := time.Since(asked); d < 90*time.Second {
				t.Errorf("posted %s after F&O asked for 90 s", d)
			}
			return nil
		}
		w.fill(1, 2, nil)
		w.start()
		w.drained()
		w.check()
	})
}

// twoEnvironments returns routes of which those to Down 0, Down 1 and so on lead to an environment that refuses everything
// for an hour. It gives when that is over.
func (w *world) twoEnvironments(sessions int) time.Time {
	w.routes = func(r *running, standard Route) []*Route {
		down, routes := w.environment("down", r.process), []*Route{}
		for n := range sessions {
			other := standard
			other.Name, other.Match = "other", contract.Pair{Entity: fmt.Sprintf("Down %d", n)}
			other.into(down)
			routes = append(routes, &other)
		}
		return append(routes, &standard)
	}
	over := time.Now().Add(time.Hour)
	w.fno.outage = func(host, _ string) *http.Response {
		if host == "down.example" && time.Now().Before(over) {
			return reply(http.StatusForbidden, "no rights")
		}
		return nil
	}
	for n := range sessions {
		w.send(fmt.Sprintf("Down %d", n), fmt.Sprintf("waits %d", n), "a file")
	}
	return over
}

// More sessions wait for the environment that is down than there are slots.
func TestOneEnvironmentsOutageDoesNotHoldAnother(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions = 4
		over := w.twoEnvironments(6)
		w.start()
		pass(time.Minute)
		w.fill(2, 5, nil)
		w.waitFor("the files of the other environment", func() bool { return w.b.left() == 6 })
		if d := time.Until(over); d < 50*time.Minute {
			t.Errorf("they took until %s before the end of the outage", d)
		}
		w.drained()
		w.check()
	})
}

func TestAnOutageDoesNotCollectEverySession(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions = 4
		w.twoEnvironments(40)
		w.start()
		for range 10 {
			pass(5 * time.Minute)
			held := w.b.locked()
			if held > 2*w.o.Sessions+1 { // and one that waits for its turn
				t.Errorf("%d sessions are held with %d slots", held, w.o.Sessions)
			}
		}
		w.drained()
		w.check()
	})
}
