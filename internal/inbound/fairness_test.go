package inbound

import (
	"fmt"
	"testing"
	"time"
)

// The 4 busy entities have hours of work each, and as many slots.
func TestAnIdleEntityDoesNotWaitForBusyOnes(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions, w.o.Accepts = 4, 2
		w.b.lock = 5 * time.Minute
		w.fno.takes = time.Minute
		for f := range 300 {
			for s := range 4 {
				w.send(fmt.Sprintf("Busy %d", s), fmt.Sprintf("b%d-%d", s, f), "good")
			}
		}
		w.start()
		pass(10 * time.Minute)
		w.send("Quiet", "quiet", "good")
		began := time.Now()
		w.waitFor("the quiet file", func() bool { return w.b.empty("Quiet") })
		if d := time.Since(began); d > 5*time.Minute {
			t.Errorf("one file of an idle entity, an import of a minute, took %s behind 4 busy ones", d)
		}
		w.end()
	})
}

// Posts take so long that the busy entities never leave a slot.
func TestAnIdleEntityGetsItsTurnWhenSlotsAreScarce(t *testing.T) {
	for name, locks := range map[string]int{"sessions may be owned beyond the slots": 100, "no more sessions may be owned": 4} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.o.Sessions, w.o.Accepts, w.o.Locks = 4, 2, locks
				w.b.lock = 5 * time.Minute
				w.fno.post, w.fno.takes = 4*time.Second, 0
				w.route.Poll.First = 0
				for f := range 1000 {
					for s := range 10 {
						w.send(fmt.Sprintf("Busy %d", s), fmt.Sprintf("b%d-%d", s, f), "good")
					}
				}
				w.start()
				pass(10 * time.Minute)
				w.send("Quiet", "quiet", "good")
				began := time.Now()
				w.waitFor("the quiet file", func() bool { return w.b.empty("Quiet") })
				if d := time.Since(began); d > 10*time.Minute {
					t.Errorf("one file of an idle entity took %s behind 10 busy ones", d)
				}
				w.end()
			})
		})
	}
}

// Sessions bounds who begins a file, not what F&O works at; Locks bounds that.
func TestLongImportsAreBoundedByFnoAndLocks(t *testing.T) {
	for _, c := range []struct {
		entities, locks int
		within          time.Duration // F&O alone would need 10 minutes; status calls are scarce
	}{
		{5000, 5000, 20 * time.Minute},
		{5000, 1000, 70 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%d entities, %d locks", c.entities, c.locks), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.o.Sessions, w.o.Accepts, w.o.Locks = 64, 8, c.locks
				w.b.lock = 5 * time.Minute
				w.fno.takes, w.asks = 10*time.Minute, 10
				w.route.Poll = Poll{First: 2 * time.Second, Fraction: 0.35, Max: 2 * time.Minute}
				for i := range c.entities {
					w.send(fmt.Sprintf("Entity %d", i), fmt.Sprintf("f%d", i), "good")
				}
				began := time.Now()
				w.start()
				pass(5 * time.Minute)
				if n := w.b.locked(); n > c.locks {
					t.Errorf("%d sessions are owned, %d may be", n, c.locks)
				}
				w.drained()
				t.Logf("%s", time.Since(began))
				if d := time.Since(began); d > c.within {
					t.Errorf("%d entities with one file each, imports of 10 min: %s", c.entities, d)
				}
				w.check()
			})
		})
	}
}

// A broken job and onFailure: hold.
func TestHeldSessionsAreBoundedAndKeepNobodyFromWork(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.o.Sessions, w.o.Locks = 16, 100
		w.b.lock = 5 * time.Minute
		w.route.OnFailure = OnFailureHold
		w.fno.takes = 100 * time.Millisecond
		for i := range 500 {
			w.send(fmt.Sprintf("Entity %d", i), fmt.Sprintf("f%d", i), "bad")
		}
		w.start()
		pass(30 * time.Minute)
		if n := w.b.locked(); n > w.o.Locks {
			t.Errorf("%d sessions are owned, %d may be", n, w.o.Locks)
		}
		before := w.plan.calls("accept by id") + w.plan.calls("accept")
		pass(time.Minute)
		if n := w.plan.calls("accept by id") + w.plan.calls("accept") - before; n > 20*60 {
			t.Errorf("%d accepts a minute for sessions at which nothing can be done", n)
		}
		w.send("Good", "good", "good")
		began := time.Now()
		w.waitFor("the good file", func() bool { return w.b.empty("Good") })
		if d := time.Since(began); d > 10*time.Minute {
			t.Errorf("a good file took %s beside 500 held sessions", d)
		}
		w.end()
	})
}
