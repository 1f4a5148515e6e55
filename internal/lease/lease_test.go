package lease

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/retry"
)

// A fakeLock is a session lock on a broker whose clock may be off.
type fakeLock struct {
	lock  time.Duration
	skew  time.Duration
	renew func(ctx context.Context, n int) error // before the lock is renewed; may be nil

	mu             sync.Mutex
	granted, until time.Time
	failed         time.Time
	end            time.Time // of the broker's lock, by our clock
	renewals       []time.Time
}

func newFakeLock(lock, skew time.Duration) *fakeLock {
	k := &fakeLock{lock: lock, skew: skew}
	k.grant(time.Now())
	return k
}

func (k *fakeLock) grant(asked time.Time) {
	k.granted, k.end = asked, time.Now().Add(k.lock)
	k.until = k.end.Add(k.skew)
}

func (k *fakeLock) Lock() (granted, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.granted, k.until
}

func (k *fakeLock) LastFailure() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

func (k *fakeLock) Renew(ctx context.Context) error {
	asked := time.Now()
	k.mu.Lock()
	n := len(k.renewals)
	k.renewals = append(k.renewals, asked)
	k.mu.Unlock()
	if k.renew != nil {
		if err := k.renew(ctx, n); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.grant(asked)
	return nil
}

func (k *fakeLock) ends() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.end
}

// pass lets d go by.
func pass(d time.Duration) { retry.Wait(context.Background(), d) }

// bubbled runs a test in a bubble.
func bubbled(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestALeaseIsRenewedAtHalf(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		k := newFakeLock(5*time.Minute, 0)
		tries := 0
		l := Start(t.Context(), k, 5*time.Minute, func(err error) {
			if err == nil {
				tries++
			}
		})
		pass(time.Hour)
		if l.ctx.Err() != nil {
			t.Fatal(context.Cause(l.ctx))
		}
		l.Stop()
		if n := len(k.renewals); n < 12 || n > 26 || tries != n {
			t.Errorf("%d renewals in an hour, told of %d", n, tries)
		}
		last := k.renewals[0]
		for _, r := range k.renewals[1:] {
			if d := r.Sub(last); d < 2*time.Minute || d > 150*time.Second {
				t.Errorf("renewed after %s", d)
			}
			last = r
		}
		if !errors.Is(context.Cause(l.ctx), context.Canceled) || errors.Is(context.Cause(l.ctx), ErrLost) {
			t.Errorf("a lease that was stopped ended with %v", context.Cause(l.ctx))
		}
	})
}

// However the renewal fails, the context is dead, with the cause, before the broker's lock is.
func TestALeaseDiesBeforeTheLock(t *testing.T) {
	for name, renew := range map[string]func(ctx context.Context, n int) error{
		"fails":           func(context.Context, int) error { return errors.New("lock lost") },
		"hangs":           func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() },
		"hangs for ever":  func(_ context.Context, _ int) error { retry.Wait(context.Background(), time.Hour); return nil },
		"comes back late": func(_ context.Context, _ int) error { retry.Wait(context.Background(), 200*time.Second); return nil },
		"hangs later on": func(ctx context.Context, n int) error {
			if n == 3 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
	} {
		for _, skew := range []time.Duration{0, time.Minute, -time.Minute, 24 * time.Hour} {
			t.Run(name+" "+skew.String(), func(t *testing.T) {
				bubbled(t, func(t *testing.T) {
					k := newFakeLock(5*time.Minute, skew)
					k.renew = renew
					l := Start(t.Context(), k, 5*time.Minute, nil)
					<-l.ctx.Done()
					if left := time.Until(k.ends()); left < l.margin {
						t.Errorf("the lease died %s before the lock, the margin is %s", left, l.margin)
					}
					if err := context.Cause(l.ctx); !errors.Is(err, ErrLost) {
						t.Errorf("cause %v", err)
					}
					n := len(k.renewals)
					if err := l.Ensure(time.Second); !errors.Is(err, ErrLost) || len(k.renewals) > n+1 {
						t.Errorf("a lost lease was used again: %v", err)
					}
					l.Stop()
				})
			})
		}
	}
}

