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

// A pair is a rig with a session that is owned and a sender that has sent. What happens to one of them is noticed for
// both.
type pair struct {
	*rig
	owned  *Session
	sender *Sender
}

func withPair(t *testing.T, test func(t *testing.T, w pair), options ...func(*Options)) {
	t.Helper()
	in(t, func(t *testing.T, r *rig) {
		r.send("files", "owned", "1")
		w := pair{r, r.accept(), r.bus.Sender("status")}
		if err := w.sender.Send(t.Context(), message("first")); err != nil {
			t.Fatal(err)
		}
		if at := w.owned.LastFailure(); !at.IsZero() {
			t.Errorf("a failure at %s, when nothing had failed yet", at)
		}
		pass(time.Second)
		test(t, w)
		r.server.Faults().Clear()
		_, _ = w.owned.Close(t.Context()), w.sender.Close(t.Context()) // they may be lost
	}, options...)
}

func message(id string) *azservicebus.Message { return &azservicebus.Message{MessageID: &id} }

// pass lets time pass in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// fault arms a fault.
func (w pair) fault(op servicebus.Op, effect servicebus.Effect, then servicebus.Then) *servicebus.Armed {
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

// What the broker said of a session is not believed any more once anybody has noticed that a link or a connection
// failed.
func TestLastFailureMovesWhoeverNoticesOne(t *testing.T) {
	for name, notices := range map[string]func(t *testing.T, w pair) error{
		"a call on a session": func(t *testing.T, w pair) error {
			w.server.Faults().CutAll()
			return w.owned.Renew(t.Context())
		},
		"a receive that waits": func(t *testing.T, w pair) error {
			w.receive(w.owned)
			return waiting(func() error {
				_, err := w.owned.Receive(t.Context(), time.Second)
				return err
			}, func() { w.server.Faults().CutAll() })
		},
		"a call that loses its session only": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpRenew, servicebus.LoseLock, servicebus.Nothing)
			return w.owned.Renew(t.Context())
		},
		"a call without an answer": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpRenew, servicebus.Lose, servicebus.Nothing)
			return w.owned.Renew(t.Context())
		},
		"a send": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpSend, servicebus.LoseReply, servicebus.Cut)
			return w.sender.Send(t.Context(), message("second"))
		},
		"a send without an answer": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpSend, servicebus.Lose, servicebus.Nothing)
			return w.sender.Send(t.Context(), message("second"))
		},
		"attaching a sender": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpToken, servicebus.Lose, servicebus.Cut)
			return w.bus.Sender("files").Send(t.Context(), message("second"))
		},
		"attaching a sender without an answer": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpToken, servicebus.Lose, servicebus.Nothing)
			return w.bus.Sender("files").Send(t.Context(), message("second"))
		},
		"a stop that a call does not hear": func(t *testing.T, w pair) error {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errStopped)
			stuck := make(chan struct{})
			defer close(stuck)
			_, err := bounded(ctx, w.owned.g, time.Minute, func(context.Context) (struct{}, error) { <-stuck; return struct{}{}, nil }, nil)
			return err
		},
		"a connection that is dead": func(t *testing.T, w pair) error {
			_, err := bounded(t.Context(), w.owned.g, time.Minute, func(context.Context) (struct{}, error) { return struct{}{}, io.EOF }, nil)
			return err
		},
		"an accept that waits": func(t *testing.T, w pair) error {
			return waiting(func() error {
				_, err := w.bus.AcceptNext(t.Context(), files, time.Minute)
				return err
			}, func() { w.server.Faults().CutAll() })
		},
		"an accept without an answer": func(t *testing.T, w pair) error {
			w.fault(servicebus.OpAccept, servicebus.Lose, servicebus.Nothing)
			_, err := w.bus.AcceptNext(t.Context(), files, time.Second)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPair(t, func(t *testing.T, w pair) {
				began := time.Now()
				if err := notices(t, w); err == nil || errors.Is(err, ErrIdle) {
					t.Fatalf("nothing failed: %v", err)
				}
				if at := w.owned.LastFailure(); at.Before(began) {
					t.Errorf("a failure at %s, before the failure at %s", at, began)
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

func TestLastFailureStaysWhereNothingFailed(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, w pair){
		"an idle accept": func(t *testing.T, w pair) {
			if _, err := w.bus.AcceptNext(t.Context(), files, 3*time.Second); !errors.Is(err, ErrIdle) {
				t.Error(err)
			}
		},
		"a session that is taken": func(t *testing.T, w pair) {
			if _, err := w.bus.AcceptByID(t.Context(), files, "owned"); !errors.Is(err, ErrTaken) {
				t.Error(err)
			}
		},
		"nothing to receive": func(t *testing.T, w pair) {
			w.receive(w.owned)
			if m, err := w.owned.Receive(t.Context(), time.Second); m != nil || err != nil {
				t.Error(m, err)
			}
		},
		"an accept that was stopped": func(t *testing.T, w pair) {
			stopped(t, func(ctx context.Context) error {
				_, err := w.bus.AcceptNext(ctx, files, time.Minute)
				return err
			})
		},
		"a receive that was stopped": func(t *testing.T, w pair) {
			w.receive(w.owned)
			stopped(t, func(ctx context.Context) error {
				_, err := w.owned.Receive(ctx, time.Second)
				return err
			})
		},
		"a call that was stopped": func(t *testing.T, w pair) {
			w.fault(servicebus.OpRenew, servicebus.Lose, servicebus.Nothing)
			stopped(t, w.owned.Renew)
		},
		"a send that was stopped": func(t *testing.T, w pair) {
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
		"a first send that was stopped": func(t *testing.T, w pair) {
			w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpToken, Effect: servicebus.Delay, Delay: time.Second})
			s := w.bus.Sender("files")
			stopped(t, func(ctx context.Context) error { return s.Send(ctx, message("second")) })
			pass(time.Second)
			_ = s.Close(t.Context()) // it may never have been attached
		},
		"a message that is too large": func(t *testing.T, w pair) {
			huge := &azservicebus.Message{Body: make([]byte, 300<<10)}
			if err := w.sender.Send(t.Context(), huge); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
				t.Error(err)
			}
		},
		"a message that is too large, says the broker": func(t *testing.T, w pair) {
			w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Refuse, Condition: "amqp:link:message-size-exceeded"})
			if err := w.sender.Send(t.Context(), message("second")); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
				t.Error(err)
			}
		},
		"a send that was refused": func(t *testing.T, w pair) {
			w.fault(servicebus.OpSend, servicebus.Refuse, servicebus.Nothing)
			if err := w.sender.Send(t.Context(), message("second")); err == nil {
				t.Error("not refused")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			withPair(t, func(t *testing.T, w pair) {
				do(t, w)
				if at := w.owned.LastFailure(); !at.IsZero() {
					t.Errorf("a failure at %s", at)
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
func TestLastFailureHasMovedBeforeThereIsANewConnection(t *testing.T) {
	for name, end := range map[string]func(w pair){
		"doubted": func(w pair) { w.server.Faults().CutLinks("files", "owned") },
		"dead":    func(w pair) { w.owned.g.fail(io.EOF) },
	} {
		t.Run(name, func(t *testing.T) {
			var w pair
			var began time.Time
			seen := 0
			see := func() { // the old connection is retired, and whoever did that is still in the middle of it
				if seen++; w.owned.LastFailure().Before(began) {
					t.Error("a new connection could be had before LastFailure moved")
				}
			}
			withPair(t, func(t *testing.T, with pair) {
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
			}, func(o *Options) { o.Connections, o.Logger = 1, slog.New(spy{slog.DiscardHandler, see}) })
		})
	}
}
