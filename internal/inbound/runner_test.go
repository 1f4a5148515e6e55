package inbound

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/payload"
)

// A runner takes files until ctx ends, and says when one is settled.
type runner func(ctx context.Context, st *stage, sessions int, settled func())

var runners = []struct {
	name string
	run  runner
}{
	{"bare loop", runBare},
	{"bridge", runBridge},
}

func runBare(ctx context.Context, st *stage, sessions int, settled func()) {
	l := &bareLoop{st: st, settled: settled}
	_ = l.run(ctx, sessions) // what it did is counted
}

// counting counts what is settled.
type counting struct {
	Session
	settled func()
}

func (c counting) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	err := c.Session.Complete(ctx, m)
	if err == nil {
		c.settled()
	}
	return err
}

type countingAcceptor struct {
	Acceptor
	settled func()
}

func (a countingAcceptor) AcceptNext(ctx context.Context, wait time.Duration) (Session, error) {
	s, err := a.Acceptor.AcceptNext(ctx, wait)
	if err != nil {
		return nil, err
	}
	return counting{s, a.settled}, nil
}

// seeing tells of every call to F&O.
type seeing struct {
	http.RoundTripper
	saw func(path string)
}

func (r seeing) RoundTrip(req *http.Request) (*http.Response, error) {
	r.saw(req.URL.Path)
	return r.RoundTripper.RoundTrip(req)
}

func runBridge(ctx context.Context, st *stage, sessions int, settled func()) {
	bridgeWith(ctx, st, sessions, settled, func(string) {}, Poll{Max: 30 * time.Second, Fraction: 0.1})
}

// bridgeWith runs a worker with everything on but exporters of telemetry, as the bare loop has none either.
func bridgeWith(ctx context.Context, st *stage, sessions int, settled func(), saw func(string), poll Poll) {
	b, err := bus.Open(bus.Options{Connect: func(retry azservicebus.RetryOptions) (*azservicebus.Client, error) {
		return azservicebus.NewClientFromConnectionString(st.Bus, &azservicebus.ClientOptions{RetryOptions: retry})
	}})
	if err != nil {
		panic(err)
	}
	transport := dynamics.NewTransport()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = max(64, sessions), max(64, sessions)
	env, err := dynamics.New(dynamics.Options{
		Name: "prod", URL: st.Fno, Credential: st, Requests: min(sessions, 256), StatusCalls: 1e6, Transport: seeing{transport, saw},
	})
	if err != nil {
		panic(err)
	}
	w, err := New(Options{
		Sources: []Source{{Name: source, Acceptor: countingAcceptor{busAcceptor{b, bus.Source{Queue: source}}, settled}, Lock: 5 * time.Minute}},
		Routes: []*Route{{
			Name: "all", Activity: theActivity, Environment: env, Timeout: time.Minute, Window: 1, OnFailure: OnFailureSkip,
			Deadline: 2 * time.Hour, Poll: poll, ResendUnknown: true,
			Retry: deadletter.Policy{Default: deadletter.Backoff{
				Attempts: 8, First: time.Second, Multiplier: 2, Max: time.Minute, Jitter: 0.5, Total: 30 * time.Minute,
			}},
		}},
		Payloads: payload.NewOpener(payload.Options{}), Events: senderEvents{b.Sender("status")},
		Sessions: sessions, Accepts: 8, Idle: *benchIdle,
	})
	if err != nil {
		panic(err)
	}
	w.Run(ctx, context.WithoutCancel(ctx))
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = b.Close(closing)
	transport.CloseIdleConnections()
}

// load puts files into the queue of a stage.
func load(b *testing.B, st *stage, sessions, files int) {
	b.Helper()
	client, err := azservicebus.NewClientFromConnectionString(st.Bus, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	defer func() { _ = client.Close(ctx) }()
	s, err := client.NewSender(source, nil)
	if err != nil {
		b.Fatal(err)
	}
	body := []byte("NAME\n" + strings.Repeat("x", 4<<10))
	var batch *azservicebus.MessageBatch
	for f := range files {
		for n := range sessions {
			id, session := fmt.Sprintf("s%d-f%d", n, f), fmt.Sprintf("Entity %d", n)
			m := &azservicebus.Message{MessageID: &id, SessionID: &session, Body: body}
			if batch == nil || batch.AddMessage(m, nil) != nil {
				if batch != nil {
					if err := s.SendMessageBatch(ctx, batch, nil); err != nil {
						b.Fatal(err)
					}
				}
				if batch, err = s.NewMessageBatch(ctx, nil); err != nil {
					b.Fatal(err)
				}
				if err := batch.AddMessage(m, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	if err := s.SendMessageBatch(ctx, batch, nil); err != nil {
		b.Fatal(err)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rss gives the resident memory of this process in MB, 0 where there is no /proc.
func rss() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0
	}
	kb, _ := strconv.ParseFloat(fields[0], 64)
	return kb / 1024
}

// until runs until n files are settled and gives the time that took.
func until(b *testing.B, run runner, st *stage, sessions, n int) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var count atomic.Int64
	began := time.Now()
	var took time.Duration
	run(ctx, st, sessions, func() {
		if count.Add(1) == int64(n) {
			took = time.Since(began)
			cancel()
		}
	})
	if took == 0 {
		b.Fatalf("%d of %d files in ten minutes", count.Load(), n)
	}
	return took
}
