package servicebus_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"

	sb "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

var seed = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// TestOrderUnderCompetition has 32 workers on the real SDK compete for 16 sessions while session locks expire and
// connections are cut at random. Whoever receives a message must find nothing before it in its session, and in the end
// nothing is left and nothing was never seen.
func TestOrderUnderCompetition(t *testing.T) {
	const lanes, each, workers = 16, 10, 32
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	q := entity.NewQueue("s")
	q.RequiresSession, q.MaxDeliveryCount = true, 2000
	r := start(t, servicebus.Options{Namespace: entity.Namespace{Queues: []entity.QueueDescription{q}}})
	for i := range each {
		for lane := range lanes {
			r.send("s", in(fmt.Sprint("lane-", lane), fmt.Sprint(i)))
		}
	}
	c := &chaos{r: r, rng: rand.New(rand.NewPCG(s, s)), seen: map[int64]int{}}
	var all sync.WaitGroup
	for range workers {
		all.Go(c.work)
	}
	all.Wait()
	if left := r.server.Messages("s"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if len(c.seen) != lanes*each {
		t.Errorf("%d messages seen, want %d", len(c.seen), lanes*each)
	}
	t.Logf("%d deliveries of %d messages, %d cuts, %d locks expired", c.deliveries, len(c.seen), c.cuts, c.expired)
}

type chaos struct {
	r *rig

	mu                        sync.Mutex
	rng                       *rand.Rand
	seen                      map[int64]int
	deliveries, cuts, expired int
}

// empty reports that everything is done.
func (c *chaos) empty() bool {
	n, _ := c.r.server.Counts("s")
	return n.Active == 0
}

// work takes sessions until there is nothing left. Every call is bounded below the SDK's first retry, and a client that
// had an error is replaced.
func (c *chaos) work() {
	for !c.empty() && !c.r.t.Failed() {
		client, err := sb.NewClientFromConnectionString(c.r.server.ConnectionString(),
			&sb.ClientOptions{RetryOptions: sb.RetryOptions{MaxRetries: -1}})
		if err != nil {
			c.r.t.Error(err)
			return
		}
		for c.session(client) && !c.r.t.Failed() {
		}
		_ = client.Close(context.Background()) // it is given up
	}
}

// bounded limits one call; what it does not do in that time is treated as an error.
func (c *chaos) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.r.t.Context(), time.Second)
}

// session works on one session; false when the client is of no further use.
func (c *chaos) session(client *sb.Client) bool {
	ctx, cancel := context.WithTimeout(c.r.t.Context(), 300*time.Millisecond)
	defer cancel()
	x, err := client.AcceptNextSessionForQueue(ctx, "s", nil)
	if err != nil {
		return false
	}
	defer func() {
		ctx, cancel := c.bounded()
		defer cancel()
		_ = x.Close(ctx) // the connection may be cut
	}()
	for {
		ctx, cancel := context.WithTimeout(c.r.t.Context(), 100*time.Millisecond)
		ms, err := x.ReceiveMessages(ctx, 1, nil)
		cancel()
		if err != nil {
			return ctx.Err() != nil && !c.empty()
		}
		if len(ms) == 0 {
			return true
		}
		seq := *ms[0].SequenceNumber
		for _, m := range c.r.server.Messages("s") {
			if m.SessionID == x.SessionID() && m.Sequence < seq {
				c.r.t.Errorf("session %s: %d received while %d is still there", m.SessionID, seq, m.Sequence)
			}
		}
		c.strike(x.SessionID(), seq)
		ctx, cancel = c.bounded()
		err = x.CompleteMessage(ctx, ms[0], nil)
		cancel()
		if err != nil {
			return false
		}
	}
}

// strike notes the delivery and, now and then, does harm.
func (c *chaos) strike(session string, seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deliveries++
	c.seen[seq]++
	switch c.rng.IntN(20) {
	case 0:
		if c.r.server.Faults().ExpireSession("s", session) {
			c.expired++
		}
	case 1:
		c.cuts += c.r.server.Faults().CutLinks("s", session)
	case 2:
		if c.rng.IntN(4) == 0 {
			c.cuts += c.r.server.Faults().CutAll()
		}
	}
}
