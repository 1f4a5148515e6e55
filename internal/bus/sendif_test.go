package bus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/servicebus"
)

var errMayNot = errors.New("it may not")

// linkTime is how long getting a link takes in these tests.
const linkTime = 3 * time.Second

func (r *rig) slowLinks() {
	r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpToken, Entity: "status", Times: -1, Effect: servicebus.Delay, Delay: linkTime})
}

// may is asked when nothing is left to wait for, whatever became of the link that was there before.
func TestMayIsAskedWhenThereIsALink(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, r *rig, s *Sender){
		"of a first send": func(*testing.T, *rig, *Sender) {},
		"after a send that failed": func(t *testing.T, r *rig, s *Sender) {
			r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Refuse})
			if err := s.Send(t.Context(), message("refused")); err == nil {
				t.Error("not refused")
			}
		},
		"after a send whose connection was cut": func(t *testing.T, r *rig, s *Sender) {
			r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Lose, Then: servicebus.Cut})
			if err := s.Send(t.Context(), message("cut")); err == nil {
				t.Error("not cut")
			}
		},
		"after its connection was replaced": func(t *testing.T, r *rig, s *Sender) {
			if err := s.Send(t.Context(), message("before")); err != nil {
				t.Error(err)
			}
			r.server.Faults().CutAll()
			s.link.g.fail(errors.New("another sender noticed"))
		},
		"after it was closed": func(t *testing.T, _ *rig, s *Sender) {
			if err := errors.Join(s.Send(t.Context(), message("before")), s.Close(t.Context())); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				s := r.bus.Sender("status")
				before(t, r, s)
				synctest.Wait()
				if n := r.server.Links("status"); n != 0 {
					t.Fatalf("%d links are left", n)
				}
				there := len(r.server.Messages("status"))
				r.slowLinks()
				began, asked := time.Now(), 0
				may := func() error {
					asked++
					if n := r.server.Links("status"); n != 1 || time.Since(began) < linkTime {
						t.Errorf("may was asked with %d links, after %s", n, time.Since(began))
					}
					if n := len(r.server.Messages("status")); n != there {
						t.Error("may was asked after the message was sent")
					}
					return nil
				}
				if err := s.SendIf(t.Context(), may, message("1"), message("2")); err != nil {
					t.Error(err)
				}
				if n := len(r.server.Messages("status")); asked != 1 || n != there+2 {
					t.Errorf("asked %d times, %d messages are new", asked, n-there)
				}
				_ = s.Close(t.Context())
			})
		})
	}
}

func TestWhatMayNotBeSentCostsNothing(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		s := r.bus.Sender("status")
		sends := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Times: -1, Effect: servicebus.Pass})
		links := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpToken, Entity: "status", Times: -1, Effect: servicebus.Pass})
		for range 3 {
			if err := s.SendIf(t.Context(), func() error { return errMayNot }, message("1")); !errors.Is(err, errMayNot) {
				t.Errorf("%v, want the answer of may", err)
			}
		}
		if n := sends.Count(); n != 0 {
			t.Errorf("sent %d times", n)
		}
		l := s.link
		if l == nil || l.users != 0 {
			t.Fatalf("the link was not given back: %+v", l)
		}
		if err := s.Send(t.Context(), message("1")); err != nil {
			t.Error(err)
		}
		if s.link != l || links.Count() != 1 || r.dials.Load() != 1 {
			t.Errorf("%d links on %d connections, want one for all sends", links.Count(), r.dials.Load())
		}
		if n := sends.Count(); n != 1 {
			t.Errorf("sent %d times, want once", n)
		}
		_ = s.Close(t.Context())
	})
}

// Many lanes wait for a topic that does not answer: each no longer than its own lease, none for the others' tries.
func TestWaitingForALinkEndsWithItsCaller(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		s := r.bus.Sender("status")
		tries := r.server.Faults().Add(servicebus.Fault{Op: servicebus.OpToken, Entity: "status", Times: -1, Effect: servicebus.Lose})
		began := time.Now()
		var callers sync.WaitGroup
		send := func(within time.Duration) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), within, errStopped)
			defer cancel()
			err := s.Send(ctx, message("1"))
			switch took := time.Since(began); {
			case within < 5*time.Second && (!errors.Is(err, errStopped) || took != within):
				t.Errorf("a caller with %s waited %s: %v", within, took, err)
			case within > 15*time.Second && (err == nil || errors.Is(err, errStopped) || took > 15*time.Second+abandonAfter):
				t.Errorf("a caller waited %s, for others and not for its link: %v", took, err)
			}
		}
		for range 32 {
			callers.Go(func() { send(time.Second) })
			callers.Go(func() { send(time.Minute) })
		}
		callers.Wait()
		if n := tries.Count(); n != 1 {
			t.Errorf("%d links were tried for, want one for all", n)
		}
		tries.Disarm()
		if err := s.Send(t.Context(), message("1")); err != nil {
			t.Errorf("the next send: %v", err)
		}
		_ = s.Close(t.Context())
	})
}

// Who asked first does not take the link away from the others by leaving, and a link that nobody waits for any more is
// there for the next send, or gone with its sender.
func TestALinkComesForWhoeverIsLeft(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, r *rig, s *Sender){
		"another waits": func(t *testing.T, r *rig, s *Sender) {
			waits := make(chan error, 1)
			stopped(t, func(ctx context.Context) error {
				go func() { waits <- s.Send(t.Context(), message("1")) }()
				return s.Send(ctx, message("0"))
			})
			if err := <-waits; err != nil {
				t.Error(err)
			}
			if n := len(r.server.Messages("status")); n != 1 {
				t.Errorf("%d messages, want that of who waited", n)
			}
		},
		"the next send": func(t *testing.T, r *rig, s *Sender) {
			stopped(t, func(ctx context.Context) error { return s.Send(ctx, message("0")) })
			pass(linkTime)
			began := time.Now()
			if err := s.Send(t.Context(), message("1")); err != nil || time.Since(began) > 0 {
				t.Errorf("%v, after %s", err, time.Since(began))
			}
		},
		"nobody: it was closed": func(t *testing.T, r *rig, s *Sender) {
			stopped(t, func(ctx context.Context) error { return s.Send(ctx, message("0")) })
			_ = s.Close(t.Context())
			pass(linkTime)
			synctest.Wait()
			if n := r.server.Links("status"); n != 0 || s.link != nil {
				t.Errorf("%d links of a sender that was closed", n)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.slowLinks()
				s := r.bus.Sender("status")
				test(t, r, s)
				_ = s.Close(t.Context())
			})
		})
	}
}
