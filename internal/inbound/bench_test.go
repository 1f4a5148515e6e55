package inbound

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
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