func TestAClockThatIsOffShortensALeaseAndNeverStretchesIt(t *testing.T) {
	for skew := -4 * time.Minute; skew <= 24*time.Hour; skew = skew*2 + 5*time.Minute {
		t.Run(skew.String(), func(t *testing.T) {
			bubbled(t, func(t *testing.T) {
				k := newFakeLock(5*time.Minute, skew)
				l := Start(t.Context(), k, 5*time.Minute, nil)
				for range 200 {
					if left, real := l.Remaining(), time.Until(k.ends()); left > real-l.margin {
						t.Fatalf("the lease says %s, the lock has %s", left, real)
					}
					pass(7 * time.Second)
				}
				if l.ctx.Err() != nil {
					t.Errorf("lost: %v", context.Cause(l.ctx))
				}
				l.Stop()
			})
		})
	}
	bubbled(t, func(t *testing.T) { // so far off that nothing is left: said, and not tried for ever
		k := newFakeLock(5*time.Minute, -time.Hour)
		l := Start(t.Context(), k, 5*time.Minute, nil)
		<-l.ctx.Done()
		if err := context.Cause(l.ctx); !errors.Is(err, ErrLost) || len(k.renewals) > 2 {
			t.Errorf("%d renewals, %v", len(k.renewals), err)
		}
		l.Stop()
	})
}

func TestASessionThatCameLateInALongAcceptIsRenewedFirst(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		k := newFakeLock(30*time.Second, 0)
		k.granted = k.granted.Add(-29 * time.Second) // asked for long ago, granted now
		l := Start(t.Context(), k, 30*time.Second, nil)
		if len(k.renewals) != 1 || l.ctx.Err() != nil || l.Remaining() < 20*time.Second {
			t.Errorf("%d renewals, %s left, %v", len(k.renewals), l.Remaining(), context.Cause(l.ctx))
		}
		l.Stop()
	})
}

func TestEnoughOfALeaseIsEnsured(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		k := newFakeLock(time.Minute, 0)
		l := Start(t.Context(), k, time.Minute, nil)
		if err := l.Ensure(10 * time.Second); err != nil || len(k.renewals) != 0 {
			t.Errorf("%v after %d renewals", err, len(k.renewals))
		}
		pass(20 * time.Second)
		if err := l.Ensure(45 * time.Second); err != nil || len(k.renewals) != 1 {
			t.Errorf("%v after %d renewals", err, len(k.renewals))
		}
		pass(6 * time.Second)
		if err := l.Ensure(time.Hour); err != nil || len(k.renewals) != 2 {
			t.Errorf("what takes longer than a lease does not begin with a whole one: %v after %d renewals", err, len(k.renewals))
		}
		l.Stop()
	})
}

func TestRenewalsOutOfTurnAndInTurnDoNotMeet(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		k := newFakeLock(time.Minute, 0)
		under := 0
		k.renew = func(context.Context, int) error {
			under++
			if under > 1 {
				t.Error("two renewals at once")
			}
			retry.Wait(context.Background(), 3*time.Second)
			under--
			return nil
		}
		l := Start(t.Context(), k, time.Minute, nil)
		var wg sync.WaitGroup
		for n := range 5 {
			wg.Go(func() {
				pass(time.Duration(n) * time.Second)
				for range 20 {
					if err := l.Ensure(50 * time.Second); err != nil && !errors.Is(err, ErrShort) {
						t.Error(err)
					}
					pass(4 * time.Second)
				}
			})
		}
		wg.Wait()
		if l.ctx.Err() != nil {
			t.Error(context.Cause(l.ctx))
		}
		l.Stop()
	})
}

func TestALeaseEndsWithTheWork(t *testing.T) {
	errGraceOver := errors.New("the grace is over")
	bubbled(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		l := Start(ctx, newFakeLock(time.Minute, 0), time.Minute, nil)
		cancel(errGraceOver)
		<-l.ctx.Done()
		if err := context.Cause(l.ctx); !errors.Is(err, errGraceOver) {
			t.Error(err)
		}
		l.Stop()
		l.Stop() // twice is once
	})
}

func TestAProofIsNoOlderThanTheLastFailure(t *testing.T) {
	bubbled(t, func(t *testing.T) {
		k := newFakeLock(5*time.Minute, 0)
		l := Start(t.Context(), k, 5*time.Minute, nil)
		defer l.Stop()
		proofs := func(want int) {
			t.Helper()
			if err := l.Prove(time.Second); err != nil {
				t.Fatal(err)
			}
			if n := len(k.renewals); n != want {
				t.Errorf("%d renewals, want %d", n, want)
			}
		}
		pass(100 * time.Millisecond)
		proofs(0) // the grant is a proof
		k.failed = time.Now()
		pass(100 * time.Millisecond)
		proofs(1)
		proofs(1)
		pass(2 * time.Second)
		proofs(2)
	})
}
