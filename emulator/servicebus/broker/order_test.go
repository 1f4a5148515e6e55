package broker_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// dice prints its seed, with which a failure can be repeated.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, s))
}

// TestOrderUnderCompetition lets 32 consumers compete for 8 sessions, with time passing, receivers vanishing and
// messages being given back at random. Whoever is given a message must find that all before it in its session are
// settled, and in the end every message has been completed once.
func TestOrderUnderCompetition(t *testing.T) {
	const lanes, each, workers = 8, 40, 32
	rng := dice(t)
	w := build(t, queueOf(func(q *entity.QueueDescription) { q.RequiresSession, q.MaxDeliveryCount = true, 2000 }))
	sent := 0
	send := func() {
		w.send("q", message{body: fmt.Sprint(sent), session: fmt.Sprint(sent % lanes)})
		sent++
	}
	for range lanes * each / 2 {
		send()
	}
	completed := map[string]int64{} // session: highest sequence number completed
	done := 0
	type worker struct {
		*client
		next int // first delivery not settled
	}
	all := make([]worker, workers)
	for step := 0; done < lanes*each; step++ {
		if step > 1_000_000 {
			t.Fatalf("stuck with %d of %d done: %v", done, lanes*each, w.lies("q"))
		}
		if sent < lanes*each && rng.IntN(4) == 0 {
			send()
		}
		x := &all[rng.IntN(workers)]
		if x.client == nil || x.gone != nil || x.refused != nil {
			*x = worker{client: w.open(broker.ConsumerOptions{Address: "q", Accept: broker.NextSession, Wait: time.Minute}, 0)}
			continue
		}
		if !x.granted {
			if rng.IntN(20) == 0 {
				w.clock.Advance(time.Second)
			}
			continue
		}
		switch action := rng.IntN(40); {
		case action == 0:
			x.c.Close()
			x.client = nil
		case action == 1:
			w.clock.Advance(time.Duration(rng.IntN(20)) * time.Second)
		case action == 2:
			w.b.ExpireSession("q", x.session)
		case x.next == len(x.got):
			x.c.Flow(uint32(len(x.got)), uint32(1+rng.IntN(3)), false)
			if x.next == len(x.got) && rng.IntN(4) == 0 { // nothing there: leave it to others
				x.c.Close()
				x.client = nil
			}
		default:
			d := x.got[x.next]
			verdict := broker.Complete
			if action < 6 {
				verdict = broker.Abandon
				if action < 4 {
					verdict = broker.Release
				}
			}
			// Those behind it in the same receiver's hands go back with it: settling out of order would be the
			// consumer's own doing.
			last := x.next
			if verdict != broker.Complete {
				for i := len(x.got) - 1; i > x.next; i-- {
					_ = x.c.Settle(x.got[i].token, broker.Outcome{Verdict: broker.Release}) // its lock may be gone
				}
				last = len(x.got) - 1
			}
			if x.c.Settle(d.token, broker.Outcome{Verdict: verdict}) != nil {
				x.client = nil // the lock is lost, and with it everything in hand
				continue
			}
			x.next = last + 1
			if verdict != broker.Complete {
				x.got = x.got[:0]
				x.next = 0
				x.c.Close() // the deliveries given back are counted by the link
				x.client = nil
				continue
			}
			if d.seq <= completed[x.session] {
				t.Fatalf("step %d: session %s: %d completed after %d", step, x.session, d.seq, completed[x.session])
			}
			for _, m := range w.b.Messages("q") {
				if m.SessionID == x.session && m.Sequence < d.seq {
					t.Fatalf("step %d: session %s: %d completed while %d is still there", step, x.session, d.seq, m.Sequence)
				}
			}
			completed[x.session] = d.seq
			done++
		}
	}
	w.expect("q")
	w.expect("q" + dlq)
}
