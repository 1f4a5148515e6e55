//go:build linux

package bench

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"fnobridge/emulator/line"
	"fnobridge/emulator/servicebus"
)

var (
	rtts  = flag.String("bench.rtt", "1,10,30,60,120,250", "round trips to Service Bus in ms")
	sizes = flag.String("bench.size", "200/20,5120/100,27300/100", "sizes in KB, each with the Mbit/s of its line")
)

// watched is how long a contender far away is watched at most.
const watched = 2 * time.Minute

// BenchmarkDistance: 64 sessions of 20 files of 4 KB, and Service Bus is so many milliseconds away. files/s counts
// from the first accept to the last settlement, accepts/s from the first to the last of 64, first-file from the first
// connection to F&O's acceptance of the first file.
func BenchmarkDistance(b *testing.B) {
	for _, ms := range numbers(b, *rtts, ",") {
		b.Run(fmt.Sprintf("%dms", ms), func(b *testing.B) {
			each(b, func(b *testing.B, c contender) {
				st := newStage(b, 0)
				st.fill(lanes, 20)
				st.away(line.Conditions{RoundTrip: time.Duration(ms) * time.Millisecond})
				st.watch(b, c, lanes, 20*lanes)
			})
		})
	}
}

// BenchmarkSize: 8 sessions of 2 files, over a line of 10 ms.
func BenchmarkSize(b *testing.B) {
	const sessions, files = 8, 2
	for size := range strings.SplitSeq(*sizes, ",") {
		x := numbers(b, size, "/")
		b.Run(fmt.Sprintf("%dKB-at-%dMbit", x[0], x[1]), func(b *testing.B) {
			each(b, func(b *testing.B, c contender) {
				st := newStage(b, 0)
				for f := range files {
					for s := range sessions {
						st.sendLarge(fmt.Sprintf("Entity %d", s), name(s, f), x[0]<<10)
					}
				}
				st.away(line.Conditions{RoundTrip: 10 * time.Millisecond, Rate: line.Mbit(x[1])})
				st.watch(b, c, sessions, sessions*files)
			})
		})
	}
}

// watch lets a contender work, and reports on it.
func (st *stage) watch(b *testing.B, c contender, sessions, files int) {
	b.Helper()
	accepts := st.bus.Faults().Add(servicebus.Fault{Op: servicebus.OpAccept, Effect: servicebus.Pass, Times: -1})
	c.start(st, settings{sessions: lanes, idle: 200 * time.Millisecond})
	var first, all time.Time
	ctx, cancel := context.WithTimeout(st.ctx, watched)
	defer cancel()
	_ = st.bus.Await(ctx, func() bool { // a contender that does not come to an end has its figures too
		if n := accepts.Count(); n > 0 && first.IsZero() {
			first = time.Now()
		} else if n >= sessions && all.IsZero() {
			all = time.Now()
		}
		return st.left() == 0
	})
	if st.ctx.Err() != nil {
		b.Fatal(context.Cause(st.ctx))
	}
	took := time.Since(first)
	done := files - st.left()
	b.ReportMetric(float64(done), "files")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(float64(done)/took.Seconds(), "files/s")
	if !all.IsZero() && sessions == lanes { // with fewer there is too little to count
		b.ReportMetric(float64(sessions-1)/all.Sub(first).Seconds(), "accepts/s")
	}
	b.ReportMetric(float64(accepts.Count()), "accepts")
	b.ReportMetric(float64(st.far.Dialled()), "connections")
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.first.IsZero() {
		b.ReportMetric(st.first.Sub(st.far.Began()).Seconds(), "s-to-first-file")
	}
	if twice, disordered := st.imported(); twice+disordered > 0 {
		b.ReportMetric(float64(twice), "imported-twice")
		b.ReportMetric(float64(disordered), "out-of-order")
	}
}

func numbers(b *testing.B, list, by string) (all []int) {
	b.Helper()
	for text := range strings.SplitSeq(list, by) {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}
