package servicebus_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/servicebustest"
)

// TestGarbageHurtsOnlyItself sends all kinds of nonsense beside a healthy client.
func TestGarbageHurtsOnlyItself(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("q", text("healthy"))
	x := r.receiver("q", nil)
	frame := func(body ...byte) []byte {
		b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
		return amqp.EndFrame(append(b, body...), at)
	}
	perf := func(ps ...amqp.Performative) (out []byte) {
		for _, p := range ps {
			var at int
			out, at = amqp.BeginFrame(out, amqp.FrameAMQP, 0)
			out = amqp.EndFrame(p.Append(out), at)
		}
		return out
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for name, bytes := range map[string][]byte{
		"noise":                 append([]byte{0, 0, 16, 8, 2, 0, 0, 0}, noise...),
		"huge frame":            {0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0},
		"frame below header":    {0, 0, 0, 4, 2, 0, 0, 0},
		"data offset too large": {0, 0, 0, 8, 200, 0, 0, 0},
		"sasl frame":            {0, 0, 0, 9, 2, 1, 0, 0, 0},
		"not a performative":    frame(0x40),
		"unknown performative":  frame(0, 0x53, 0x99, 0x45),
		"bomb of nested values": frame(bytes.Repeat([]byte{0}, 4000)...),
		"array of a million":    frame(0, 0x53, 0x10, 0xd0, 0, 0, 0, 14, 0, 0, 0, 1, 0xf0, 0, 0, 0, 5, 0, 16, 0, 0, 0x40),
		"no session":            perf(credit(0, 1)),
		"second open":           perf(&amqp.Open{ContainerID: "again"}),
		"begin twice":           perf(beginRaw(1), beginRaw(1)),
		"handle too large":      perf(beginRaw(1), &amqp.Attach{Name: "x", Handle: 1 << 30}),
		"handle twice":          perf(beginRaw(1), sendTo("q", 0), sendTo("q", 0)),
		"transfer to receiver":  perf(beginRaw(1), receiveFrom("q", 0), &amqp.Transfer{HasDeliveryID: true}),
		"transfer without id":   perf(beginRaw(1), sendTo("q", 0), &amqp.Transfer{}),
	} {
		t.Run(name, func(t *testing.T) {
			bad := dialRaw(t, r.server, nil)
			bad.write(bytes)
			if c, _ := until[*amqp.Close](bad); c.Error == nil {
				t.Error("closed without an error")
			}
			if p := bad.read(); p != nil {
				t.Errorf("%T after close", p)
			}
		})
	}
	for _, hello := range []string{"A\r\n\r\n", "AMQP\x09\x09\x09\x09",
		"AMQP\x03\x01\x00\x00\x00\x00\x00\x08\x02\x01\x00\x00", "\x16\x03\x01\x00\x05hello", "GET / NONSENSE\r\n\r\n"} {
		nc, err := net.Dial("tcp", r.server.Addr())
		r.must(err)
		_, err = nc.Write([]byte(hello))
		r.must(err)
		r.must(nc.(*net.TCPConn).CloseWrite())
		if _, err := nc.Read(make([]byte, 1)); err != nil && len(hello) == 0 {
			t.Error(err)
		}
		_ = nc.Close()
	}
	r.must(x.CompleteMessage(t.Context(), r.one(x), nil))
}

// TestUndecodableMessageIsRejected keeps the link: only the message is bad.
func TestUndecodableMessageIsRejected(t *testing.T) {
	r := start(t, servicebus.Options{})
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(100), sendTo("q", 0))
	until[*amqp.Flow](c)
	for i, bad := range [][]byte{{}, {1, 2, 3}, {0, 0x53, 0x73, 0x40}, {0, 0x53, 0x72, 0xc1, 0xff},
		{0, 0x53, 0x79, 0x40}} {
		c.transfer(0, &amqp.Transfer{HasDeliveryID: true, DeliveryID: uint32(i), DeliveryTag: []byte{1}}, bad)
		d, _ := until[*amqp.Disposition](c)
		if wantReject := len(bad) > 0; (d.State.Kind == amqp.Rejected) != wantReject && i != 2 {
			t.Errorf("%x: %+v", bad, d.State)
		}
	}
	c.transfer(0, &amqp.Transfer{HasDeliveryID: true, DeliveryID: 9, DeliveryTag: []byte{1}}, data([]byte("good")))
	if d, _ := until[*amqp.Disposition](c); d.State.Kind != amqp.Accepted {
		t.Errorf("%+v", d.State)
	}
}

// TestSlowClientIsBounded has a client ask for 200 MB and read nothing.
func TestSlowClientIsBounded(t *testing.T) {
	r := start(t, servicebus.Options{})
	s, err := r.client.NewSender("q", nil)
	r.must(err)
	body := make([]byte, 200<<10)
	const n = 500
	for range n {
		r.must(s.SendMessage(t.Context(), text(string(body)), nil))
	}
	before := heapMB()
	c := dialRaw(t, r.server, &amqp.Open{ContainerID: "slow", MaxFrameSize: 65536})
	c.send(0, beginRaw(1<<20), receiveFrom("q", 0), credit(0, 100_000))
	p, _ := until[*amqp.Transfer](c) // the emulator is sending
	_ = p
	r.must(r.server.Await(t.Context(), func() bool { return locked(r.server, "q") > 0 }))
	if got := locked(r.server, "q"); got > 100 {
		t.Errorf("%d of %d messages of 200 kB are on their way to a client that reads nothing", got, n)
	}
	if grown := heapMB() - before; grown > 20 {
		t.Errorf("the heap grew by %d MB", grown)
	}
	// Others are served meanwhile.
	x := r.receiver("q", nil)
	r.must(x.CompleteMessage(t.Context(), r.one(x), nil))
	// Once it reads, it gets on.
	for range 20 {
		until[*amqp.Transfer](c)
	}
}

