package broker_test

import (
	"testing"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"

	"github.com/google/go-cmp/cmp"
)

func TestLockExpiryCountsADelivery(t *testing.T) {
	w := build(t, queueOf(nil))
	w.send("q", message{body: "a"})
	x := w.receive("q", 1)
	w.expect("q", "a locked 0")
	w.clock.Advance(entity.DefaultLockDuration - 1)
	w.expect("q", "a locked 0")
	w.clock.Advance(1)
	w.expect("q", "a active 1")
	if err := x.c.Settle(x.got[0].token, broker.Outcome{}); condition(err) != amqp.MessageLockLost {
		t.Errorf("settled after the lock: %v", err)
	}
	x.c.Flow(1, 1, false)
	if x.got[1].count != 1 {
		t.Errorf("delivery-count %d", x.got[1].count)
	}
}

func TestRenewedLockLives(t *testing.T) {
	w := build(t, queueOf(nil))
	w.send("q", message{body: "a"})
	x := w.receive("q", 1)
	w.clock.Advance(50 * time.Second)
	until, err := w.manager("q").RenewLocks([]amqp.UUID{x.got[0].token})
	if err != nil || !until[0].Equal(epoch.Add(110*time.Second)) {
		t.Fatalf("%v, %v", until, err)
	}
	w.clock.Advance(59 * time.Second)
	x.settle(0, broker.Outcome{})
	w.expect("q")
	if _, err := w.manager("q").RenewLocks([]amqp.UUID{x.got[0].token}); condition(err) != amqp.MessageLockLost {
		t.Errorf("renewed a settled message: %v", err)
	}
}

func TestLockOutlivesThePlainReceiver(t *testing.T) {
	w := build(t, queueOf(nil))
	w.send("q", message{body: "a"})
	x := w.receive("q", 1)
	x.c.Close()
	w.expect("q", "a locked 0")
	if err := w.manager("q").Settle([]amqp.UUID{x.got[0].token}, broker.Outcome{}); err != nil {
		t.Error(err)
	}
	w.expect("q")
}

