package bustest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/bus/bustest"
)

var errFault = errors.New("the connection was reset")

// strike lets the next call of a kind go wrong, once.
func strike(b *bustest.Broker, op bustest.Op, f bustest.Fault) {
	b.Fault = func(c bustest.Call) bustest.Fault {
		if c.Op != op {
			return bustest.Fault{}
		}
		b.Fault = nil
		return f
	}
}

// bubble runs a test with a fresh broker and a session of it that has its first message.
func bubble(t *testing.T, test func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage)) {
	synctest.Test(t, func(t *testing.T) {
		b := bustest.New(t, namespace())
		w := &world{T: t, server: fakeServer{b}, one: fakeProcess{b.Client()}, other: fakeProcess{b.Client()}}
		w.send("A", "a1")
		s := w.take(w.one, "A")
		test(w, b, s, w.receive(s))
	})
}

// A call that fails may have had its effect or not: the fault says which, and the caller hears the same.
func TestAFaultSaysWhetherTheCallTookEffect(t *testing.T) {
	effects := map[bustest.Op]struct {
		do    func(w *world, s session, m *azservicebus.ReceivedMessage) error
		taken func(w *world) bool
	}{
		bustest.OpComplete: {
			func(w *world, s session, m *azservicebus.ReceivedMessage) error { return s.Complete(w.Context(), m) },
			func(w *world) bool { return len(w.Messages("files")) == 0 },
		},
		bustest.OpDeadLetter: {
			func(w *world, s session, m *azservicebus.ReceivedMessage) error {
				return s.DeadLetter(w.Context(), m, nil)
			},
			func(w *world) bool { return len(w.Messages(deadFiles)) == 1 },
		},
		bustest.OpSetState: {
			func(w *world, s session, _ *azservicebus.ReceivedMessage) error {
				return s.SetState(w.Context(), []byte("x"))
			},
			func(w *world) bool { return len(w.Sessions("files")[0].State) == 1 },
		},
		bustest.OpSend: {
			func(w *world, _ session, _ *azservicebus.ReceivedMessage) error {
				return w.one.Sender("files").Send(w.Context(), message("B", "b1"))
			},
			func(w *world) bool { return len(w.Sessions("files")) == 2 },
		},
		bustest.OpAcceptByID: {
			func(w *world, _ session, _ *azservicebus.ReceivedMessage) error {
				_, err := w.one.AcceptByID(w.Context(), files, "B")
				return err
			},
			func(w *world) bool { return len(w.Sessions("files")) == 2 && w.Sessions("files")[1].Owned },
		},
	}
	for op, e := range effects {
		for name, f := range map[string]bustest.Fault{
			"lost": {Skip: true, Err: errFault}, "answer lost": {Err: errFault}, "slow": {Delay: time.Second},
			"skipped without a word": {Skip: true},
		} {
			t.Run(string(op)+" "+name, func(t *testing.T) {
				bubble(t, func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
					strike(b, op, f)
					began := time.Now()
					err := e.do(w, s, m)
					if !errors.Is(err, f.Err) {
						t.Errorf("heard %v, want %v", err, f.Err)
					}
					if got := e.taken(w); got == f.Skip {
						t.Errorf("took effect: %v", got)
					}
					if time.Since(began) != f.Delay {
						t.Errorf("it took %v", time.Since(began))
					}
				})
			})
		}
	}
}

func TestACallThatHangsEndsAtItsBound(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		strike(b, bustest.OpComplete, bustest.Fault{Hang: true})
		began := time.Now()
		w.lost(s.Complete(w.Context(), m))
		if took := time.Since(began); took != bus.DefaultCallTimeout {
			t.Errorf("after %v", took)
		}
		w.same([]string{"a1"}, w.bodies("files"))
	})
}

func TestACallThatHangsEndsWithItsCaller(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		strike(b, bustest.OpComplete, bustest.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		if err := s.Complete(ctx, m); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, bus.ErrLost) {
			t.Errorf("heard %v", err)
		}
		w.alive(s)
	})
}

// What happens first happens before the call: a lock that is taken away then is missing in the call.
func TestAFaultCanComeFirst(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		strike(b, bustest.OpComplete, bustest.Fault{First: func() { b.ExpireSession("files", "A") }})
		w.lost(s.Complete(w.Context(), m))
		w.same([]string{"a1"}, w.bodies("files"))
	})
}

