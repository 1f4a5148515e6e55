package bus

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
)

// A shaking is a rig with a session that is held and a sender that has sent, and what happens to one of them.
type shaking struct {
	*rig
	held   *Session
	sender *Sender
}

func shaken(t *testing.T, test func(t *testing.T, w shaking), options ...func(*Options)) {
	t.Helper()
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "held", "1")
		w := shaking{r, r.accept(), r.bus.Sender("status")}
		if err := w.sender.Send(t.Context(), message("first")); err != nil {
			t.Fatal(err)
		}
		if at := w.held.Shaken(); !at.IsZero() {
			t.Errorf("shaken at %s, when nothing had failed yet", at)
		}
		pass(time.Second)
		test(t, w)
		r.server.Faults().Clear()
		_, _ = w.held.Close(t.Context()), w.sender.Close(t.Context()) // they may be lost
	}, options...)
}

func message(id string) *azservicebus.Message { return &azservicebus.Message{MessageID: &id} }

// pass lets time pass in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// fault arms a fault.
func (w shaking) fault(op servicebus.Op, effect servicebus.Effect, then servicebus.Then) *servicebus.Armed {
	return w.server.Faults().Add(servicebus.Fault{Op: op, Effect: effect, Then: then})
}

// waiting runs do, and harm once do waits for the broker.
func waiting(do func() error, harm func()) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	synctest.Wait()
	harm()
	return <-ended
}

// What the broker said of a session is not believed any more once anybody has noticed that a link or a connection failed.
func TestShakenMovesWhoeverNoticesAFailure(t *testing.T) {
	for name, notices := range map[string]func(t *testing.T, w shaking) error{
		"a call on a session": func(t *testing.T, w shaking) error {
			w.server.Faults().CutAll()
			return w.held.Renew(t.Context())
		},
		"a receive that waits": func(t *testing.T, w shaking) error {
			w.receive(w.held)
			return waiting(func() error {
				_, err := w.held.Receive(t.Context(), time.Second)
				return err
			}, func() { w.server.Faults().CutAll() })
		},
		"a call that loses its session only": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpRenew, servicebus.LoseLock, servicebus.Nothing)
			return w.held.Renew(t.Context())
		},
		"a call without an answer": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpRenew, servicebus.Lose, servicebus.Nothing)
			return w.held.Renew(t.Context())
		},
		"a send": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpSend, servicebus.LoseReply, servicebus.Cut)
			return w.sender.Send(t.Context(), message("second"))
		},
		"a send without an answer": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpSend, servicebus.Lose, servicebus.Nothing)
			return w.sender.Send(t.Context(), message("second"))
		},
		"attaching a sender": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpToken, servicebus.Lose, servicebus.Cut)
			return w.bus.Sender("files").Send(t.Context(), message("second"))
		},
		"attaching a sender without an answer": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpToken, servicebus.Lose, servicebus.Nothing)
			return w.bus.Sender("files").Send(t.Context(), message("second"))
		},
		"a stop that a call does not hear": func(t *testing.T, w shaking) error {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errStopped)
			stuck := make(chan struct{})
			defer close(stuck)
			_, err := bounded(ctx, w.held.g, time.Minute, func(context.Context) (struct{}, error) { <-stuck; return struct{}{}, nil }, nil)
			return err
		},
		"a connection that is dead": func(t *testing.T, w shaking) error {
			_, err := bounded(t.Context(), w.held.g, time.Minute, func(context.Context) (struct{}, error) { return struct{}{}, io.EOF }, nil)
			return err
		},
		"an accept that waits": func(t *testing.T, w shaking) error {
			return waiting(func() error {
				_, err := w.bus.AcceptNext(t.Context(), files, time.Minute)
				return err
			}, func() { w.server.Faults().CutAll() })
		},
		"an accept without an answer": func(t *testing.T, w shaking) error {
			w.fault(servicebus.OpAccept, servicebus.Lose, servicebus.Nothing)
			_, err := w.bus.AcceptNext(t.Context(), files, time.Second)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			shaken(t, func(t *testing.T, w shaking) {
				began := time.Now()
				if err := notices(t, w); err == nil || errors.Is(err, ErrIdle) {
					t.Fatalf("nothing failed: %v", err)
				}
				if at := w.held.Shaken(); at.Before(began) {
					t.Errorf("shaken at %s, before the failure at %s", at, began)
				}
			})
		})
	}
}

var errStopped = errors.New("stopped by the caller")

// stopped makes a call whose caller stops it after half a second.
func stopped(t *testing.T, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context()) // no deadline: the broker would be told of it
	defer time.AfterFunc(500*time.Millisecond, func() { cancel(errStopped) }).Stop()
	if err := call(ctx); !errors.Is(err, errStopped) {
		t.Errorf("%v, want the caller's own stop", err)
	}
}