// TestRequestsWithoutReading has a client ask for large answers and read none.
func TestRequestsWithoutReading(t *testing.T) {
	r := start(t, servicebus.Options{})
	s, err := r.client.NewSender("q", nil)
	r.must(err)
	for range 5 {
		r.must(s.SendMessage(t.Context(), text(string(make([]byte, 200<<10))), nil))
	}
	before := heapMB()
	c := dialRaw(t, r.server, &amqp.Open{ContainerID: "slow"})
	in, out := sendTo("q/$management", 0), receiveFrom("q/$management", 1)
	in.SenderSettleMode, out.Target = amqp.SenderSettled, &amqp.Target{Address: "me", HasAddress: true}
	c.send(0, beginRaw(1<<20), in, out, credit(1, 100_000))
	until[*amqp.Flow](c)
	reply := "me"
	props := amqp.Properties{MessageID: "1", ReplyTo: &reply}
	m := amqp.Message{
		Properties: props.Encode(), ApplicationProperties: amqp.AppendMap(nil,
			amqp.Map{{Key: "operation", Value: "com.microsoft:peek-message"}}),
		Body: amqp.AppendValue([]byte{0, 0x53, amqp.SectionValue},
			amqp.Map{{Key: "from-sequence-number", Value: int64(0)}, {Key: "message-count", Value: int32(5)}}),
	}
	payload := m.Append(nil)
	// 400 answers of 1 MB each; the emulator must stop reading long before.
	_ = c.nc.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for i := range 400 {
		b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
		b = amqp.EndFrame(append((&amqp.Transfer{Handle: 0, HasDeliveryID: true, DeliveryID: uint32(i),
			DeliveryTag: []byte{1}, Settled: true}).Append(b), payload...), at)
		if _, err := c.nc.Write(b); err != nil {
			break
		}
	}
	if grown := heapMB() - before; grown > 40 {
		t.Errorf("the heap grew by %d MB", grown)
	}
	x := r.receiver("q", nil)
	r.must(x.CompleteMessage(t.Context(), r.one(x), nil))
}

func locked(s *servicebustest.Bus, address string) (n int) {
	for _, m := range s.Messages(address) {
		if m.State == "locked" {
			n++
		}
	}
	return n
}

func heapMB() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc >> 20)
}

// TestSmallWindowAndFrames sends a large message through tiny frames and a window of one transfer.
func TestSmallWindowAndFrames(t *testing.T) {
	r := start(t, servicebus.Options{})
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i)
	}
	r.send("q", text(string(body)))
	c := dialRaw(t, r.server, &amqp.Open{ContainerID: "tiny", MaxFrameSize: 512})
	c.send(0, beginRaw(1), receiveFrom("q", 0))
	until[*amqp.Attach](c)
	f := credit(0, 1)
	f.IncomingWindow = 1
	c.send(0, f)
	var got []byte
	for n := uint32(1); ; n++ {
		p, part := until[*amqp.Transfer](c)
		got = append(got, part...)
		if !p.More {
			break
		}
		c.send(0, &amqp.Flow{HasNextIncomingID: true, NextIncomingID: n, IncomingWindow: 1, OutgoingWindow: 1})
	}
	m, err := amqp.ParseMessage(got)
	r.must(err)
	all, err := m.Datas()
	r.must(err)
	if len(all) != 1 || string(all[0]) != string(body) {
		t.Error("the body changed on the way")
	}
}

// TestTransactionsAreRefused refuses the coordinator as the specification asks.
func TestTransactionsAreRefused(t *testing.T) {
	r := start(t, servicebus.Options{})
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(10), &amqp.Attach{Name: "tx", Role: amqp.RoleSender, Source: &amqp.Source{}, Coordinator: true})
	if a, _ := until[*amqp.Attach](c); a.Target != nil {
		t.Error("attached")
	}
	if d, _ := until[*amqp.Detach](c); d.Error == nil || d.Error.Condition != amqp.NotImplemented {
		t.Errorf("%+v", d)
	}
}

// TestDrain answers a drain with the credit consumed.
func TestDrain(t *testing.T) {
	r := start(t, servicebus.Options{})
	r.send("q", text("x"))
	c := dialRaw(t, r.server, nil)
	c.send(0, beginRaw(100), receiveFrom("q", 0), credit(0, 10))
	until[*amqp.Transfer](c)
	f := credit(0, 10)
	f.Drain = true
	c.send(0, f)
	if f, _ := until[*amqp.Flow](c); !f.Drain || f.LinkCredit != 0 || f.DeliveryCount != 10 || !f.HasNextIncomingID {
		t.Errorf("%+v", f)
	}
}

// TestIdleFrames keeps a client alive that announces a short idle timeout.
func TestIdleFrames(t *testing.T) {
	r := start(t, servicebus.Options{})
	c := dialRaw(t, r.server, &amqp.Open{ContainerID: "idle", IdleTimeout: 40})
	for range 3 {
		f, err := c.in.Read()
		if err != nil || len(f.Body) != 0 {
			t.Fatalf("%v, %v", f, err)
		}
	}
}

func ExampleStart() {
	server, err := servicebus.Start(servicebus.Options{Addr: "none", Namespace: namespace()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(server.Entities())
	if err := server.Close(); err != nil {
		fmt.Println(err)
	}
	// Output: [dup q s t t/Subscriptions/a t/Subscriptions/b]
}
