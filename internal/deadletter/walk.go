package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/lease"
)

// peekPage is how many messages one peek asks for. The broker returns fewer when they are large, so a page of 256 KB
// messages does not become a page of 25 MB.
const peekPage = 100

// Walk peeks at the dead letters of s in sequence order, one page in memory at a time. Nothing is locked or counted.
// It ends at the first empty page, so messages that arrive while it runs may or may not be seen.
func Walk(ctx context.Context, b Broker, s contract.Source, f Filter) iter.Seq2[Message, error] {
	return walk(ctx, b, s, f, func(_ *azservicebus.ReceivedMessage, m Message) Message { return m })
}

// WalkFull is Walk with properties and bodies; most bounds the bytes of a body, -1 returns all of it.
func WalkFull(ctx context.Context, b Broker, s contract.Source, f Filter, most int) iter.Seq2[Message, error] {
	return walk(ctx, b, s, f, func(rm *azservicebus.ReceivedMessage, m Message) Message { return m.full(rm, most) })
}

func walk(
	ctx context.Context, b Broker, s contract.Source, f Filter,
	show func(*azservicebus.ReceivedMessage, Message) Message,
) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		q := b.DeadLetters(s)
		defer closeQuietly(q)
		for rm, err := range peekAll(ctx, q, max(f.From, 1), f.To) {
			if err != nil {
				yield(Message{}, fmt.Errorf("list dead letters of %s: %w", s, err))
				return
			}
			if m := view(s, rm); f.Match(m) && !yield(show(rm, m), nil) {
				return
			}
		}
	}
}

// peekAll pages through a source from a sequence number up to last (0: to the end).
func peekAll(ctx context.Context, src peeker, from, last int64) iter.Seq2[*azservicebus.ReceivedMessage, error] {
	return func(yield func(*azservicebus.ReceivedMessage, error) bool) {
		for {
			page, err := src.Peek(ctx, from, peekPage)
			if err != nil {
				yield(nil, err)
				return
			}
			before := from
			for _, rm := range page {
				seq := seqOf(rm)
				if last > 0 && seq > last || !yield(rm, nil) {
					return
				}
				from = max(from, seq+1)
			}
			if len(page) == 0 || from == before { // a broker that does not move on must not make us loop
				return
			}
		}
	}
}

// A Group counts the dead letters of one reason and data entity.
type Group struct {
	Reason string    `json:"reason"`
	Entity string    `json:"entity"`
	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	Bytes  int64     `json:"bytes"`
}

// Groups counts while it is fed; memory grows with the number of groups, not of messages.
type Groups map[[2]string]*Group

// Add counts one message.
func (g Groups) Add(m Message) {
	k := [2]string{m.Reason, m.Entity}
	x := g[k]
	if x == nil {
		x = &Group{Reason: m.Reason, Entity: m.Entity, Oldest: m.Time(), Newest: m.Time()}
		g[k] = x
	}
	x.Count++
	x.Bytes += int64(m.Bytes)
	if m.Time().Before(x.Oldest) {
		x.Oldest = m.Time()
	}
	if m.Time().After(x.Newest) {
		x.Newest = m.Time()
	}
}

// Sorted returns the groups, the largest first.
func (g Groups) Sorted() []Group {
	out := make([]Group, 0, len(g))
	for _, x := range g {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Entity, b.Entity))
	})
	return out
}

// closeTimeout bounds the closing of a source, session or target; if the broker does not hear of it, it notices by
// itself.
const closeTimeout = 5 * time.Second

// closeQuietly closes a source, session or target whose work is done or has failed already: there is nothing left to
// report.
func closeQuietly(s lease.Closer) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.Close(ctx)
}
