package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/ledger"
)

// A plan is what happens to the messages of one session (or to those without one), strictly one after the other.
//
//	waiting --head locked--> sending --> completing --> next ... --> done
//	   |                        |            |
//	   +--somebody has it--> blocked     lock lost: waiting again, not sent twice
//	                            +--refused--> blocked: nothing behind may overtake
type plan struct {
	session *string
	items   []*item
	next    int
	blocked error // why nothing of it moves any more

	entity, company string        // of its first message
	left            []position    // of its dead letters that were not selected
	owned           *ownedSession // while the plan needs its session

	// last is the dead letter that is copied in its turn and completed after everything else: while it is there, a
	// repeated run finds the session.
	last *item
}

// A position says where a message is, and was.
type position struct {
	seq   int64 // in its source
	lived int64 // in the queue itself: another one where the move to the dead letters changed it
	key   int64 // order: the sequence number of its first life
}

func positionOf(s contract.Source, rm *azservicebus.ReceivedMessage) position {
	return position{seqOf(rm), lived(rm), orderKey(s, rm)}
}

// errLockedElsewhere blocks a plan whose head somebody else works on.
var errLockedElsewhere = errors.New("somebody else has it locked; its lock ends within the entity's lock duration")

// head returns the item whose turn it is, nil when the plan is done or blocked.
func (p *plan) head() *item {
	if p.blocked != nil || p.done() {
		return nil
	}
	return p.items[p.next]
}

func (p *plan) done() bool { return p.next >= len(p.items) }

// pass goes on to the next item.
func (p *plan) pass(it *item) {
	if !p.done() && p.items[p.next] == it {
		p.next++
	}
}

// postponed reports whether the item, whose copy is there, is completed later, and puts it behind all others then.
func (p *plan) postponed(it *item) bool {
	if it != p.last || p.next == len(p.items)-1 {
		return false
	}
	p.items = append(slices.Delete(p.items, p.next, p.next+1), it)
	return true
}

// torn returns the first dead letter of a parked group that the selection leaves behind, 0 when there is none. The
// group is what died after the file that failed, in the queue or by its first life; the failed file itself may stay. It
// is in the dead-letter queue or, held, in the session's own (queue).
func (p *plan) torn(park *ledger.Park, queue []*item) (seq int64) {
	failed := position{lived: park.Seq, key: park.Seq} // a key is never higher than the number
	for _, x := range slices.Concat(p.left, positions(p.items), positions(queue)) {
		if x.lived == park.Seq {
			failed = x
		}
	}
	for _, x := range p.left {
		if x.lived > failed.lived || x.key > failed.key {
			return x.seq
		}
	}
	return 0
}

func positions(items []*item) (all []position) {
	for _, it := range items {
		all = append(all, it.position)
	}
	return all
}

// index is the selection: plans in the order of their first messages in the dead-letter queue.
type index struct {
	plans    []*plan
	selected int
	highest  int64
	largest  int // bytes of the largest dead letter, selected or not
}

// makeIndex peeks at the whole dead-letter queue once. Exactly the messages it saw are worked on: neither one that
// arrives later nor a copy that dies again is touched by the same run. to is where the copies go.
func makeIndex(ctx context.Context, q Queue, s contract.Source, to string, match func(Message) bool) (*index, error) {
	ix := &index{}
	bySession := map[string]*plan{}
	for rm, err := range peekAll(ctx, q, 1, 0) {
		if err != nil {
			return nil, fmt.Errorf("list dead letters of %s: %w", s, err)
		}
		m := view(s, rm)
		ix.highest = max(ix.highest, m.SequenceNumber)
		ix.largest = max(ix.largest, m.Bytes)
		p := bySession[sessionKey(m.Session)]
		if p == nil {
			p = &plan{session: m.Session, entity: m.Entity, company: m.Company}
			bySession[sessionKey(m.Session)] = p
			ix.plans = append(ix.plans, p)
		}
		if !match(m) {
			p.left = append(p.left, positionOf(s, rm))
			continue
		}
		ix.selected++
		p.items = append(p.items, newItem(s, to, rm, m))
	}
	ix.plans = slices.DeleteFunc(ix.plans, func(p *plan) bool { return len(p.items) == 0 })
	for _, p := range ix.plans {
		slices.SortStableFunc(p.items, func(a, b *item) int {
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.seq, b.seq))
		})
	}
	return ix, nil
}

// sessionKey tells a message without a session from one of the session whose ID is empty.
func sessionKey(session *string) string {
	if session == nil {
		return ""
	}
	return "/" + *session
}

// each returns the selection as plans of one message: nothing has to stay in order.
func (ix *index) each() []*plan {
	plans := make([]*plan, 0, ix.selected)
	for _, p := range ix.plans {
		for _, it := range p.items {
			plans = append(plans, &plan{session: p.session, items: []*item{it}})
		}
	}
	return plans
}
