package deadletter

import (
	"fmt"
	"testing"
	"testing/synctest"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
)

// What needs a look first goes when somebody names it, by its reason or by its message ID, and not otherwise.
func TestWhatNeedsALookIsLeftOutUnlessNamed(t *testing.T) {
	for name, c := range map[string]struct {
		filter Filter
		want   Report
	}{
		"no filter":  {Filter{}, Report{Selected: 1, Done: 1, LeftOut: 1}},
		"session":    {Filter{Session: new("A")}, Report{Selected: 1, Done: 1, LeftOut: 1}},
		"reason":     {Filter{Reasons: []string{"unknownoutcome"}}, Report{Selected: 1, Done: 1}},
		"message ID": {Filter{MessageID: "unknown"}, Report{Selected: 1, Done: 1}},
		"another":    {Filter{MessageID: "known"}, Report{Selected: 1, Done: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFake(t)
				b.put("A", "known", "known", nil)
				b.put("A", "unknown", "unknown", nil)
				b.kill("A", "Timeout")
				b.kill("A", "UnknownOutcome")
				o := Options{Source: q, Filter: c.filter, LeaveOut: []failure.Reason{failure.UnknownOutcome}}
				rep, err := Resubmit(t.Context(), b, o)
				says(t, rep, err, c.want)
				equal(t, 1, len(b.dead()))
			})
		})
	}
}

// The failed file of a drained group needs a look; what was drained behind it goes on without it.
func TestADrainedGroupGoesWithoutTheFileThatNeedsALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		for i := range 3 {
			b.put("A", fmt.Sprintf("A-%d", i+1), fmt.Sprintf("A%d", i+1), nil)
		}
		b.kill("A", "UnknownOutcome")
		b.kill("A", "Drained")
		b.park("A", ledger.Draining, 1)
		o := Options{Source: q, LeaveOut: []failure.Reason{failure.UnknownOutcome}}
		rep, err := Resubmit(t.Context(), b, o)
		says(t, rep, err, Report{Selected: 1, Done: 1, Requeued: 1, Lifted: 1, LeftOut: 1})
		equal(t, []string{"A2", "A3"}, b.bodies("A"))
	})
}

// A limit selects the first dead letters of the queue. It does not tear a parked group: that stays as it is.
func TestALimitBoundsWhatGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t)
		b.group("A", 5)
		rep, err := Resubmit(t.Context(), b, Options{Source: q, Limit: 2})
		says(t, rep, err, Report{Selected: 2, Done: 2})
		equal(t, names("A", 2), b.bodies("A"))

		b = newFake(t)
		drained(b, "A", 4, 1)
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Limit: 2})
		says(t, rep, err, Report{Selected: 2, Blocked: 2})
		rep, err = Resubmit(t.Context(), b, Options{Source: q, Limit: 4})
		says(t, rep, err, Report{Selected: 4, Done: 4, Requeued: 1, Lifted: 1})
		equal(t, names("A", 5), b.bodies("A"))
	})
}
