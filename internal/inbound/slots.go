package inbound

import (
	"context"
	"sync"
)

// slots bound the lanes of a worker, and with them the accepts that are worth making.
//
// A slot is taken with a session in hand: an accept that waits at an idle source must not keep a busy one from its
// lanes. But no more accepts wait than there are free slots, except one for every source, because a session that was
// accepted for nothing has to be given back, and the broker hands it out again at once.
type slots struct {
	mu      sync.Mutex
	free    int
	pending map[*Source]int // accepts that wait
	waiting int             // accepts that could be made but for the slots
	changed chan struct{}   // closed and replaced with every change that may let somebody go on
}

func newSlots(n int) *slots {
	return &slots{free: n, pending: map[*Source]int{}, changed: make(chan struct{})}
}

// ask waits until an accept is worth making. It reports whether it is; taken or idle must follow.
func (s *slots) ask(ctx context.Context, src *Source) bool {
	s.mu.Lock()
	s.waiting++
	for ctx.Err() == nil && (s.free == 0 || s.pending[src] > 0 && s.free <= s.allPending()) {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	s.waiting--
	if ctx.Err() != nil {
		return false
	}
	s.pending[src]++
	return true
}

// allPending counts the accepts that wait; mu is held.
func (s *slots) allPending() int {
	n := 0
	for _, p := range s.pending {
		n += p
	}
	return n
}

// taken notes that an accept gave a session. It reports whether there is a slot for it.
func (s *slots) taken(src *Source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[src]--
	if s.free == 0 {
		s.touch()
		return false
	}
	s.free--
	return true
}

// idle notes that an accept gave no session.
func (s *slots) idle(src *Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[src]--
	s.touch()
}

// give gives a slot back.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	s.touch()
}

// touch tells those who wait; mu is held.
func (s *slots) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wanted reports whether sessions could be taken but for the slots.
func (s *slots) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free == 0 && s.waiting > 0
}
