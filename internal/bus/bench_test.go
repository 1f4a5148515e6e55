package bus

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
)

// BenchmarkCall measures what a call costs beside its answer: one that answers at once, and calls of the SDK to an
// emulator in this process, beside the same calls of the bare SDK.
func BenchmarkCall(b *testing.B) {
	q := entity.NewQueue("files")
	q.RequiresSession = true
	ns := entity.Namespace{Queues: []entity.QueueDescription{q}}
	server, err := servicebus.Start(servicebus.Options{Addr: "none", Namespace: ns})
	if err != nil {
		b.Fatal(err)
	}
	connect := func(retry azservicebus.RetryOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClientFromConnectionString(server.ConnectionString(), &azservicebus.ClientOptions{
			RetryOptions: retry,
			NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
				return server.Dial(ctx)
			},
		})
	}
	opened, err := Open(Options{Connect: connect})
	if err != nil {
		b.Fatal(err)
	}
	s, err := opened.AcceptByID(b.Context(), files, "a")
	if err != nil {
		b.Fatal(err)
	}
	bare, err := opened.AcceptByID(b.Context(), files, "bare")
	if err != nil {
		b.Fatal(err)
	}
	sender := opened.Sender("files")
	send := func() error {
		return sender.Send(b.Context(), &azservicebus.Message{SessionID: new("a"), Body: []byte("body")})
	}
	for name, call := range map[string]func() error{
		"bounded": func() error {
			return s.do(b.Context(), "nothing", false, func(context.Context) error { return nil })
		},
		"renew":     func() error { return s.Renew(b.Context()) },
		"renewBare": func() error { return bare.receiver.RenewSessionLock(b.Context(), nil) },
		"send":      send,
		"sendBare": func() error {
			return sender.link.sdk.SendMessage(b.Context(), &azservicebus.Message{SessionID: new("a"), Body: []byte("body")}, nil)
		},
		"serve": func() error {
			if err := send(); err != nil {
				return err
			}
			m, err := s.Receive(b.Context(), time.Second)
			if err != nil {
				return err
			}
			return s.Complete(b.Context(), m)
		},
	} {
		b.Run(name, func(b *testing.B) {
			if err := send(); err != nil { // there is a link
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	_, _, _, _ = s.Close(b.Context()), bare.Close(b.Context()), sender.Close(b.Context()), opened.Close(b.Context())
	if err := server.Close(); err != nil {
		b.Error(err)
	}
}
