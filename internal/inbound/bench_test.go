package inbound

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
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

var (
	benchFiles = flag.Int("bench.files", 200, "files per session of the throughput benchmark")
	benchIdle  = flag.Duration("bench.idle", 200*time.Millisecond, "idle of the bridge's sessions")
	benchCuts  = flag.Duration("bench.cuts", 30*time.Second, "length of the run in which connections are cut")
	benchHeld  = flag.Int("bench.held", 5000, "sessions held by the benchmark of held sessions")
	benchHeap  = flag.String("bench.heap", "", "where to write a heap profile of held sessions")
	benchShort = flag.Int("bench.short", 20000, "sessions with one file each")
)

const latency = 20 * time.Millisecond

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

// 64 sessions, 20 ms per call to F&O, a backlog: files per second and CPU per file of the worker alone.
func BenchmarkThroughput(b *testing.B) {
	const sessions = 64
	for _, r := range runners {
		b.Run(r.name, func(b *testing.B) {
			for range b.N {
				st := newStage(b, scene{Latency: latency})
				load(b, st, sessions, *benchFiles)
				before := cpu()
				took := until(b, r.run, st, sessions, sessions**benchFiles)
				files := float64(sessions * *benchFiles)
				b.ReportMetric(files/took.Seconds(), "files/s")
				b.ReportMetric(float64((cpu()-before).Microseconds())/files, "cpu-µs/file")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// The same while all AMQP connections are reset every two seconds.
func BenchmarkConnectionsCutEveryTwoSeconds(b *testing.B) {
	const sessions = 64
	for _, r := range runners {
		b.Run(r.name, func(b *testing.B) {
			for range b.N {
				st := newStage(b, scene{Latency: latency})
				load(b, st, sessions, int(benchCuts.Seconds()*26))
				ctx, cancel := context.WithTimeout(context.Background(), *benchCuts)
				stopped := make(chan struct{})
				go func() { // ends with ctx
					defer close(stopped)
					for wait(ctx, 2*time.Second) {
						st.cut()
					}
				}()
				var count, inTime atomic.Int64
				r.run(ctx, st, sessions, func() {
					count.Add(1)
					if ctx.Err() == nil {
						inTime.Add(1)
					}
				})
				cancel()
				<-stopped
				b.ReportMetric(float64(inTime.Load()), "files")
				b.ReportMetric(float64(inTime.Load())/benchCuts.Seconds(), "files/s")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// From the moment the producer's send returns to the first byte towards F&O, all sessions idle.
func BenchmarkIdlePickUp(b *testing.B) {
	const rounds = 300
	b.Run("bridge", func(b *testing.B) {
		for range b.N {
			st := newStage(b, scene{})
			posted := make(chan time.Time, 16)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { // ends with ctx
				defer close(done)
				bridgeWith(ctx, st, 64, func() {}, func(path string) {
					if strings.Contains(path, "enqueue") {
						posted <- time.Now()
					}
				}, Poll{Max: time.Second})
			}()
			pickUps(b, st, posted, rounds)
			cancel()
			<-done
		}
	})
	b.Run("bare loop", func(b *testing.B) {
		for range b.N {
			st := newStage(b, scene{})
			posted := make(chan time.Time, 16)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { // ends with ctx
				defer close(done)
				l := &bareLoop{st: st, settled: func() {}, received: func() { posted <- time.Now() }}
				_ = l.run(ctx, 8)
			}()
			pickUps(b, st, posted, rounds)
			cancel()
			<-done
		}
	})
}

func pickUps(b *testing.B, st *stage, posted <-chan time.Time, rounds int) {
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
	var all []time.Duration
	for n := range rounds {
		id, session := fmt.Sprintf("f%d", n), fmt.Sprintf("Entity %d", n)
		if err := s.SendMessage(ctx, &azservicebus.Message{MessageID: &id, SessionID: &session, Body: []byte("x")}, nil); err != nil {
			b.Fatal(err)
		}
		sent := time.Now()
		all = append(all, max(0, (<-posted).Sub(sent)))
		wait(ctx, 10*time.Millisecond)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// Many sessions with one file each: what collapses where a session is left only after a long wait.
func BenchmarkShortSessions(b *testing.B) {
	for _, r := range runners {
		b.Run(r.name, func(b *testing.B) {
			for range b.N {
				st := newStage(b, scene{})
				load(b, st, *benchShort, 1)
				before := cpu()
				took := until(b, r.run, st, 64, *benchShort)
				b.ReportMetric(took.Seconds(), "s")
				b.ReportMetric(float64(*benchShort)/took.Seconds(), "sessions/s")
				b.ReportMetric(float64((cpu()-before).Microseconds())/float64(*benchShort), "cpu-µs/session")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// heap writes a profile of what is held now.
func heap(b *testing.B) {
	b.Helper()
	if *benchHeap == "" {
		return
	}
	f, err := os.Create(*benchHeap)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(pprof.WriteHeapProfile(f), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// Sessions that are held while their imports run for hours.
func BenchmarkHeldSessions(b *testing.B) {
	for range b.N {
		st := newStage(b, scene{ImportTime: 10 * time.Hour})
		load(b, st, *benchHeld, 1)
		runtime.GC()
		empty := rss()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		var posts atomic.Int64
		all := make(chan struct{})
		go func() { // ends with ctx
			defer close(done)
			bridgeWith(ctx, st, *benchHeld+8, func() {}, func(path string) {
				if strings.Contains(path, "enqueue") && posts.Add(1) == int64(*benchHeld) {
					close(all)
				}
			}, Poll{First: 2 * time.Second, Fraction: 0.1, Max: 30 * time.Second})
		}()
		taking := time.Now()
		<-all
		b.ReportMetric(time.Since(taking).Seconds(), "take-s")
		wait(ctx, 30*time.Second) // the first questions are over
		runtime.GC()
		before := cpu()
		const window = 60 * time.Second
		wait(ctx, window)
		heap(b)
		b.ReportMetric(float64((cpu()-before).Milliseconds())/window.Seconds(), "cpu-ms/s")
		b.ReportMetric((rss()-empty)*1024/float64(*benchHeld), "KB/session")
		b.ReportMetric(rss(), "MB")
		stopping := time.Now()
		cancel()
		<-done
		b.ReportMetric(time.Since(stopping).Seconds(), "stop-s")
		b.ReportMetric(0, "ns/op")
	}
}