func TestClosedSessionDoesNotCount(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"}, message{body: "2", session: "A"})
	x := w.accept("A", 2)
	x.c.Close()
	w.expect("q", "1 active 0", "2 active 0")
	y := w.accept("A", 1)
	if diff := cmp.Diff([]string{"1"}, y.bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestExpiredSessionCountsWhatItHeld(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"}, message{body: "2", session: "A"})
	x := w.accept("A", 1)
	w.clock.Advance(entity.DefaultLockDuration)
	w.expect("q", "1 active 1", "2 active 0")
	if condition(x.gone) != amqp.SessionLockLost {
		t.Errorf("detached with %v", x.gone)
	}
	if err := x.c.Settle(x.got[0].token, broker.Outcome{}); condition(err) != amqp.MessageLockLost {
		t.Errorf("settled: %v", err)
	}
	m := w.manager("q")
	if err := m.SetSessionState("A", []byte("late"), of(x)); condition(err) != amqp.SessionLockLost {
		t.Errorf("state set without the lock: %v", err)
	}
	y := w.accept("A", 2)
	if _, err := m.SessionState("A", of(x)); condition(err) != amqp.SessionLockLost {
		t.Errorf("the former owner still reads: %v", err)
	}
	if _, err := m.RenewSession("A", of(x)); condition(err) != amqp.SessionLockLost {
		t.Errorf("the former owner still renews: %v", err)
	}
	if diff := cmp.Diff([]string{"1", "2"}, y.bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestRenewedSessionLives(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"})
	x := w.accept("A", 1)
	for range 5 {
		w.clock.Advance(40 * time.Second)
		if until, err := w.manager("q").RenewSession("A", of(x)); err != nil || !until.Equal(w.clock.Now().Add(time.Minute)) {
			t.Fatalf("%v, %v", until, err)
		}
	}
	x.settle(0, broker.Outcome{})
	w.expect("q")
}

func TestSessionHasOneOwner(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"})
	w.accept("A", 0)
	_, err := w.b.OpenConsumer(broker.ConsumerOptions{Address: "q", Accept: broker.SessionByID, Session: "A",
		Sink: &client{w: w}})
	if condition(err) != amqp.SessionCannotBeLocked {
		t.Errorf("%v", err)
	}
	next := w.open(broker.ConsumerOptions{Address: "q", Accept: broker.NextSession, Wait: time.Second}, 0)
	if next.granted {
		t.Error("an owned session was granted")
	}
	w.clock.Advance(time.Second)
	if condition(next.refused) != amqp.Timeout {
		t.Errorf("refused with %v", next.refused)
	}
}

func TestNextSessionIsFairAndWaits(t *testing.T) {
	w := build(t, queueOf(sessions))
	next := func() *client {
		return w.open(broker.ConsumerOptions{Address: "q", Accept: broker.NextSession, Wait: time.Hour}, 0)
	}
	first, second := next(), next()
	w.send("q", message{body: "1", session: "A"}, message{body: "2", session: "B"}, message{body: "3", session: "C"})
	if first.session != "A" || second.session != "B" {
		t.Errorf("granted %q and %q", first.session, second.session)
	}
	first.c.Close()
	if third := next(); third.session != "C" {
		t.Errorf("granted %q, not the one that waits longest", third.session)
	}
	if fourth := next(); fourth.session != "A" {
		t.Errorf("granted %q", fourth.session)
	}
	cancelled := next()
	cancelled.c.Close()
	w.send("q", message{body: "4", session: "D"})
	if cancelled.granted {
		t.Error("granted to a receiver that has left")
	}
	if fifth := next(); fifth.session != "D" {
		t.Errorf("granted %q", fifth.session)
	}
}

func TestEmptySessionIsASession(t *testing.T) {
	w := build(t, queueOf(sessions))
	if err := w.trySend("q", message{body: "none"}); condition(err) != amqp.NotAllowed {
		t.Errorf("a message without a session: %v", err)
	}
	x := w.accept("", 1)
	if !x.granted || x.session != "" {
		t.Errorf("%+v", x)
	}
}

func TestSessionStateOutlivesMessages(t *testing.T) {
	w := build(t, queueOf(sessions))
	x := w.accept("A", 0)
	m := w.manager("q")
	if err := m.SetSessionState("A", []byte("s"), of(x)); err != nil {
		t.Fatal(err)
	}
	x.c.Close()
	y := w.accept("A", 0)
	if s, err := m.SessionState("A", of(y)); err != nil || string(s) != "s" {
		t.Errorf("%q, %v", s, err)
	}
	if err := m.SetSessionState("A", nil, of(y)); err != nil {
		t.Fatal(err)
	}
	y.c.Close()
	if s := w.b.SessionsOf("q"); len(s) != 0 {
		t.Errorf("left: %+v", s)
	}
}

func TestReleaseRestoresOrder(t *testing.T) {
	w := build(t, queueOf(sessions))
	w.send("q", message{body: "1", session: "A"}, message{body: "2", session: "A"}, message{body: "3", session: "A"})
	x := w.accept("A", 2)
	x.settle(1, broker.Outcome{Verdict: broker.Release})
	x.settle(0, broker.Outcome{Verdict: broker.Release})
	w.expect("q", "1 active 0", "2 active 0", "3 active 0")
	x.c.Flow(2, 3, false)
	if diff := cmp.Diff([]string{"1", "2", "1", "2", "3"}, x.bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestBusySinkWaits(t *testing.T) {
	w := build(t, queueOf(nil))
	x := w.receive("q", 0)
	x.busy = true
	x.c.Flow(0, 10, false)
	w.send("q", message{body: "a"})
	if len(x.got) != 0 {
		t.Fatal("delivered to a sink that was not ready")
	}
	y := w.receive("q", 1)
	if len(y.got) != 1 {
		t.Error("one slow receiver starves another")
	}
	w.send("q", message{body: "b"})
	x.busy = false
	x.c.Resume()
	if diff := cmp.Diff([]string{"b"}, x.bodies()); diff != "" {
		t.Error(diff)
	}
}

func TestReceiversTakeTurns(t *testing.T) {
	w := build(t, queueOf(nil))
	x, y := w.receive("q", 10), w.receive("q", 10)
	for _, body := range []string{"1", "2", "3", "4"} {
		w.send("q", message{body: body})
	}
	if diff := cmp.Diff([][]string{{"1", "3"}, {"2", "4"}}, [][]string{x.bodies(), y.bodies()}); diff != "" {
		t.Error(diff)
	}
}

func TestDrainConsumesCredit(t *testing.T) {
	w := build(t, queueOf(nil))
	w.send("q", message{body: "a"})
	x := w.receive("q", 0)
	x.c.Flow(0, 5, true)
	if diff := cmp.Diff([]uint32{5}, x.drained); diff != "" {
		t.Error(diff)
	}
	w.send("q", message{body: "b"})
	if len(x.got) != 1 {
		t.Error("delivered without credit")
	}
	x.c.Flow(5, 1, false)
	if len(x.got) != 2 {
		t.Error("not delivered with new credit")
	}
}
