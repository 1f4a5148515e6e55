package bustest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"go.uber.org/goleak"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/internal/bus"
	"fnobridge/internal/bus/bustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The fake, in a bubble.
func TestFakeConforms(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bustest.New(t, namespace())
				row.test(&world{T: t, server: fakeServer{b}, one: fakeProcess{b.Client()}, other: fakeProcess{b.Client()}})
			})
		})
	}
}

// Package bus, the SDK and the emulator, over TCP.
func TestEmulatorConforms(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			clock := servicebus.NewFakeClock(time.Now())
			s, err := servicebus.Start(servicebus.Options{Namespace: namespace(), Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			row.test(&world{T: t, server: emulatorServer{s, clock}, one: connected(t, s), other: connected(t, s)})
		})
	}
}

type fakeServer struct{ *bustest.Broker }

func (s fakeServer) Sessions(address string) []broker.SessionInfo { return s.SessionsOf(address) }

func (fakeServer) Pass(d time.Duration) { <-time.After(d) }

func (s fakeServer) Defer(t *testing.T, _ string, seq int64) {
	t.Helper()
	d := s.Client().Receiver(files, azservicebus.SubQueueDeadLetter)
	got, err := d.Receive(t.Context(), 100, 0)
	for _, m := range got {
		if *m.SequenceNumber == seq {
			err = d.Defer(m.LockToken)
		} else {
			err = d.Abandon(t.Context(), m.LockToken)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Close(t.Context())
}

type fakeProcess struct{ *bustest.Client }

func (p fakeProcess) AcceptNext(ctx context.Context, src bus.Source, wait time.Duration) (session, error) {
	return accepted(p.Client.AcceptNext(ctx, src, wait))
}

func (p fakeProcess) AcceptByID(ctx context.Context, src bus.Source, id string) (session, error) {
	return accepted(p.Client.AcceptByID(ctx, src, id))
}

func (p fakeProcess) DeadLetters(src bus.Source) receiver {
	return p.Receiver(src, azservicebus.SubQueueDeadLetter)
}

func (p fakeProcess) Sender(entity string) sender { return p.Client.Sender(entity) }

// accepted keeps a session that is not there nil.
func accepted[S session](s S, err error) (session, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

type emulatorServer struct {
	*servicebus.Server
	clock *servicebus.FakeClock
}

func (s emulatorServer) ExpireSession(address, id string) bool {
	return s.Faults().ExpireSession(address, id)
}

func (s emulatorServer) Pass(d time.Duration) { s.clock.Advance(d) }

func (s emulatorServer) Defer(t *testing.T, _ string, seq int64) {
	t.Helper()
	c, err := azservicebus.NewClientFromConnectionString(s.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	d, err := c.NewReceiverForQueue("files", &azservicebus.ReceiverOptions{SubQueue: azservicebus.SubQueueDeadLetter})
	if err != nil {
		t.Fatal(err)
	}
	for range s.Messages(deadFiles) {
		got, err := d.ReceiveMessages(t.Context(), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if *got[0].SequenceNumber == seq {
			err = d.DeferMessage(t.Context(), got[0], nil)
			_ = d.Close(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if *got[0].SequenceNumber == seq {
			return
		}
	}
}

// busProcess is a process with package bus.
type busProcess struct{ *bus.Bus }

func connected(t *testing.T, s *servicebus.Server) process {
	t.Helper()
	b, err := bus.Open(bus.Options{Connect: func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClientFromConnectionString(s.ConnectionString(), &azservicebus.ClientOptions{RetryOptions: r})
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) }) // the server goes with it
	return busProcess{b}
}

func (p busProcess) AcceptNext(ctx context.Context, src bus.Source, wait time.Duration) (session, error) {
	return accepted(p.Bus.AcceptNext(ctx, src, wait))
}

func (p busProcess) AcceptByID(ctx context.Context, src bus.Source, id string) (session, error) {
	return accepted(p.Bus.AcceptByID(ctx, src, id))
}

func (p busProcess) DeadLetters(src bus.Source) receiver {
	return p.Receiver(src, azservicebus.SubQueueDeadLetter)
}

func (p busProcess) Sender(entity string) sender { return p.Bus.Sender(entity) }