func TestADeadProcessDoesNothingAndKeepsItsLocksUntilTheyRunOut(t *testing.T) {
	bubble(t, func(w *world, _ *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		w.one.(fakeProcess).Kill()
		for _, c := range calls {
			if err := c.do(w.Context(), s, m); !errors.Is(err, bus.ErrLost) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if err := s.Close(w.Context()); !errors.Is(err, bustest.ErrKilled) {
			t.Errorf("close: %v", err)
		}
		for name, err := range map[string]error{
			"accept": second(w.one.AcceptNext(w.Context(), files, time.Second)),
			"send":   w.one.Sender("files").Send(w.Context(), message("A", "a2")),
		} {
			if !errors.Is(err, bustest.ErrKilled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.same([]string{"a1"}, w.bodies("files"))
		if _, err := w.other.AcceptByID(w.Context(), files, "A"); !errors.Is(err, bus.ErrTaken) {
			t.Errorf("its lock: %v", err)
		}
		w.Pass(lockTime)
		w.take(w.other, "A")
	})
}

func second(_ any, err error) error { return err }

// A process that dies while it waits for a session gets none.
func TestADeadProcessIsGivenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bustest.New(t, namespace())
		dead, alive := b.Client(), b.Client()
		got := make(chan error, 1)
		go func() { got <- second(dead.AcceptNext(t.Context(), files, time.Minute)) }()
		synctest.Wait()
		dead.Kill()
		if err := <-got; !errors.Is(err, bustest.ErrKilled) {
			t.Error(err)
		}
		if err := alive.Sender("files").Send(t.Context(), message("A", "a1")); err != nil {
			t.Fatal(err)
		}
		if _, err := alive.AcceptNext(t.Context(), files, time.Second); err != nil {
			t.Error(err)
		}
	})
}

func TestACutFreesWhatAProcessOwns(t *testing.T) {
	bubble(t, func(w *world, _ *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		w.one.(fakeProcess).Cut()
		if got := w.receive(w.take(w.other, "A")); got.DeliveryCount != 1 {
			t.Errorf("delivery %d: a cut counts", got.DeliveryCount)
		}
		w.lost(s.Complete(w.Context(), m))
		w.take(w.one, "B") // it lives, and connects anew
	})
}

func TestTheBrokersClockMayDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bustest.New(t, namespace())
		b.Skew = time.Minute
		w := &world{T: t, server: fakeServer{b}, one: fakeProcess{b.Client()}, other: fakeProcess{b.Client()}}
		s := w.take(w.one, "A")
		granted, until := s.Lock()
		w.same(lockTime+time.Minute, until.Sub(granted))
		w.Pass(lockTime - time.Second)
		w.alive(s) // by the broker's clock the lock lasts as long as ever
		w.Pass(lockTime)
		w.take(w.other, "A")
	})
}

func TestStateCanBeWrittenPastItsOwner(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, _ *azservicebus.ReceivedMessage) {
		w.must(b.SetState(files, "A", []byte("owned")))
		w.must(b.SetState(files, "B", []byte("free")))
		w.same([]string{"owned", "free"}, []string{w.state(s), w.state(w.take(w.other, "B"))})
		w.same("owned", string(b.State(files, "A")))
	})
}

func TestTheLockOfAQueueCanBeChanged(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, _ session, _ *azservicebus.ReceivedMessage) {
		w.must(b.SetLock("files", time.Minute))
		granted, until := w.take(w.one, "B").Lock()
		w.same(time.Minute, until.Sub(granted))
	})
}

func TestCallsAreCounted(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, m *azservicebus.ReceivedMessage) {
		before := b.Calls("")
		var got bustest.Call
		b.Fault = func(c bustest.Call) bustest.Fault {
			got = c
			return bustest.Fault{}
		}
		w.must(s.Complete(w.Context(), m))
		if want := (bustest.Call{Op: bustest.OpComplete, Address: "files", Session: "A", By: w.one.(fakeProcess).Client, N: before}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		w.same([]int{before + 1, 1, 0}, []int{b.Calls(""), b.Calls(bustest.OpComplete), b.Calls(bustest.OpAbandon)})
	})
}

// An accept that succeeds, and loses its session at once, knows which one it was.
func TestAFaultCanComeAfterTheCall(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, _ session, _ *azservicebus.ReceivedMessage) {
		w.send("B", "b1")
		strike(b, bustest.OpAccept, bustest.Fault{Then: func(c bustest.Call) { b.Steal(files, c.Session) }})
		s := w.next(w.one, files)
		w.same("B", s.ID())
		w.lost(s.Renew(w.Context()))
	})
}

// Who lost a session in a way that he could not know of is known, until he gives it up.
func TestAStolenSessionIsKnownToTheTest(t *testing.T) {
	bubble(t, func(w *world, b *bustest.Broker, s session, _ *azservicebus.ReceivedMessage) {
		one, other := w.one.(fakeProcess).Client, w.other.(fakeProcess).Client
		is := func(owns, robbed bool) {
			t.Helper()
			w.same([]bool{owns, robbed}, []bool{one.Owns(files, "A"), one.Robbed("A")})
		}
		is(true, false)
		one.StealAll(files)
		is(false, true)
		w.take(w.other, "A")
		is(false, true)
		if b.Owner(files, "A") != other || b.Owner(files, "B") != nil || b.Steal(files, "B") {
			t.Error("the owner is somebody else")
		}
		_ = s.Close(w.Context()) // it is lost
		is(false, false)
		w.Pass(lockTime)
		w.same(false, other.Owns(files, "A")) // it ran out
	})
}
