package bus

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/servicebus"
)

// TestACutIsHeardByAllAtOnce: the SDK sleeps on a settlement whose connection is gone, until its bound. Others hear of the
// cut, and what one hears ends the waiting of all, in no time.
func TestACutIsHeardByAllAtOnce(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		m := r.receive(s)
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Effect: servicebus.Lose})
		began := time.Now()
		ended := make(chan error, 3)
		go func() { ended <- s.Complete(t.Context(), m) }()
		for range 2 {
			go func() {
				_, err := r.bus.AcceptNext(t.Context(), files, time.Minute)
				ended <- err
			}()
		}
		synctest.Wait()
		r.server.Faults().CutAll()
		for range 3 {
			if err := <-ended; err == nil || errors.Is(err, ErrIdle) {
				t.Errorf("got %v", err)
			}
		}
		if d := time.Since(began); d > abandonAfter {
			t.Errorf("it took %s", d)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		r.send("files", "b", "1")
		_ = r.accept().Close(t.Context()) // the next accept works
		if live := r.bus.sessions.live; len(live) != 1 || live[0] == s.g || live[0].users != 0 {
			t.Error("the broken client is in use, or uses are not given back")
		}
	})
}
