package servicebus_test

import (
	"io"
	"testing"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/servicebustest"
)

// preamble is everything up to the open frame, with all rights.
func preamble() []byte {
	b := []byte("AMQP\x03\x01\x00\x00")
	b, at := amqp.BeginFrame(b, amqp.FrameSASL, 0)
	b = amqp.EndFrame((&amqp.SASLInit{Mechanism: "PLAIN", Initial: []byte(rootKey)}).Append(b), at)
	b = append(b, "AMQP\x00\x01\x00\x00"...)
	return frames(b, &amqp.Open{ContainerID: "fuzz"})
}

func frames(b []byte, ps ...amqp.Performative) []byte {
	for _, p := range ps {
		var at int
		b, at = amqp.BeginFrame(b, amqp.FrameAMQP, 0)
		b = amqp.EndFrame(p.Append(b), at)
	}
	return b
}

// FuzzConnection says anything at all on an open connection; the emulator must neither panic nor hang, nor leave locks
// behind.
func FuzzConnection(f *testing.F) {
	server := servicebustest.New(f, servicebustest.InMemory, servicebustest.Namespace(namespace()))
	manage, answers := sendTo("q/$management", 0), receiveFrom("q/$management", 1)
	f.Add(frames(nil, beginRaw(10), receiveFrom("q", 0), credit(0, 10), &amqp.Detach{}, &amqp.End{}, &amqp.Close{}))
	f.Add(frames(nil, beginRaw(10), bySession(receiveFrom("s", 0), "A"), credit(0, 10),
		&amqp.Disposition{Role: true, Last: 1 << 31, State: amqp.StateAccepted}))
	f.Add(frames(nil, beginRaw(10), bySession(receiveFrom("s", 0), nil), &amqp.End{}))
	f.Add(frames(nil, beginRaw(10), manage, answers, credit(1, 10)))
	send := frames(nil, beginRaw(10), sendTo("q", 0))
	b, at := amqp.BeginFrame(send, amqp.FrameAMQP, 0)
	f.Add(amqp.EndFrame(append((&amqp.Transfer{HasDeliveryID: true, DeliveryTag: []byte{1}}).Append(b),
		data([]byte("x"))...), at))
	head := preamble()
	f.Fuzz(func(t *testing.T, said []byte) {
		nc, err := server.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			_, _ = io.Copy(io.Discard, nc) // until either side closes
		}()
		if _, err := nc.Write(head); err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(said) // fails when the server has had enough
		_ = nc.Close()
		<-heard
		err = server.Await(t.Context(), func() bool {
			for _, s := range server.Sessions("s") {
				if s.Owned {
					return false
				}
			}
			return server.Accepting("s") == 0
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
