package servicebus_test

import (
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"
)

// bubble starts a server without a port, and a raw client on it.
func bubble(t *testing.T, n entity.Namespace) (*servicebustest.Bus, *raw) {
	t.Helper()
	server := servicebustest.New(t, servicebustest.InMemory, servicebustest.Namespace(n))
	nc, err := server.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server, openRaw(t, nc, nil)
}

// longLocks is a namespace whose session locks outlive what the tests wait for.
func longLocks() entity.Namespace {
	n := namespace()
	n.Queues[1].LockDuration = entity.MaxLockDuration
	return n
}

// TestDeadClientIsCut has a client that owns a session, asks for more, and then reads nothing: it is cut after the
// write time, which frees the session.
func TestDeadClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, c := bubble(t, longLocks())
		c.send(0, beginRaw(100), bySession(receiveFrom("s", 0), "A"))
		until[*amqp.Attach](c)
		began := time.Now()
		c.send(0, &amqp.Flow{HasNextIncomingID: true, IncomingWindow: 100, OutgoingWindow: 100, Echo: true})
		if err := server.Await(t.Context(), func() bool { return len(server.Sessions("s")) == 0 }); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 30*time.Second {
			t.Errorf("cut after %v", waited)
		}
	})
}

// TestSilentClientIsCut has a client that says nothing for twice the idle timeout it was told.
func TestSilentClientIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := bubble(t, namespace())
		began := time.Now()
		if cl, _ := until[*amqp.Close](c); cl.Error == nil {
			t.Error("closed without an error")
		}
		if waited := time.Since(began); waited != 8*time.Minute {
			t.Errorf("cut after %v", waited)
		}
	})
}

// TestHalfHandshakeIsCut has a client that never gets beyond the first byte.
func TestHalfHandshakeIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, _ := bubble(t, namespace())
		for _, said := range []string{"", "A", "\x16"} {
			nc, err := server.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if said != "" {
				if _, err := nc.Write([]byte(said)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := nc.Read(make([]byte, 1)); err == nil {
				t.Errorf("%q is answered", said)
			}
			if waited := time.Since(began); waited != time.Minute {
				t.Errorf("%q: cut after %v", said, waited)
			}
		}
	})
}

// TestUnfinishedDeliveriesAreBounded starts messages on many links and ends none.
func TestUnfinishedDeliveriesAreBounded(t *testing.T) {
	r := start(t, servicebus.Options{})
	c := dialRaw(t, r.server, nil)
	part := make([]byte, 60<<10)
	before := heapMB()
	go func() { // stops when the connection is closed
		say := func(channel uint16, p amqp.Performative, payload []byte) bool {
			b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, channel)
			_, err := c.nc.Write(amqp.EndFrame(append(p.Append(b), payload...), at))
			return err == nil
		}
		for channel := range uint16(4) {
			if !say(channel, beginRaw(5000), nil) {
				return
			}
			for h := range uint32(200) {
				if !say(channel, sendTo("q", h), nil) {
					return
				}
				for range 5 { // 300 KB of what may be 320
					if !say(channel, &amqp.Transfer{Handle: h, HasDeliveryID: true, DeliveryID: h, DeliveryTag: []byte{1},
						More: true}, part) {
						return
					}
				}
			}
		}
	}()
	if cl, _ := until[*amqp.Close](c); cl.Error == nil || cl.Error.Condition != amqp.ResourceLimitExceeded {
		t.Errorf("%+v", cl)
	}
	r.must(r.server.Await(t.Context(), func() bool { return r.server.Connections() == 0 }))
	if grown := heapMB() - before; grown > 20 {
		t.Errorf("%d MB are left behind", grown)
	}
}

// TestAnswersWithoutCreditAreBounded asks without giving credit for answers.
func TestAnswersWithoutCreditAreBounded(t *testing.T) {
	r := start(t, servicebus.Options{})
	for range 5 {
		r.send("q", text(string(make([]byte, 200<<10))))
	}
	c := dialRaw(t, r.server, nil)
	in := sendTo("q/$management", 0)
	in.SenderSettleMode = amqp.SenderSettled
	c.send(0, beginRaw(5000), in, receiveFrom("q/$management", 1))
	until[*amqp.Flow](c)
	m := amqp.Message{
		ApplicationProperties: amqp.AppendMap(nil, amqp.Map{{Key: "operation", Value: "com.microsoft:peek-message"}}),
		Body: amqp.AppendValue([]byte{0, 0x53, amqp.SectionValue},
			amqp.Map{{Key: "from-sequence-number", Value: int64(0)}, {Key: "message-count", Value: int32(5)}}),
	}
	for i := range uint32(15) {
		c.transfer(0, &amqp.Transfer{HasDeliveryID: true, DeliveryID: i, DeliveryTag: []byte{1}, Settled: true},
			m.Append(nil))
	}
	f := credit(1, 0)
	f.Echo, f.HasHandle = true, false
	c.send(0, f)
	until[*amqp.Flow](c) // 15 MB wait, and that is still allowed
	for i := range uint32(5) {
		b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
		t := &amqp.Transfer{HasDeliveryID: true, DeliveryID: 20 + i, DeliveryTag: []byte{1}, Settled: true}
		if _, err := c.nc.Write(amqp.EndFrame(append(t.Append(b), m.Append(nil)...), at)); err != nil {
			break // closed already
		}
	}
	if cl, _ := until[*amqp.Close](c); cl.Error == nil || cl.Error.Condition != amqp.ResourceLimitExceeded {
		t.Errorf("%+v", cl)
	}
}
