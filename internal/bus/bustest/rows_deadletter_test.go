package bustest_test

import (
	"errors"
	"fnobridge/internal/bus"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// deadRows are about the dead-letter queue.
var deadRows = []row{
	{"a peek locks nothing and shows what is locked", func(w *world) {
		w.kill("A", 5)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 2, time.Second)
		w.must(err)
		page, err := d.Peek(w.Context(), 1, 10)
		w.must(err)
		if len(got) != 2 || len(page) != 5 {
			w.Fatalf("%d received, %d peeked", len(got), len(page))
		}
		part, err := d.Peek(w.Context(), *page[2].SequenceNumber, 2)
		w.must(err)
		w.same([]string{"A3", "A4"}, texts(part))
		rest, err := w.dead(w.other).Receive(w.Context(), 10, time.Second)
		w.must(err)
		w.same([]string{"A3", "A4", "A5"}, texts(rest))
	}},
	{"an empty dead-letter queue is no error", func(w *world) {
		d := w.dead(w.one)
		page, err := d.Peek(w.Context(), 1, 10)
		if len(page) != 0 || err != nil {
			w.Errorf("peeked %v, %v", page, err)
		}
		got, err := d.Receive(w.Context(), 10, 50*time.Millisecond)
		if len(got) != 0 || err != nil {
			w.Errorf("received %v, %v", got, err)
		}
	}},
	{"a dead letter is settled by its token, over any connection", func(w *world) {
		w.kill("A", 2)
		got, err := w.dead(w.one).Receive(w.Context(), 2, time.Second)
		w.must(err)
		w.must(w.dead(w.other).Complete(w.Context(), got[0].LockToken))
		w.same([]string{"A2"}, w.bodies(deadFiles))
	}},
	{"a token settles once", func(w *world) {
		w.kill("A", 1)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 1, time.Second)
		w.must(err)
		w.must(d.Complete(w.Context(), got[0].LockToken))
		if err := d.Complete(w.Context(), got[0].LockToken); !errors.Is(err, bus.ErrLockLost) {
			w.Errorf("completed twice: %v", err)
		}
	}},
	{"an abandoned dead letter comes again", func(w *world) {
		w.kill("A", 1)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 1, time.Second)
		w.must(err)
		d.Stop(w.Context())
		w.must(d.Abandon(w.Context(), got[0].LockToken))
		again, err := w.dead(w.other).Receive(w.Context(), 1, time.Second)
		w.must(err)
		w.same([]string{"A1"}, texts(again))
	}},
	{"the lock of a dead letter ends, and its token with it", func(w *world) {
		w.kill("A", 1)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 1, time.Second)
		w.must(err)
		d.Stop(w.Context())
		w.Pass(lockTime + time.Second)
		if err := d.Complete(w.Context(), got[0].LockToken); !errors.Is(err, bus.ErrLockLost) {
			w.Errorf("completed: %v", err)
		}
		if _, err := d.Renew(w.Context(), got[0].LockToken); !errors.Is(err, bus.ErrLockLost) {
			w.Errorf("renewed: %v", err)
		}
		w.same([]string{"A1"}, w.bodies(deadFiles))
	}},
	{"the lock of a dead letter can be renewed", func(w *world) {
		w.kill("A", 1)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 1, time.Second)
		w.must(err)
		w.Pass(lockTime * 2 / 3)
		until, err := d.Renew(w.Context(), got[0].LockToken)
		w.must(err)
		if longer := until.Sub(*got[0].LockedUntil); longer < lockTime/2 {
			w.Errorf("longer by %v", longer)
		}
		w.Pass(lockTime * 2 / 3)
		w.must(d.Complete(w.Context(), got[0].LockToken))
	}},
	{"what was locked can be settled after the end of receiving", func(w *world) {
		w.kill("A", 1)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 1, time.Second)
		w.must(err)
		d.Stop(w.Context())
		w.must(d.Complete(w.Context(), got[0].LockToken))
		w.same([]string(nil), w.bodies(deadFiles))
	}},
	{"a deferred dead letter comes only when asked for", func(w *world) {
		w.kill("A", 2)
		seq := w.Messages(deadFiles)[0].Sequence
		w.Defer(w.T, deadFiles, seq)
		d := w.dead(w.one)
		got, err := d.Receive(w.Context(), 10, time.Second)
		w.must(err)
		w.same([]string{"A2"}, texts(got))
		page, err := d.Peek(w.Context(), 1, 10)
		w.must(err)
		if page[0].State != azservicebus.MessageStateDeferred {
			w.Errorf("state %v", page[0].State)
		}
		m, err := d.ReceiveDeferred(w.Context(), seq)
		w.must(err)
		if m == nil || string(m.Body) != "A1" {
			w.Fatalf("got %v", m)
		}
		w.must(d.Abandon(w.Context(), m.LockToken))
		if got, err := w.dead(w.other).Receive(w.Context(), 10, 50*time.Millisecond); len(got) > 0 || err != nil {
			w.Errorf("given back, it came by itself: %v, %v", texts(got), err)
		}
		m, err = d.ReceiveDeferred(w.Context(), seq)
		w.must(err)
		w.must(d.Complete(w.Context(), m.LockToken))
		w.same([]string{"A2"}, w.bodies(deadFiles))
		if m, err := d.ReceiveDeferred(w.Context(), seq); m != nil || err != nil {
			w.Errorf("got %v, %v", m, err)
		}
	}},
}
