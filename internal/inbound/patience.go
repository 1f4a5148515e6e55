package inbound

import (
	"context"
	"sync"
	"time"
)

// A session was handed out because it has a message, which takes as long to arrive as the line makes it: a large one
// over a slow line takes a minute. Who gives the session back before that gets it again at once, with the same
// message, and for ever. So the first message is waited for that long (Options.FirstWait), and twice as long each time
// that a session gave nothing.
const defaultFirstWait = time.Minute

// wantedIdle is how long a lane waits for another message when other sessions wait for its slot, at least: thousands of
// short sessions would else each cost the whole idle time.
const wantedIdle = 20 * time.Millisecond

// A patience is how long a lane waits for a message of its session before it counts as idle.
type patience struct {
	session flightKey
	barren  *barren
	least   time.Duration // for the first message, in a session that never gave nothing
	first   time.Duration // what the first message took to arrive; 0 before it came
}

// wait returns how long to wait. Once a message came, the session may be idle; but what is there takes a round trip to
// come, and may take as long as the first one did.
func (p *patience) wait(idle time.Duration, wanted bool, roundTrip time.Duration) time.Duration {
	if p.first == 0 {
		return p.least << p.barren.times(p.session)
	}
	if wanted {
		idle = min(idle, wantedIdle)
	}
	return max(idle, min(2*(roundTrip+p.first), p.least))
}

// came notes that a message arrived that was waited for since a time.
func (p *patience) came(since time.Time) {
	if p.first == 0 {
		p.first = max(time.Since(since), time.Nanosecond)
		p.barren.forget(p.session)
	}
}

// nothing notes that the lane gives up waiting. It returns how often in a row the session gave no message at all; 0
// when it did.
func (p *patience) nothing() int {
	if p.first > 0 {
		return 0
	}
	return p.barren.add(p.session)
}

// warnBarren says that a session gave nothing again.
func (o *ownedSession) warnBarren(ctx context.Context, times int, waited time.Duration) {
	if times < 2 {
		return
	}
	o.log.WarnContext(ctx, "a session was accepted again and again and gave no message: its message takes longer to "+
		"arrive than it was waited for (a large one on a slow line), or has left the queue; it is waited for longer",
		"times", times, "waited", waited, "roundTrip", o.RoundTrip())
}

// barren are the sessions of this process that were accepted and gave nothing, since when they last gave something.
type barren struct {
	mu sync.Mutex
	of map[flightKey]int
}

// mostDoublings is how often the first wait doubles at most: to eight minutes by default, after which a receiver is
// replaced.
const mostDoublings = 3

func (b *barren) times(k flightKey) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(b.of[k], mostDoublings)
}

func (b *barren) add(k flightKey) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[k]++
	return b.of[k]
}

func (b *barren) forget(k flightKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.of, k)
}
