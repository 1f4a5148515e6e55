package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
)

func TestTheFirstFailureLosesTheSession(t *testing.T) {
	calls := map[servicebus.Op]func(ctx context.Context, s *Session, m *azservicebus.ReceivedMessage) error{
		servicebus.OpRenew: func(ctx context.Context, s *Session, _ *azservicebus.ReceivedMessage) error { return s.Renew(ctx) },
		servicebus.OpGetState: func(ctx context.Context, s *Session, _ *azservicebus.ReceivedMessage) error {
			_, err := s.State(ctx)
			return err
		},
		servicebus.OpSetState: func(ctx context.Context, s *Session, _ *azservicebus.ReceivedMessage) error {
			return s.SetState(ctx, []byte("x"))
		},
		servicebus.OpComplete: func(ctx context.Context, s *Session, m *azservicebus.ReceivedMessage) error {
			return s.Complete(ctx, m)
		},
		servicebus.OpDeadLetter: func(ctx context.Context, s *Session, m *azservicebus.ReceivedMessage) error {
			return s.DeadLetter(ctx, m, nil)
		},
	}
	for op, call := range calls {
		for name, fault := range map[string]servicebus.Fault{
			"refused":    {Effect: servicebus.Refuse},
			"no answer":  {Effect: servicebus.Lose},
			"reply lost": {Effect: servicebus.LoseReply},
			"lock lost":  {Effect: servicebus.LoseLock},
			"cut":        {Effect: servicebus.LoseReply, Then: servicebus.Cut},
			"detached":   {Effect: servicebus.LoseReply, Then: servicebus.Detach},
			"stalled":    {Effect: servicebus.Pass, Then: servicebus.Stall},
		} {
			t.Run(string(op)+" "+name, func(t *testing.T) {
				in(t, func(t *testing.T, r *rig) {
					r.send("files", "a", "1", "2")
					s := r.accept()
					m := r.receive(s)
					fault.Op = op
					armed := r.server.Faults().Add(fault)
					began := time.Now()
					err := call(t.Context(), s, m)
					took := time.Since(began)
					if armed.Count() == 0 {
						t.Fatal("the fault did not strike")
					}
					if armed.Count() > 1 {
						t.Errorf("the call was made %d times", armed.Count())
					}
					if name == "stalled" && err == nil {
						r.server.Faults().Clear()
						_ = s.Close(t.Context())
						return // the answer was out before the connection stalled
					}
					if !errors.Is(err, ErrLost) {
						t.Errorf("%v", err)
					}
					if took > 2*DefaultCallTimeout {
						t.Errorf("it took %s", took)
					}
					if err := s.SetState(t.Context(), []byte("written by a lost session")); !errors.Is(err, ErrLost) {
						t.Errorf("a lost session was used: %v", err)
					}
					if sessions := r.server.Sessions("files"); len(sessions) == 1 && strings.Contains(string(sessions[0].State), "lost") {
						t.Error("a lost session wrote its state")
					}
					if _, err := s.Receive(t.Context(), time.Second); !errors.Is(err, ErrLost) {
						t.Errorf("a lost session received: %v", err)
					}
					_ = s.Close(t.Context()) // it may be gone
					r.server.Faults().Clear()
					// The next owner gets on, at the latest when the lock has run out. The first accept may find the
					// connection dead and have it replaced.
					next, err := r.bus.AcceptNext(t.Context(), files, 2*time.Minute)
					if err != nil {
						if next, err = r.bus.AcceptNext(t.Context(), files, 2*time.Minute); err != nil {
							t.Fatalf("no next owner: %v", err)
						}
					}
					if m := r.receive(next); m.MessageID != "1" && m.MessageID != "2" {
						t.Error(m.MessageID)
					}
					_ = next.Close(t.Context())
				})
			})
		}
	}
}

func TestASilentReattachIsFoundOut(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1", "2")
		s := r.accept()
		m := r.receive(s)
		// A settlement's retries do not ask for the client's options: left alone, it would take the session again.
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpComplete, Effect: servicebus.LoseLock})
		before := s.receiver.LockedUntil()
		if err := s.Complete(t.Context(), m); !errors.Is(err, ErrLost) {
			t.Errorf("%v", err)
		}
		if !s.receiver.LockedUntil().Equal(before) {
			t.Error("the bound let the SDK take the session again")
		}
		_ = s.Close(t.Context())
	})
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		// What a re-attach leaves behind is a lock that nobody renewed.
		if err := s.receiver.RenewSessionLock(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if s.receiver.LockedUntil().Equal(s.lockedUntil) {
			<-time.NewTimer(time.Second).C
			_ = s.receiver.RenewSessionLock(t.Context(), nil)
		}
		if _, err := s.State(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "behind our back") {
			t.Errorf("%v", err)
		}
		_ = s.Close(t.Context())
	})
}

func TestALockThatRanOutIsNotUsed(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		m := r.receive(s)
		timer := time.NewTimer(61 * time.Second)
		<-timer.C
		if err := s.Complete(t.Context(), m); !errors.Is(err, ErrLost) {
			t.Errorf("%v", err)
		}
		if c, _ := r.server.Counts("files"); c.Active != 1 {
			t.Errorf("%+v", c)
		}
		_ = s.Close(t.Context())
	})
}

// The lease that is assumed begins no later than the broker's.
func TestRenewalsMoveTheLock(t *testing.T) {
	const late = time.Second // the answer is
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "a", "1")
		s := r.accept()
		m := r.receive(s)
		r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpRenew, Times: -1, Effect: servicebus.Delay, Delay: late})
		for range 10 {
			pass(30 * time.Second)
			asked := time.Now()
			if err := s.Renew(t.Context()); err != nil {
				t.Fatal(err)
			}
			if granted, until := s.Lock(); !granted.Equal(asked) || until.Sub(granted).Round(time.Millisecond) != time.Minute+late {
				t.Errorf("granted %s after it was asked for, until %s later", granted.Sub(asked), until.Sub(granted))
			}
		}
		if err := s.Complete(t.Context(), m); err != nil {
			t.Error(err)
		}
		_ = s.Close(t.Context())
	})
}
