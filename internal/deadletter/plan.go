package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
)

// An item is one message of a plan: what is needed to find it again and to know its copy, not the message itself. Fifty
// thousand of them are some megabytes.
type item struct {
	seq      int64 // in its source
	key      int64 // order: the sequence number of its first life
	id       string
	copyID   string
	reason   string
	deferred bool
	active   bool // waits in the session itself, not in the dead-letter queue
	sent     bool // its copy is there: only the completion is missing
	tried    bool // its copy may be there
	already  bool // its copy was there before this run
	anchor   bool // to be sent now and completed at the end of its plan, where it stands again
}

// A plan is what happens to the messages of one session (or to those without one), strictly one after the other.
//
//	waiting --head locked--> sending --> completing --> next ... --> done
//	   |                        |            |
//	   +--somebody has it--> locked      lock lost: waiting again, not sent twice
//	                            +--refused--> blocked: nothing behind may overtake
type plan struct {
	session *string
	items   []*item
	next    int
	blocked error // why nothing of it moves any more
	locked  bool  // somebody else has the head locked

	entity, company string        // of its first message
	leftKey         int64         // highest order key of a dead letter of this session that was not selected
	owned           *ownedSession // while the plan needs its session
	counted         int           // selected items, as told to the report
}

// head returns the item whose turn it is, nil when the plan is done or blocked.
func (p *plan) head() *item {
	if p.blocked != nil || p.next >= len(p.items) {
		return nil
	}
	return p.items[p.next]
}

// index is the selection: plans in the order their first message stands in the dead-letter queue.
type index struct {
	plans    []*plan
	selected int
	highest  int64
}

// makeIndex peeks at the whole dead-letter queue once. Exactly the messages it saw are worked on: neither one that
// arrives later nor a copy that dies again is touched by the same run.
func makeIndex(ctx context.Context, src Source, e Entity, match func(Message) bool, each bool) (*index, error) {
	ix := &index{}
	bySession := map[string]*plan{}
	var without *plan // for messages that have no session
	for rm, err := range peekAll(ctx, src, 1, 0) {
		if err != nil {
			return nil, fmt.Errorf("list dead letters of %s: %w", e, err)
		}
		m := view(e, rm)
		ix.highest = max(ix.highest, m.SequenceNumber)
		sel := match(m)
		if each { // every message on its own: nothing has to stay in order
			if sel {
				ix.selected++
				ix.plans = append(ix.plans, &plan{session: m.Session, items: []*item{newItem(e, rm, m)}, counted: 1})
			}
			continue
		}
		p := without
		if m.Session != nil {
			p = bySession[*m.Session]
		}
		if p == nil {
			p = &plan{session: m.Session, entity: m.Entity, company: m.Company}
			if m.Session == nil {
				without = p
			} else {
				bySession[*m.Session] = p
			}
			ix.plans = append(ix.plans, p)
		}
		if !sel {
			p.leftKey = max(p.leftKey, orderKey(e, rm))
			continue
		}
		ix.selected++
		p.counted++
		p.items = append(p.items, newItem(e, rm, m))
	}
	ix.plans = slices.DeleteFunc(ix.plans, func(p *plan) bool { return len(p.items) == 0 })
	for _, p := range ix.plans {
		inOrder(p.items)
	}
	return ix, nil
}

func inOrder(items []*item) {
	slices.SortStableFunc(items, func(a, b *item) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.seq, b.seq)) })
}

func newItem(e Entity, rm *azservicebus.ReceivedMessage, m Message) *item {
	return &item{
		seq: m.SequenceNumber, key: orderKey(e, rm), id: m.MessageID, reason: m.Reason, deferred: m.Deferred,
		copyID: copyID(contract.Key(e.String(), rm), "~r"+strconv.FormatInt(m.Resubmits+1, 10)),
	}
}

func newActive(e Entity, rm *azservicebus.ReceivedMessage) *item {
	return &item{
		seq: seqOf(rm), key: orderKey(e, rm), id: rm.MessageID, active: true,
		copyID: copyID(contract.Key(e.String(), rm), "~q"+strconv.FormatInt(seqOf(rm), 10)),
	}
}

// arrange decides what has to be done so that a session's queue ends up in order: the messages waiting in it (queue, in
// queue order) and the dead letters that return (group). A queue can only be added to at its end, so the longest
// beginning of the wanted order that stands in the queue already stays; everything after it is sent again behind it, in
// order. What an earlier, interrupted run has sent is recognised by its ID and not sent again, which makes the result
// the same however often the run is cut and repeated.
func arrange(queue, group []*item) []*item {
	ours := map[string]bool{} // IDs that only a copy of ours can have
	for _, it := range slices.Concat(queue, group) {
		ours[it.copyID] = true
	}
	waiting := map[string]bool{}
	for _, it := range queue {
		waiting[it.id] = true
	}
	var leftovers, live, returning []*item
	seen := map[string]bool{}
	for _, it := range queue {
		switch {
		case waiting[it.copyID]: // its copy stands behind it: the completion was cut off
			it.sent, it.already = true, true
			leftovers = append(leftovers, it)
		case ours[it.id] && seen[it.id]: // the same copy twice: sent again after an answer was lost
			it.sent, it.already = true, true
			leftovers = append(leftovers, it)
		default:
			live = append(live, it)
		}
		seen[it.id] = true
	}
	for _, it := range group {
		if waiting[it.copyID] {
			it.sent, it.already = true, true
			leftovers = append(leftovers, it)
		} else {
			returning = append(returning, it)
		}
	}
	wanted := slices.Concat(live, returning)
	slices.SortStableFunc(wanted, func(a, b *item) int { return cmp.Compare(a.key, b.key) })
	place := map[*item]int{}
	for i, it := range live {
		place[it] = i + 1
	}
	keep, last := 0, 0
	for keep < len(wanted) && place[wanted[keep]] > last {
		last = place[wanted[keep]]
		keep++
	}
	return append(leftovers, wanted[keep:]...)
}

// anchored makes the last dead letter of a group stay until the newer messages are behind it: while it is there, a
// repeated run finds the session. It stands in the plan twice then, for its copy and for its completion.
func anchored(items []*item) []*item {
	last := -1
	for i, it := range items {
		if !it.active {
			last = i
		}
	}
	if last < 0 || last == len(items)-1 {
		return items
	}
	it := items[last]
	if it.sent {
		items = slices.Delete(items, last, last+1)
	} else {
		it.anchor = true
	}
	return append(items, it)
}
