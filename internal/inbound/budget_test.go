package inbound

import (
	"net/http"
	"testing"
	"time"

	"fnobridge/internal/dynamics"
)

// Every lane waits out an outage with a question in mind, and none of them may bring a turn from before it: neither one
// that a lane had when its receiver was replaced, nor one it waited with.
func TestAnOutageSavesNoStatusCalls(t *testing.T) {
	const perSecond, lanes = 5, 60
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions = lanes
		w.o.Refresh = 2 * time.Minute
		w.fno.takes = 2 * time.Hour
		w.routes = func(r *running, standard Route) []*Route {
			env, err := dynamics.New(dynamics.Options{
				Name: "prod", URL: "https://prod.example", Credential: credential{}, Transport: fakeRoad{w.fno, r.process},
				Timeout: w.route.Timeout, Requests: 2 * lanes, StatusCalls: perSecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			standard.into(env)
			return []*Route{&standard}
		}
		began := time.Now()
		var asked []time.Time // one question each
		w.fno.outage = func(_, op string) *http.Response {
			if op == "post" {
				return nil
			}
			asked = append(asked, time.Now())
			if d := time.Since(began); d > 10*time.Minute && d < time.Hour {
				return reply(http.StatusServiceUnavailable, "maintenance")
			}
			return nil
		}
		w.fill(lanes, 1, nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != lanes {
			t.Errorf("%+v", r)
		}
		during, after := 0, 0
		for i, at := range asked {
			switch d := at.Sub(began); {
			case d > 11*time.Minute && d < time.Hour:
				during++
			case d > time.Hour && d < 2*time.Hour:
				after++
			}
			// The bucket holds one second's worth.
			if n := 3 * perSecond; i >= n && at.Sub(asked[i-n]) < 2*time.Second-10*time.Millisecond {
				t.Fatalf("%s after the beginning: %d questions within %s, the budget is %d a second", at.Sub(began), n+1, at.Sub(asked[i-n]), perSecond)
			}
		}
		if during == 0 || after < lanes {
			t.Errorf("%d questions in the outage, %d after it: nothing is shown", during, after)
		}
	})
}