func TestShakenStaysWhereNothingFailed(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, w shaking){
		"an idle accept": func(t *testing.T, w shaking) {
			if _, err := w.bus.AcceptNext(t.Context(), files, 3*time.Second); !errors.Is(err, ErrIdle) {
				t.Error(err)
			}
		},
		"a session that is taken": func(t *testing.T, w shaking) {
			if _, err := w.bus.AcceptByID(t.Context(), files, "held"); !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
		},
		"nothing to receive": func(t *testing.T, w shaking) {
			w.receive(w.held)
			if m, err := w.held.Receive(t.Context(), time.Second); m != nil || err != nil {
				t.Error(m, err)
			}
		},
		"an accept that was stopped": func(t *testing.T, w shaking) {
			stopped(t, func(ctx context.Context) error {
				_, err := w.bus.AcceptNext(ctx, files, time.Minute)
				return err
			})
		},
		"a receive that was stopped": func(t *testing.T, w shaking) {
			w.receive(w.held)
			stopped(t, func(ctx context.Context) error {
				_, err := w.held.Receive(ctx, time.Second)
				return err
			})
		},
		"a call that was stopped": func(t *testing.T, w shaking) {
			w.fault(servicebus.OpRenew, servicebus.Lose, servicebus.Nothing)
			stopped(t, w.held.Renew)
		},
		"a send that was stopped": func(t *testing.T, w shaking) {
			w.fault(servicebus.OpSend, servicebus.Lose, servicebus.Nothing)
			stopped(t, func(ctx context.Context) error { return w.sender.Send(ctx, message("second")) })
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errStopped)
			if err := w.sender.Send(ctx, message("second")); !errors.Is(err, errStopped) {
				t.Errorf("a send that was over before it began: %v", err)
			}
			if err := w.sender.Send(t.Context(), message("second")); err != nil {
				t.Errorf("the next send: %v", err)
			}
		},
		"a first send that was stopped": func(t *testing.T, w shaking) {
			w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpToken, Effect: servicebus.Delay, Delay: time.Second})
			s := w.bus.Sender("files")
			stopped(t, func(ctx context.Context) error { return s.Send(ctx, message("second")) })
			pass(time.Second)
			_ = s.Close(t.Context()) // it may never have been attached
		},
		"a message that is too large": func(t *testing.T, w shaking) {
			huge := &azservicebus.Message{Body: make([]byte, 300<<10)}
			if err := w.sender.Send(t.Context(), huge); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
				t.Error(err)
			}
		},
		"a message that is too large, says the broker": func(t *testing.T, w shaking) {
			w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Refuse, Condition: "amqp:link:message-size-exceeded"})
			if err := w.sender.Send(t.Context(), message("second")); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
				t.Error(err)
			}
		},
		"a send that was refused": func(t *testing.T, w shaking) {
			w.fault(servicebus.OpSend, servicebus.Refuse, servicebus.Nothing)
			if err := w.sender.Send(t.Context(), message("second")); err == nil {
				t.Error("not refused")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			shaken(t, func(t *testing.T, w shaking) {
				do(t, w)
				if at := w.held.Shaken(); !at.IsZero() {
					t.Errorf("shaken at %s", at)
				}
			})
		})
	}
}

// A spy is a log that runs a function at every record.
type spy struct {
	slog.Handler
	see func()
}

func (s spy) Enabled(context.Context, slog.Level) bool { return true }

func (s spy) Handle(context.Context, slog.Record) error {
	s.see()
	return nil
}

// Whoever gets a new connection proves anew that a session is its own. That proof must count as one from after the
// failure, and an older one must not.
func TestShakenHasMovedBeforeThereIsANewConnection(t *testing.T) {
	for name, end := range map[string]func(w shaking){
		"doubted": func(w shaking) { w.server.Faults().CutLinks("files", "held") },
		"dead":    func(w shaking) { w.held.g.fail(io.EOF) },
	} {
		t.Run(name, func(t *testing.T) {
			var w shaking
			var began time.Time
			seen := 0
			see := func() { // the old connection is retired, and whoever did that is still in the middle of it
				if seen++; w.held.Shaken().Before(began) {
					t.Error("a new connection could be had before Shaken moved")
				}
			}
			shaken(t, func(t *testing.T, with shaking) {
				w, began = with, time.Now()
				ended := make(chan error, 2) // one that hears of it would not be enough
				for range cap(ended) {
					go func() {
						_, err := w.bus.AcceptNext(t.Context(), files, time.Minute)
						ended <- err
					}()
				}
				synctest.Wait()
				end(w)
				if err := errors.Join(<-ended, <-ended); err == nil || seen != 1 {
					t.Errorf("%v, and %d connections were replaced", err, seen)
				}
			}, func(o *Options) { o.Logger = slog.New(spy{slog.DiscardHandler, see}) })
		})
	}
}
