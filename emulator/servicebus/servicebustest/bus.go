package servicebustest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"

	"fnobridge/emulator/servicebus"
)

// Waits that only a failing test runs out of.
const (
	patience  = time.Minute
	closeTime = 10 * time.Second
)

// A Bus is the Service Bus of one test.
type Bus struct {
	*servicebus.Server
	tb       testing.TB
	inMemory bool
}

// New starts a Service Bus for a test, which ends with it. It fails the test when it cannot.
func New(tb testing.TB, options ...Option) *Bus {
	tb.Helper()
	var o servicebus.Options
	for _, set := range options {
		set(&o)
	}
	server, err := servicebus.Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &Bus{Server: server, tb: tb, inMemory: o.Addr == "none"}
}

// Connect returns a client with all rights that the caller closes. With nil as options a retry waits some milliseconds,
// where the SDK would wait four seconds.
func (b *Bus) Connect(o *azservicebus.ClientOptions) (*azservicebus.Client, error) {
	var options azservicebus.ClientOptions
	if o != nil {
		options = *o
	} else {
		options.RetryOptions = azservicebus.RetryOptions{RetryDelay: 5 * time.Millisecond,
			MaxRetryDelay: 20 * time.Millisecond}
	}
	if b.inMemory && options.NewWebSocketConn == nil {
		options.NewWebSocketConn = func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
			return b.Dial(ctx)
		}
	}
	return azservicebus.NewClientFromConnectionString(b.ConnectionString(), &options)
}

// Client is Connect for a client that is closed when the test ends.
func (b *Bus) Client(o *azservicebus.ClientOptions) *azservicebus.Client {
	b.tb.Helper()
	client, err := b.Connect(o)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = client.Close(ctx) // the test may have cut its connection; the server ends right after
	})
	return client
}

// Admin returns a client of the administration API, with all rights. It needs a port.
func (b *Bus) Admin() *admin.Client {
	b.tb.Helper()
	transport := &http.Transport{TLSClientConfig: b.TLS()}
	b.tb.Cleanup(transport.CloseIdleConnections)
	o := &admin.ClientOptions{}
	o.Transport = &http.Client{Transport: transport}
	client, err := admin.NewClientFromConnectionString(b.TLSConnectionString(), o)
	if err != nil {
		b.tb.Fatal(err)
	}
	return client
}

// TLS returns what a client of TLSConnectionString needs to trust the server.
func (b *Bus) TLS() *tls.Config {
	b.tb.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b.CAPEM()) {
		b.tb.Fatal("the server's certificate authority is not PEM")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// CAFile returns the path of a file with the server's certificate authority, for SSL_CERT_FILE or NODE_EXTRA_CA_CERTS
// of another process. It is removed when the test ends.
func (b *Bus) CAFile() string {
	b.tb.Helper()
	path := filepath.Join(b.tb.TempDir(), "servicebus-ca.pem")
	if err := os.WriteFile(path, b.CAPEM(), 0o600); err != nil {
		b.tb.Fatal(err)
	}
	return path
}

// Send sends messages, one after the other, over a connection of its own.
func (b *Bus) Send(to string, messages ...*azservicebus.Message) {
	b.tb.Helper()
	client, err := b.Connect(nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer func() { _ = client.Close(b.tb.Context()) }() // the messages are there
	sender, err := client.NewSender(to, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	for _, m := range messages {
		if err := sender.SendMessage(b.tb.Context(), m, nil); err != nil {
			b.tb.Fatal(err)
		}
	}
}

// WaitUntil returns once check is true and looks again whenever something happened in the broker. The test fails when
// that takes longer than a minute; Server.Await waits as long as a context.
func (b *Bus) WaitUntil(what string, check func() bool) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(b.tb.Context(), patience)
	defer cancel()
	if err := b.Await(ctx, check); err != nil {
		b.tb.Fatalf("waited for %s: %v", what, err)
	}
}
