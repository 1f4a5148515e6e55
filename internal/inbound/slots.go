package inbound

import (
	"context"
	"sync"

	"fnobridge/internal/dynamics"
)

// slots bound the lanes of a worker, and with them the accepts that are worth making.
//
// A slot is taken with a session in hand: an accept that waits at an idle source must not keep a busy one from its
// lanes. But no more accepts wait than there are free slots, except one for every source, because a session that was
// accepted for nothing has to be given back, and the broker hands it out again at once.
//
// A lane that waits at a closed gate needs no slot for as long: the outage of one environment must not keep the others
// from their lanes. It goes on when the gate opens, slot or not, and no session is taken then until there are slots
// again. At most as many lanes as there are slots rest like this, so that an outage does not collect every session.
type slots struct {
	size int

	mu      sync.Mutex
	used    int
	gates   map[*dynamics.Gate]*gateQueue
	pending map[*Source]int // accepts that wait
	waiting int             // accepts that could be made but for the slots
	changed chan struct{}   // closed and replaced with every change that may let somebody go on
}

// gateQueue is how many lanes wait at one gate, and whether it is closed.
type gateQueue struct {
	lanes  int
	closed bool
}

// newSlots gives n slots, and follows the gates of the routes' environments.
func newSlots(n int, routes []*Route) *slots {
	s := &slots{size: n, gates: map[*dynamics.Gate]*gateQueue{}, pending: map[*Source]int{}, changed: make(chan struct{})}
	for _, r := range routes {
		gate := r.Environment.Gate()
		if s.gates[gate] != nil {
			continue
		}
		s.gates[gate] = &gateQueue{closed: !gate.State().Open()}
		gate.OnChange(func(now dynamics.GateState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.gates[gate].closed = !now.Open()
			s.touch()
		})
	}
	return s
}

// free gives how many lanes more may run; mu is held. Less than none while lanes that rested go on.
func (s *slots) free() int {
	resting := 0
	for _, q := range s.gates {
		if q.closed {
			resting += q.lanes
		}
	}
	return s.size - s.used + min(resting, s.size)
}

// enter waits for a lane until the gate lets it through.
func (s *slots) enter(ctx context.Context, gate *dynamics.Gate) (*dynamics.Pass, error) {
	queue := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gates[gate].lanes += n
		s.touch()
	}
	queue(1)
	defer queue(-1)
	return gate.Enter(ctx)
}

// ask waits until an accept is worth making. It reports whether it is; taken or idle must follow.
func (s *slots) ask(ctx context.Context, src *Source) bool {
	s.mu.Lock()
	s.waiting++
	for ctx.Err() == nil && (s.free() <= 0 || s.pending[src] > 0 && s.free() <= s.allPending()) {
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
	if s.free() <= 0 {
		s.touch()
		return false
	}
	s.used++
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
	s.used--
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
	return s.free() <= 0 && s.waiting > 0
}
