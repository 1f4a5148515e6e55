//go:build linux

package bench

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"
)

var (
	short = flag.Int("bench.short", 20000, "sessions with one file each")
	held  = flag.Int("bench.held", 5000, "sessions held idle")
)

const (
	lanes   = 64
	latency = 20 * time.Millisecond
)

// The contenders do what they are measured for.
func TestContendersEmptyTheQueue(t *testing.T) {
	for _, c := range contenders {
		if c.name == "node" {
			continue // .ci/run has no reason to wait for it
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t, 0)
			st.fill(4, 5)
			c.start(st, settings{sessions: 4, idle: 200 * time.Millisecond})
			st.drain()
			if twice, disordered := st.imported(); len(st.fno.Imports()) != 20 || twice != 0 || disordered != 0 {
				t.Errorf("%d imports, %d twice, %d out of order", len(st.fno.Imports()), twice, disordered)
			}
		})
	}
}

// BenchmarkThroughput: a backlog of 64 sessions, 200 files each, F&O's calls take 20 ms.
func BenchmarkThroughput(b *testing.B) {
	const files = 200 * lanes
	each(b, func(b *testing.B, c contender) {
		st := newStage(b, latency)
		st.fill(lanes, files/lanes)
		p := c.start(st, settings{sessions: lanes, idle: 200 * time.Millisecond})
		took := st.drain()
		b.ReportMetric(files/took.Seconds(), "files/s")
		b.ReportMetric(float64(p.stop().Microseconds())/files, "cpu-µs/file")
	})
}

// BenchmarkNoLatency: the same backlog, and F&O answers at once: what the contenders themselves cost.
func BenchmarkNoLatency(b *testing.B) {
	const files = 200 * lanes
	each(b, func(b *testing.B, c contender) {
		st := newStage(b, 0)
		st.fill(lanes, files/lanes)
		p := c.start(st, settings{sessions: lanes, idle: 200 * time.Millisecond})
		took := st.drain()
		b.ReportMetric(files/took.Seconds(), "files/s")
		b.ReportMetric(float64(p.status("VmRSS"))/(1<<20), "MB")
		b.ReportMetric(float64(p.status("VmHWM"))/(1<<20), "MB-peak")
		b.ReportMetric(float64(p.stop().Microseconds())/files, "cpu-µs/file")
	})
}

// BenchmarkCuts: the same backlog, without end, while every AMQP connection is reset every 2 s for 30 s.
func BenchmarkCuts(b *testing.B) {
	const window, every, files = 30 * time.Second, 2 * time.Second, 900 * lanes
	each(b, func(b *testing.B, c contender) {
		st := newStage(b, latency)
		st.fill(lanes, files/lanes)
		st.must(st.client.Close(b.Context())) // nothing of ours is to be cut
		p := c.start(st, settings{sessions: lanes, idle: 200 * time.Millisecond})
		st.await("the first file", func() bool { return st.left() < files })
		cuts, end := time.NewTicker(every), time.After(window)
		defer cuts.Stop()
		for over := false; !over; {
			select {
			case <-cuts.C:
				st.bus.Faults().CutAll()
			case <-end:
				over = true
			}
		}
		b.ReportMetric(float64(files-st.left()), "files")
		p.stop()
		twice, disordered := st.imported()
		b.ReportMetric(float64(twice), "imported-twice")
		b.ReportMetric(float64(disordered), "out-of-order")
	})
}

// BenchmarkShortSessions: many sessions with one file each, 64 at a time.
func BenchmarkShortSessions(b *testing.B) {
	each(b, func(b *testing.B, c contender) {
		st := newStage(b, 0)
		st.fill(*short, 1)
		p := c.start(st, settings{sessions: lanes, idle: 100 * time.Millisecond})
		took := st.drain()
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(*short)/took.Seconds(), "sessions/s")
		b.ReportMetric(float64(p.stop().Microseconds())/float64(*short), "cpu-µs/session")
	})
}

// BenchmarkIdlePickUp: from just before the producer sends a file to F&O's acceptance of the post, nothing else to do:
// in a session that nobody holds, and in one that is still held.
func BenchmarkIdlePickUp(b *testing.B) {
	const rounds = 300
	for name, fresh := range map[string]bool{"free": true, "held": false} {
		b.Run(name, func(b *testing.B) {
			each(b, func(b *testing.B, c contender) {
				st := newStage(b, 0)
				idle := time.Minute
				if fresh {
					idle = time.Millisecond
				}
				c.start(st, settings{sessions: lanes, idle: idle})
				session := func(n int) string {
					if fresh {
						return fmt.Sprintf("Entity %d", n)
					}
					return "Entity"
				}
				var took []time.Duration
				for n := range rounds + 1 {
					st.await("the last file to leave", func() bool { return st.left() == 0 && st.bus.Accepting(queue) > 0 })
					began := time.Now()
					st.send(session(n), fmt.Sprintf("file-%d", n))
					st.must(st.fno.WaitImports(b.Context(), n+1))
					if all := st.fno.Imports(); n > 0 { // the first makes all connections
						took = append(took, all[n].AcceptedAt.Sub(began))
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		})
	}
}

// BenchmarkIdleSessions: sessions held with nothing to do. What they cost the contender's process in memory, and for ten
// seconds in computing. The Go loop has one connection, on which Service Bus opens 5,000 channels: 2,000 sessions at most,
// with some to spare. A few slots stay free, because the bridge does not hold on to idle sessions with its last ones.
func BenchmarkIdleSessions(b *testing.B) {
	const watch, onOne, spare = 10 * time.Second, 2000, 64
	for _, x := range []struct {
		contender
		sessions int
	}{{contender{"go", goLoop}, onOne}, {contender{"bridge", bridge}, onOne}, {contender{"bridge", bridge}, *held}} {
		b.Run(fmt.Sprintf("%s/%d", x.name, x.sessions), func(b *testing.B) {
			for range b.N {
				st := newStage(b, 0)
				p := x.start(st, settings{sessions: x.sessions + spare, idle: 4 * time.Minute})
				st.await("the contender to wait", func() bool { return st.bus.Accepting(queue) > 0 })
				before := p.status("VmRSS")
				began := time.Now()
				st.fill(x.sessions, 1)
				st.await("an empty queue", func() bool { return st.left() == 0 })
				b.ReportMetric(time.Since(began).Seconds(), "s-until-held")
				used := p.computed()
				<-time.After(watch)
				b.ReportMetric(float64((p.computed()-used).Milliseconds())/watch.Seconds(), "cpu-ms/s")
				b.ReportMetric(float64(p.status("VmRSS")-before)/float64(x.sessions)/1024, "KB/session")
				b.ReportMetric(0, "ns/op")
				n := 0
				for _, s := range st.bus.Sessions(queue) {
					if s.Owned {
						n++
					}
				}
				if n != x.sessions {
					b.Fatalf("%d of %d sessions are held", n, x.sessions)
				}
			}
		})
	}
}
