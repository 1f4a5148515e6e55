package deadletter

import (
	"context"
	"fmt"
	"fnobridge/internal/contract"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// heap watches how much memory is in use while something runs, as often as it is asked.
type heap struct{ base, peak uint64 }

func newHeap() *heap {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return &heap{base: m.HeapAlloc}
}

func (h *heap) look() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.peak = max(h.peak, m.HeapAlloc)
}

func (h *heap) mb() float64 { return float64(max(h.peak, h.base)-h.base) / (1 << 20) }

// syntheticBroker is a dead-letter queue of n messages with bodies of size bytes that exist only while they are looked
// at: what memory is used is the engine's.
type syntheticBroker struct {
	Broker
	n, size int
}

func (b *syntheticBroker) DeadLetters(contract.Source) Queue {
	return &syntheticSource{b.Broker.DeadLetters(q), b}
}

type syntheticSource struct {
	Queue
	b *syntheticBroker
}

func (s *syntheticSource) Peek(
	_ context.Context, from int64, most int,
) (page []*azservicebus.ReceivedMessage, _ error) {
	for i := from; i <= int64(s.b.n) && len(page) < most; i++ {
		session, reason := fmt.Sprintf("session %d", i%64), "Timeout"
		body := make([]byte, s.b.size)
		page = append(page, &azservicebus.ReceivedMessage{
			SequenceNumber: &i, MessageID: fmt.Sprintf("message-%d", i), SessionID: &session,
			DeadLetterReason: &reason, Body: body, EnqueuedTime: new(time.Now()),
		})
	}
	return page, nil
}

// Listing must not grow with the queue, whatever the bodies are.
func TestListingStaysSmall(t *testing.T) {
	b := &syntheticBroker{Broker: newFake(t), n: 50_000, size: 4 << 10} // 200 MB of bodies
	h, n, groups := newHeap(), 0, Groups{}
	for m, err := range Walk(t.Context(), b, q, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		groups.Add(m)
		if n++; n%5000 == 0 {
			h.look()
		}
	}
	if n != 50_000 || len(groups) != 64 {
		t.Fatalf("%d listed in %d groups", n, len(groups))
	}
	t.Logf("%.1f MB in use at most", h.mb())
	if h.mb() > 10 {
		t.Fatalf("%.1f MB in use while listing", h.mb())
	}
}

// What a resubmit keeps of every message is its place, not its body.
func TestTheIndexStaysSmall(t *testing.T) {
	b := &syntheticBroker{Broker: newFake(t), n: 50_000, size: 4 << 10}
	h := newHeap()
	ix, err := makeIndex(t.Context(), b.DeadLetters(q), q, "q", Filter{}.Match)
	if err != nil {
		t.Fatal(err)
	}
	h.look()
	if ix.selected != 50_000 {
		t.Fatalf("%d selected", ix.selected)
	}
	t.Logf("%.1f MB", h.mb())
	if h.mb() > 25 {
		t.Fatalf("%.1f MB for an index of 50,000", h.mb())
	}
	runtime.KeepAlive(ix)
}

// BenchmarkList50000 lists 50,000 dead letters of the embedded Service Bus with the real SDK.
func BenchmarkList50000(b *testing.B) {
	w := start(b)
	const sessions, each = 64, 50_000 / 64
	w.killAll(b, sessions, each)
	b.ResetTimer()
	for b.Loop() {
		h, n, begin := newHeap(), 0, time.Now()
		var first time.Duration
		for _, err := range Walk(b.Context(), w.svc, q, Filter{}) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == 1 {
				first = time.Since(begin)
			}
			if n%10_000 == 0 {
				h.look()
			}
		}
		if n != sessions*each {
			b.Fatalf("%d listed", n)
		}
		b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "messages/s")
		b.ReportMetric(float64(first.Milliseconds()), "ms-to-first")
		b.ReportMetric(h.mb(), "MB-at-most")
	}
}

// BenchmarkResubmit sends 2,000 dead letters of 1 to 64 sessions back.
func BenchmarkResubmit(b *testing.B) {
	for _, sessions := range []int{1, 8, 64} {
		b.Run("sessions="+strconv.Itoa(sessions), func(b *testing.B) {
			w := start(b)
			for b.Loop() {
				b.StopTimer()
				w.killAll(b, sessions, 2000/sessions)
				b.StartTimer()
				begin := time.Now()
				rep, err := Resubmit(b.Context(), w.svc, Options{Source: q, Parallel: 16})
				if err != nil || !rep.Complete() {
					b.Fatalf("%+v %v", rep, err)
				}
				b.ReportMetric(float64(rep.Done)/time.Since(begin).Seconds(), "messages/s")
			}
		})
	}
}

// BenchmarkPurge removes 2,000 dead letters.
func BenchmarkPurge(b *testing.B) {
	w := start(b)
	for b.Loop() {
		b.StopTimer()
		w.killAll(b, 16, 125)
		b.StartTimer()
		begin := time.Now()
		rep, err := Purge(b.Context(), w.svc, Options{Source: q, Parallel: 16})
		if err != nil || !rep.Complete() {
			b.Fatalf("%+v %v", rep, err)
		}
		b.ReportMetric(float64(rep.Done)/time.Since(begin).Seconds(), "messages/s")
	}
}

var round int

func (w *world) killAll(b *testing.B, sessions, each int) {
	round++
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Go(func() {
			s := fmt.Sprintf("%d-%d-", round, i)
			w.send(b, "q", s, 1, each)
			w.kill(b, "q", s, "Timeout")
		})
	}
	wg.Wait()
}
