package amqp_test

import (
	"bufio"
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"fnobridge/emulator/servicebus/amqp"
)

// known fails the test on an error that is not a malformed input.
func known(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, amqp.ErrMalformed) {
		t.Fatalf("%v is not ErrMalformed", err)
	}
}

// frugal fails the test if f allocates far more than its input explains.
func frugal(t *testing.T, input int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(1<<20+200*input) {
		t.Fatalf("%d bytes allocated for an input of %d", n, input)
	}
}

func FuzzValue(f *testing.F) {
	for _, v := range values() {
		f.Add(amqp.AppendValue(nil, v))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var v any
		var err error
		r := amqp.NewReader(p)
		frugal(t, len(p), func() { v, err = r.Value() })
		known(t, err)
		if err != nil {
			return
		}
		known(t, amqp.NewReader(p).Skip())
		// What was understood is written so that it is understood the same again.
		b := amqp.AppendValue(nil, v)
		again, err := amqp.NewReader(b).Value()
		if err != nil {
			t.Fatalf("%#v is written as %x: %v", v, b, err)
		}
		if c := amqp.AppendValue(nil, again); !bytes.Equal(b, c) {
			t.Fatalf("%x became %x", b, c)
		}
	})
}

func FuzzPerformative(f *testing.F) {
	for _, p := range []amqp.Performative{
		&amqp.Open{ContainerID: "c"}, &amqp.Begin{},
		&amqp.Attach{Name: "n", Source: &amqp.Source{Filter: amqp.Map{{Key: "k", Value: "v"}}}, Target: &amqp.Target{}},
		&amqp.Flow{HasHandle: true}, &amqp.Transfer{HasDeliveryID: true, DeliveryTag: []byte{1}},
		&amqp.Disposition{State: &amqp.State{Kind: amqp.Rejected, Error: amqp.Errorf("a", "b")}},
		&amqp.Disposition{State: &amqp.State{Kind: amqp.Modified, Annotations: amqp.Map{}}},
		&amqp.Detach{Error: amqp.Errorf("a", "b")},
		&amqp.End{}, &amqp.Close{}, &amqp.SASLInit{Mechanism: "m"}, &amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"a"}},
		&amqp.SASLOutcome{},
	} {
		f.Add(p.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p amqp.Performative
		var err error
		frugal(t, len(b), func() { p, _, err = amqp.Decode(b) })
		known(t, err)
		if err != nil {
			return
		}
		again, rest, err := amqp.Decode(p.Append(nil))
		if err != nil || len(rest) > 0 || reflect.TypeOf(again) != reflect.TypeOf(p) {
			t.Fatalf("%#v became %#v, %v", p, again, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	props := amqp.Properties{MessageID: "id", GroupID: new("g")}
	m := amqp.Message{
		HasHeader: true, Header: amqp.Header{Priority: 4, TTL: 1000, HasTTL: true},
		MessageAnnotations: amqp.AppendMap(nil, amqp.Map{{Key: amqp.Symbol("a"), Value: "b"}}),
		Properties:         props.Encode(), ApplicationProperties: amqp.AppendMap(nil, amqp.Map{}),
		Body: amqp.AppendBinary([]byte{0, 0x53, amqp.SectionData}, []byte("x")),
	}
	f.Add(m.Append(nil))
	f.Add(amqp.AppendValue([]byte{0, 0x53, amqp.SectionValue}, "v"))
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := amqp.ParseMessage(p)
		known(t, err)
		if err != nil {
			return
		}
		again, err := amqp.ParseMessage(m.Append(nil))
		if err != nil || !bytes.Equal(again.Body, m.Body) || !bytes.Equal(again.Properties, m.Properties) {
			t.Fatalf("%v: %+v became %+v", err, m, again)
		}
		_, err = m.Datas()
		known(t, err)
		_, err = m.Value()
		known(t, err)
		_, err = amqp.MapOf(m.ApplicationProperties)
		known(t, err)
		q, err := amqp.ParseProperties(m.Properties)
		known(t, err)
		if err == nil {
			if _, err := amqp.ParseProperties(q.Encode()); err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
		}
	})
}

func FuzzFrames(f *testing.F) {
	b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, 1)
	f.Add(amqp.AppendEmptyFrame(amqp.EndFrame((&amqp.End{}).Append(b), at)))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := amqp.NewFrameReader(bufio.NewReaderSize(bytes.NewReader(p), 64), 512)
		for total := 0; ; {
			frame, err := r.Read()
			if err != nil {
				return
			}
			if total += 8 + len(frame.Body); total > len(p) {
				t.Fatal("more was read than there is")
			}
		}
	})
}
