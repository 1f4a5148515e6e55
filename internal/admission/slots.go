package admission

import (
	"context"
	"sync"
)

// Slots bound the lanes of a worker that are at work, and with them the accepts that are worth making.
//
// A slot is taken with a session in hand: an accept that waits at an idle source must not keep a busy one from its
// lanes. But no more accepts wait than there are free slots, except one for every source, because a session that was
// accepted for nothing has to be given back, and the broker hands it out again at once.
type Slots struct {
	size int

	mu      sync.Mutex
	used    int            // slots at work
	lent    int            // slots whose lanes wait for the end of an outage
	pending map[string]int // accepts under way, by source
	wanted  int            // accepts that could be made but for the slots
	changed chan struct{}  // closed and replaced with every change that may let somebody go on
}

// NewSlots returns n slots.
func NewSlots(n int) *Slots {
	return &Slots{size: n, pending: map[string]int{}, changed: make(chan struct{})}
}

// AwaitAccept waits until an accept at a source is worth making. It reports whether it is, or ctx has ended; Take or
// NothingFound must follow.
func (s *Slots) AwaitAccept(ctx context.Context, source string) bool {
	s.mu.Lock()
	s.wanted++
	for ctx.Err() == nil && (s.free() <= 0 || s.pending[source] > 0 && s.free() <= s.allPending()) {
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

// Take returns a slot for the session that an accept found; nil when there is none left for it.
func (s *Slots) Take(source string) *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[source]--
	if s.free() <= 0 {
		s.touch()
		return nil
	}
	s.used++
	return &Slot{of: s, state: working}
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
	return s.free() <= 0 && s.wanted > 0
}

// free returns how many lanes more may begin to work; mu is held. It is below zero while lanes that had lent their slots
// are back.
func (s *Slots) free() int { return s.size - s.used }

// allPending counts the accepts under way; mu is held.
func (s *Slots) allPending() int {
	n := 0
	for _, p := range s.pending {
		n += p
	}
	return n
}

// touch tells those who wait; mu is held.
func (s *Slots) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// A Slot is the right of one lane to work.
//
//	         Lend                 GiveBack
//	working -------> lent    any ----------> given back
//	    ^              |
//	    +--- Reclaim --+
type Slot struct {
	of    *Slots
	state slotState // guarded by of.mu
}

type slotState string

const (
	working   slotState = "working"
	lent      slotState = "lent"
	givenBack slotState = "given back"
)

// Lend lets another session have the slot while this lane waits for the end of an outage: the outage of one environment
// must not keep others from their lanes. At most as many slots as there are can be lent, so that an outage does not
// collect every session; with more, this lane keeps its slot.
func (s *Slot) Lend() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.state == working && s.of.lent < s.of.size {
		s.state = lent
		s.of.used--
		s.of.lent++
		s.of.touch()
	}
}

// Reclaim ends Lend. It never waits: a lane whose environment is back goes on, and no session is taken until there are
// slots again.
func (s *Slot) Reclaim() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.state == lent {
		s.state = working
		s.of.used++
		s.of.lent--
	}
}

// GiveBack returns the slot back for good. Calling it again does nothing.
func (s *Slot) GiveBack() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	switch s.state {
	case working:
		s.of.used--
	case lent:
		s.of.lent--
	}
	s.state = givenBack
	s.of.touch()
}
