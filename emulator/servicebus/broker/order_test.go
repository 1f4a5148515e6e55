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

// TestOrderUnderCompetition lets 32 consumers compete for 8 sessions, while time passes, receivers vanish and messages
// are abandoned and released at random. When a consumer completes a message, all before it in its session must be
// settled, and in the end every message has been completed once.
func TestOrderUnderCompetition(t *testing.T) {
	const each, consumers = 40, 32
	c := &competition{
		world: build(t, queueOf(func(q *entity.QueueDescription) { q.RequiresSession, q.MaxDeliveryCount = true, 2000 })),
		rng:   dice(t), completed: map[string]int64{},
	}
	for range competed * each / 2 {
		c.sendOne()
	}
	all := make([]competitor, consumers)
	for step := 0; c.done < competed*each; step++ {
		if step > 1_000_000 {
			t.Fatalf("stuck with %d of %d done: %v", c.done, competed*each, c.lies("q"))
		}
		if c.sent < competed*each && c.rng.IntN(4) == 0 {
			c.sendOne()
		}
		c.step(&all[c.rng.IntN(consumers)])
	}
	c.expect("q")
	c.expect("q" + dlq)
}

const competed = 8 // sessions

// A competition is what the consumers of TestOrderUnderCompetition share.
type competition struct {
	*world
	rng        *rand.Rand
	completed  map[string]int64 // highest sequence number completed, by session
	sent, done int
}

// A competitor is one of the consumers; it has no client before its first step and after it left.
type competitor struct {
	*client
	next int // first delivery that is not settled
}

func (c *competition) sendOne() {
	c.send("q", message{body: fmt.Sprint(c.sent), session: fmt.Sprint(c.sent % competed)})
	c.sent++
}

// step lets one consumer do one thing.
func (c *competition) step(x *competitor) {
	switch {
	case x.client == nil || x.gone != nil || x.refused != nil:
		o := broker.ConsumerOptions{Address: "q", Accept: broker.NextSession, Wait: time.Minute}
		*x = competitor{client: c.open(o, 0)}
		return
	case !x.granted:
		if c.rng.IntN(20) == 0 {
			c.clock.Advance(time.Second)
		}
		return
	}
	switch action := c.rng.IntN(40); {
	case action == 0:
		x.leave()
	case action == 1:
		c.clock.Advance(time.Duration(c.rng.IntN(20)) * time.Second)
	case action == 2:
		c.b.ExpireSession("q", x.session)
	case x.next == len(x.got):
		x.c.Flow(uint32(len(x.got)), uint32(1+c.rng.IntN(3)), false)
		if x.next == len(x.got) && c.rng.IntN(4) == 0 { // nothing there: leave it to others
			x.leave()
		}
	case action == 3:
		x.giveBack(broker.Release)
	case action < 6:
		x.giveBack(broker.Abandon)
	default:
		c.complete(x)
	}
}

func (x *competitor) leave() {
	x.c.Close()
	x.client = nil
}

// giveBack returns everything the consumer has, the last first: those behind a message must not stay with it.
func (x *competitor) giveBack(verdict broker.Verdict) {
	for i := len(x.got) - 1; i > x.next; i-- {
		_ = x.c.Settle(x.got[i].token, broker.Outcome{Verdict: broker.Release}) // its lock may be gone
	}
	_ = x.c.Settle(x.got[x.next].token, broker.Outcome{Verdict: verdict})
	x.leave()
}

// complete completes the consumer's next message and checks that it was its turn.
func (c *competition) complete(x *competitor) {
	c.t.Helper()
	d := x.got[x.next]
	if x.c.Settle(d.token, broker.Outcome{Verdict: broker.Complete}) != nil {
		x.client = nil // the lock is lost, and with it everything the consumer has
		return
	}
	x.next++
	if d.seq <= c.completed[x.session] {
		c.t.Fatalf("session %s: %d completed after %d", x.session, d.seq, c.completed[x.session])
	}
	for _, m := range c.b.Messages("q") {
		if m.SessionID == x.session && m.Sequence < d.seq {
			c.t.Fatalf("session %s: %d completed while %d is still there", x.session, d.seq, m.Sequence)
		}
	}
	c.completed[x.session] = d.seq
	c.done++
}
