package servicebus_test

import (
	"errors"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"
)

func TestIdleLinkIsDetached(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock, IdleRules: true})
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(100), receiveFrom("q", 0), credit(0, 1))
	until[*amqp.Attach](c)
	f := credit(0, 1)
	f.Echo, f.HasHandle = true, false
	c.send(0, f)
	until[*amqp.Flow](c) // the credit has arrived
	clock.Advance(9 * time.Minute)
	r.send("q", text("x")) // a delivery is a use
	until[*amqp.Transfer](c)
	clock.Advance(9 * time.Minute)
	if n := r.server.Faults().DetachLinks("dup", "", ""); n != 0 {
		t.Errorf("%d links on another queue", n)
	}
	clock.Advance(time.Minute)
	if d, _ := until[*amqp.Detach](c); d.Error == nil || d.Error.Condition != amqp.DetachForced || !d.Closed {
		t.Errorf("%+v", d)
	}
	c.send(0, &amqp.Detach{Closed: true}, &amqp.End{})
	until[*amqp.End](c)
	clock.Advance(sweep)
	clock.Advance(5*time.Minute - sweep)
	if cl, _ := until[*amqp.Close](c); cl.Error == nil || cl.Error.Condition != amqp.ConnectionForced {
		t.Errorf("%+v", cl)
	}
}

const sweep = 15 * time.Second

func TestConnectionWithoutLinksIsClosed(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock, IdleRules: true})
	c := dialRaw(t, r.server, nil)
	clock.Advance(sweep)
	clock.Advance(time.Minute)
	if cl, _ := until[*amqp.Close](c); cl.Error == nil || cl.Error.Condition != amqp.ConnectionForced {
		t.Errorf("%+v", cl)
	}
}

// TestRenewalKeepsTheLinkAlive holds a message for an hour and renews its session: the Go client names its link with
// each renewal.
func TestRenewalKeepsTheLinkAlive(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	n := namespace()
	n.Queues[1].LockDuration = 5 * time.Minute
	r := start(t, servicebus.Options{Clock: clock, IdleRules: true, Namespace: n})
	r.send("s", in("A", "x"))
	x := r.accept("s", "A")
	m := r.one(x)
	for range 20 {
		clock.Advance(3 * time.Minute)
		r.must(x.RenewSessionLock(t.Context(), nil))
	}
	r.must(x.CompleteMessage(brief(t), m, nil))
}

func TestWithoutIdleRulesLinksStay(t *testing.T) {
	clock := servicebus.NewFakeClock(time.Now())
	r := start(t, servicebus.Options{Clock: clock})
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(100), receiveFrom("q", 0), credit(0, 1))
	until[*amqp.Attach](c)
	clock.Advance(24 * time.Hour)
	r.send("q", text("x"))
	until[*amqp.Transfer](c)
}

func TestCloseWhileClientsWork(t *testing.T) {
	r := start(t, servicebus.Options{})
	done := make(chan error, 1)
	x := r.receiver("q", nil)
	go func() {
		_, err := x.ReceiveMessages(t.Context(), 1, nil)
		done <- err
	}()
	r.must(r.server.Await(t.Context(), func() bool { return r.server.Connections() == 1 }))
	r.must(r.server.Close())
	r.must(r.server.Close())
	if n := r.server.Connections(); n != 0 {
		t.Errorf("%d connections after Close", n)
	}
	if _, err := r.server.Dial(t.Context()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	r.must(r.client.Close(t.Context()))
	<-done //nolint:errcheck // it has ended; how does not matter
}
