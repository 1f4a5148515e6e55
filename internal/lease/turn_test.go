package lease

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A fakeSession is a fakeLock that can be given back.
type fakeSession struct {
	*fakeLock
	closed int
}

func (s *fakeSession) Close(context.Context) error {
	s.closed++
	return nil
}

func TestATurnIsASessionThatIsRenewedAndGivenBack(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		s := &fakeSession{fakeLock: newFakeLock(time.Minute, 0)}
		accept := func(_ context.Context, id string) (*fakeSession, error) {
			if id != "turn" {
				t.Errorf("accepted %q", id)
			}
			return s, nil
		}
		owned, release, err := TakeTurn(t.Context(), accept, "turn", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if owned.Err() != nil || s.closed != 0 {
			t.Errorf("after ten minutes: %v, closed %d times", context.Cause(owned), s.closed)
		}
		release()
		if owned.Err() == nil || s.closed != 1 {
			t.Errorf("released: %v, closed %d times", owned.Err(), s.closed)
		}
	})
}

func TestATurnThatIsLostEnds(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		s := &fakeSession{fakeLock: newFakeLock(time.Minute, 0)}
		s.renew = func(context.Context, int) error { return errors.New("gone") }
		accept := func(context.Context, string) (*fakeSession, error) { return s, nil }
		owned, release, err := TakeTurn(t.Context(), accept, "turn", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		<-owned.Done()
		if err := context.Cause(owned); !errors.Is(err, ErrLost) || !time.Now().Before(s.ends()) {
			t.Errorf("%v, %s before the lock", err, time.Until(s.ends()))
		}
		release()
	})
}

func TestATurnThatSomebodyElseHasIsNotTaken(t *testing.T) {
	taken := errors.New("taken")
	accept := func(context.Context, string) (*fakeSession, error) { return nil, taken }
	if _, _, err := TakeTurn(t.Context(), accept, "turn", time.Minute); !errors.Is(err, taken) {
		t.Error(err)
	}
}
