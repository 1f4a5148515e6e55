package servicebus_test

import (
	"bufio"
	"io"
	"net"
	"testing"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/servicebustest"
)

// raw is a client that says what the test wants, byte for byte.
type raw struct {
	t  testing.TB
	nc net.Conn
	in *amqp.FrameReader
}

const rootKey = "\x00RootManageSharedAccessKey\x00SAS_KEY_VALUE"

// dialRaw connects and opens with all rights.
func dialRaw(t testing.TB, server *servicebustest.Bus, open *amqp.Open) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return openRaw(t, nc, open)
}

// openRaw opens an AMQP connection on nc.
func openRaw(t testing.TB, nc net.Conn, open *amqp.Open) *raw {
	t.Helper()
	t.Cleanup(func() { _ = nc.Close() }) // the server may have closed it
	r := &raw{t: t, nc: nc}
	br := bufio.NewReaderSize(nc, 64<<10)
	r.in = amqp.NewFrameReader(br, 1<<20)
	r.write([]byte("AMQP\x03\x01\x00\x00"))
	r.header(br, "AMQP\x03\x01\x00\x00")
	r.read()
	b, at := amqp.BeginFrame(nil, amqp.FrameSASL, 0)
	r.write(amqp.EndFrame((&amqp.SASLInit{Mechanism: "PLAIN", Initial: []byte(rootKey)}).Append(b), at))
	if o, ok := r.read().(*amqp.SASLOutcome); !ok || o.Code != 0 {
		t.Fatalf("SASL outcome %+v", o)
	}
	r.write([]byte("AMQP\x00\x01\x00\x00"))
	r.header(br, "AMQP\x00\x01\x00\x00")
	if open == nil {
		open = &amqp.Open{ContainerID: "raw"}
	}
	r.send(0, open)
	if _, ok := r.read().(*amqp.Open); !ok {
		t.Fatal("no open")
	}
	return r
}

func (r *raw) header(br *bufio.Reader, want string) {
	r.t.Helper()
	h := make([]byte, 8)
	if n, err := io.ReadFull(br, h); err != nil || string(h[:n]) != want {
		r.t.Fatalf("header %q, %v", h, err)
	}
}

func (r *raw) write(p []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) send(channel uint16, ps ...amqp.Performative) {
	r.t.Helper()
	var b []byte
	for _, p := range ps {
		var at int
		b, at = amqp.BeginFrame(b, amqp.FrameAMQP, channel)
		b = amqp.EndFrame(p.Append(b), at)
	}
	r.write(b)
}

// transfer sends one message on handle.
func (r *raw) transfer(channel uint16, t *amqp.Transfer, payload []byte) {
	r.t.Helper()
	b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, channel)
	r.write(amqp.EndFrame(append(t.Append(b), payload...), at))
}

// next reads the next frame with a body; nil when the connection ended.
func (r *raw) next() (amqp.Performative, []byte) {
	for {
		f, err := r.in.Read()
		if err != nil {
			return nil, nil
		}
		if len(f.Body) == 0 {
			continue
		}
		p, rest, err := amqp.Decode(f.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return p, rest
	}
}

func (r *raw) read() amqp.Performative {
	p, _ := r.next()
	return p
}

// until reads until a performative of type P comes.
func until[P amqp.Performative](r *raw) (P, []byte) {
	r.t.Helper()
	for {
		p, rest := r.next()
		if p == nil {
			r.t.Fatalf("the connection ended before a %T came", *new(P))
		}
		if x, ok := p.(P); ok {
			return x, rest
		}
	}
}

func beginRaw(window uint32) *amqp.Begin {
	return &amqp.Begin{RemoteChannel: -1, IncomingWindow: window, OutgoingWindow: 5000, HandleMax: 255}
}

func receiveFrom(address string, handle uint32) *amqp.Attach {
	return &amqp.Attach{
		Name: "r", Handle: handle, Role: amqp.RoleReceiver, ReceiverSettleMode: amqp.ReceiverSecond,
		Source: &amqp.Source{Address: address, HasAddress: true}, Target: &amqp.Target{},
	}
}

func sendTo(address string, handle uint32) *amqp.Attach {
	return &amqp.Attach{
		Name: "s", Handle: handle, Role: amqp.RoleSender, SenderSettleMode: amqp.SenderMixed,
		Source: &amqp.Source{}, Target: &amqp.Target{Address: address, HasAddress: true},
	}
}

// bySession makes a receiver one of a session; nil is the next.
func bySession(a *amqp.Attach, id any) *amqp.Attach {
	a.Source.Filter = amqp.Map{{Key: amqp.Symbol("com.microsoft:session-filter"),
		Value: amqp.Described{Descriptor: uint64(0x137000000C), Value: id}}}
	return a
}

// credit is a flow that asks for n messages.
func credit(handle, n uint32) *amqp.Flow {
	return &amqp.Flow{HasNextIncomingID: true, IncomingWindow: 5000, OutgoingWindow: 5000, HasHandle: true,
		Handle: handle, HasDeliveryCount: true, HasLinkCredit: true, LinkCredit: n}
}

// data is an encoded message with this body.
func data(body []byte) []byte {
	return amqp.AppendBinary([]byte{0, 0x53, amqp.SectionData}, body)
}
