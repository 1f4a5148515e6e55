package deadletter

import (
	"cmp"
	"slices"
)

// arrange decides what has to be done so that a session's queue ends up in order: the messages waiting in it (queue,
// in queue order) and the dead letters that return (group). A queue can only be added to at its end, so the longest
// beginning of the wanted order that is in the queue already stays; everything after it is sent again behind it, in
// order. What an earlier, interrupted run has sent is recognised by its ID and place and not sent again, which makes
// the result the same however often the run is cut and repeated.
func arrange(queue, group []*item) []*item {
	inQueue := map[copyName]bool{}
	for _, it := range queue {
		inQueue[it.name()] = true
	}
	ours := map[copyName]bool{} // names that only a copy of ours can have
	for _, it := range slices.Concat(queue, group) {
		for _, n := range it.copyNames() {
			ours[n] = true
		}
	}
	var leftovers, live, returning []*item
	seen := map[copyName]bool{}
	for _, it := range queue {
		repeated := ours[it.name()] && seen[it.name()] // the same copy twice: sent again after an answer was lost
		if repeated || slices.ContainsFunc(it.copyNames(), func(n copyName) bool { return inQueue[n] }) {
			it.recognised()
			leftovers = append(leftovers, it)
		} else {
			live = append(live, it)
		}
		seen[it.name()] = true
	}
	for _, it := range group {
		if slices.ContainsFunc(it.copyNames(), func(n copyName) bool { return inQueue[n] }) {
			it.recognised()
			leftovers = append(leftovers, it)
		} else {
			returning = append(returning, it)
		}
	}
	wanted := slices.Concat(live, returning)
	slices.SortStableFunc(wanted, func(a, b *item) int { return cmp.Compare(a.key, b.key) })
	return append(leftovers, wanted[inOrder(wanted, live):]...)
}

// inOrder returns how many items at the beginning of the wanted order may stay in the queue: they are in it already,
// one behind the other.
func inOrder(wanted, live []*item) int {
	place := map[*item]int{}
	for i, it := range live {
		place[it] = i + 1
	}
	keep, last := 0, 0
	for keep < len(wanted) && place[wanted[keep]] > last {
		last = place[wanted[keep]]
		keep++
	}
	return keep
}
