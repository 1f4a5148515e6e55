package admission

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Slots bound the lanes of a worker that begin files, the sessions that it owns, and with both the accepts that are
// worth making.
//
// A lane needs a slot to begin a file, and for nothing else: while F&O has all of its files, while it backs off, or while
// it stands at a held file, it owns its session and rests. So imports that take long do not keep others from theirs. Slots
// go round: with more lanes than slots, each begins one file and goes to the end of the queue.
//
// A slot is taken with a session in hand: an accept that waits at an idle source must not keep a busy one from its lanes.
// But no more accepts wait than there are free slots, except one for every source, because a session that was accepted
// for nothing has to be given back, and the broker hands it out again at once. That one also finds the sessions that
// wait while all slots are used: they join the queue, one newcomer at a time.
type Slots struct {
	size int // slots
	most int // sessions owned

	mu      sync.Mutex
	used    int            // slots at work
	lent    int            // slots whose lanes wait for the end of an outage
	owned   int            // sessions of lanes in any state
	queue   []*Slot        // first come, first served
	joined  time.Time      // when the last session was taken
	pending map[string]int // accepts under way, by source
	wanted  int            // accepts that could be made but for the bounds
	changed chan struct{}  // closed and replaced with every change that may let somebody go on
}

// NewSlots returns n slots, for at most so many sessions owned.
func NewSlots(n, most int) *Slots {
	return &Slots{size: n, most: max(n, most), pending: map[string]int{}, changed: make(chan struct{})}
}

// AwaitAccept waits until an accept at a source is worth making. It reports whether it is, or ctx has ended; Take or
// NothingFound must follow.
func (s *Slots) AwaitAccept(ctx context.Context, source string) bool {
	s.mu.Lock()
	s.wanted++
	for ctx.Err() == nil && !s.worthAccepting(source) {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.wanted--
	if ctx.Err() != nil {
		return false
	}
	s.pending[source]++
	return true
}

// worthAccepting reports whether there will be something to do for another session of a source; mu is held.
func (s *Slots) worthAccepting(source string) bool {
	switch {
	case s.owned >= s.most:
		return false
	case s.pending[source] == 0 && s.roomInQueue():
		return true
	}
	return s.allPending() < min(s.free(), s.most-s.owned)
}

// roomInQueue reports whether another session may be accepted to wait for a slot: up to as many as there are slots, and
// then one a minute, so that one worker does not collect the sessions that others have slots for; mu is held.
func (s *Slots) roomInQueue() bool {
	newcomer := func(w *Slot) bool { return !w.worked }
	return s.used <= s.size && !slices.ContainsFunc(s.queue, newcomer) &&
		(len(s.queue) < s.size || time.Since(s.joined) >= newcomerEvery)
}

// newcomerEvery is how often a session more is accepted while more lanes wait for a slot than there are slots.
const newcomerEvery = time.Minute

// Take returns a slot for the session that an accept found, to be had at once or waited for; nil when there is no room
// for it.
func (s *Slots) Take(source string) *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[source]--
	if s.owned >= s.most || s.free() <= 0 && !s.roomInQueue() {
		s.touch()
		return nil
	}
	s.owned++
	s.joined = time.Now()
	slot := &Slot{of: s}
	slot.enter()
	return slot
}

// NothingFound notes that an accept found no session.
func (s *Slots) NothingFound(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[source]--
	s.touch()
}

// Wanted reports whether sessions could be taken but for the slots.
func (s *Slots) Wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted > 0 && (s.free() <= 0 || s.owned >= s.most)
}

// Crowded reports whether sessions could be taken but for those that are owned: a lane that had its turn gives way.
func (s *Slots) Crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted > 0 && s.owned >= s.most
}

// free returns how many lanes more may begin to work; mu is held. It is below zero while lanes that had lent their slots
// are back, or wait for one.
func (s *Slots) free() int { return s.size - s.used - len(s.queue) }

// allPending counts the accepts under way; mu is held.
func (s *Slots) allPending() int {
	n := 0
	for _, p := range s.pending {
		n += p
	}
	return n
}

// freed hands free slots to those who wait for one; mu is held.
func (s *Slots) freed() {
	for len(s.queue) > 0 && s.used < s.size {
		next := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		next.work()
	}
	s.touch()
}

// touch tells those who wait; mu is held.
func (s *Slots) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}
