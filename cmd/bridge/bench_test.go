package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fnobridge/internal/config"
)

// BenchmarkIdlePickUp measures how soon the next file of an idle session reaches F&O: from just before the producer
// sends it to the moment F&O has accepted the post. "released" sessions have been given back; "held" ones are still in
// the lane's hand.
//
//	go test -run '^$' -bench IdlePickUp -benchtime 1000x ./cmd/bridge
func BenchmarkIdlePickUp(b *testing.B) {
	b.Run("released", func(b *testing.B) { idlePickUp(b, time.Millisecond, false) })
	b.Run("held", func(b *testing.B) { idlePickUp(b, time.Minute, true) })
}

func idlePickUp(b *testing.B, idle time.Duration, held bool) {
	const queue, lane = "in", "Customer groups"
	w := newWorld(b, []string{queue}, "prod")
	w.cfg.Idle, w.cfg.ServiceBus.Lock = idle, 5*time.Minute
	w.route("all", "prod", fileJob, config.Match{}, nil)
	w.run()
	sender, err := w.client.NewSender(queue, nil)
	if err != nil {
		b.Fatal(err)
	}
	// settled waits until nothing is in hand: every accept waits again, or the lane waits for the session's next file.
	settled := func() {
		w.await("the session is idle", func() bool {
			c, _ := w.bus.Counts(queue)
			s := w.bus.Sessions(queue)
			return c.Active == 0 && (len(s) == 0 || s[0].Held == held)
		})
	}
	send := func(n int) time.Time {
		m := message(lane, fmt.Sprintf("file-%d", n), "ID,NAME\n1,Retail\n", nil)
		began := time.Now()
		if err := sender.SendMessage(b.Context(), m, nil); err != nil {
			b.Fatal(err)
		}
		return began
	}
	send(0) // everything has its connections
	w.await("the first file has left", func() bool { c, _ := w.bus.Counts(queue); return c.Active == 0 && len(w.fno["prod"].Imports()) > 0 })
	var began []time.Time
	for b.Loop() {
		settled()
		began = append(began, send(len(began)+1))
		if err := w.fno["prod"].WaitImports(b.Context(), len(began)+1); err != nil {
			b.Fatal(err)
		}
	}
	settled()
	imports := w.fno["prod"].Imports()[1:]
	if len(imports) != len(began) {
		b.Fatalf("%d imports of %d files", len(imports), len(began))
	}
	took := make([]time.Duration, len(began))
	for i, x := range imports {
		took[i] = x.AcceptedAt.Sub(began[i])
	}
	slices.Sort(took)
	for name, share := range map[string]float64{"p50-ms": 0.50, "p99-ms": 0.99} {
		b.ReportMetric(float64(took[int(share*float64(len(took)-1))].Microseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op") // an import's time is in it
}
