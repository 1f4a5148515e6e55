package inbound

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle = 200 * time.Millisecond
		all := &barren{of: map[flightKey]int{}}
		lane := func() *patience {
			return &patience{session: flightKey{source, "a", 0}, barren: all, least: defaultFirstWait}
		}
		is := func(p *patience, wanted bool, roundTrip, want time.Duration) {
			t.Helper()
			if d := p.wait(idle, wanted, roundTrip); d != want {
				t.Errorf("waits %s, want %s", d, want)
			}
		}
		p := lane()
		is(p, true, 0, time.Minute) // whoever else waits: a message was promised
		p.came(time.Now())
		is(p, false, 0, idle)
		is(p, true, time.Millisecond, wantedIdle)
		is(p, true, 250*time.Millisecond, 500*time.Millisecond+2)

		p = lane()
		began := time.Now()
		<-time.After(5 * time.Second)
		p.came(began)
		is(p, true, 0, 10*time.Second) // the next one may be as large

		for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 8 * time.Minute} {
			p = lane()
			is(p, true, 0, want)
			if times := p.nothing(); times != n+1 {
				t.Errorf("gave nothing %d times, want %d", times, n+1)
			}
		}
		p.came(time.Now())
		is(lane(), true, 0, time.Minute)
	})
}
