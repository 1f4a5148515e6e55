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

// A Slot is the right of one lane to begin files.
//
//	             +------- AwaitTurn -------+
//	             v                         |
//	Take ---> queued ---> working ---> resting       any ---GiveBack---> given back
//	             ^         |  ^  | Rest    ^
//	             +---------+  |  +---------+
//	       AwaitTurn, another |
//	       file               +-- Lend, Reclaim --> lent
type Slot struct {
	of *Slots

	// Guarded by of.mu.
	state   slotState
	granted chan struct{} // queued: closed when the slot works
	worked  bool
	file    int64 // working: the file that this turn is for; 0 when it has begun none
}

type slotState string

const (
	queued    slotState = "queued"
	working   slotState = "working"
	resting   slotState = "resting"
	lent      slotState = "lent"
	givenBack slotState = "given back"
)

// enter makes the slot work, or waits for that in the queue; of.mu is held.
func (s *Slot) enter() {
	if len(s.of.queue) == 0 && s.of.used < s.of.size {
		s.work()
		return
	}
	s.state, s.granted = queued, make(chan struct{})
	s.of.queue = append(s.of.queue, s)
}

// work begins a turn; of.mu is held.
func (s *Slot) work() {
	if s.state == queued {
		close(s.granted)
	}
	s.state, s.worked, s.file = working, true, 0
	s.of.used++
}

// AwaitTurn waits until the lane may begin a file, at most until a time if there is one. It reports whether it may. A turn
// is for one file: for another one the lane goes to the end of the queue, if there is a queue.
func (s *Slot) AwaitTurn(ctx context.Context, file int64, until time.Time) bool {
	s.of.mu.Lock()
	switch {
	case s.state == resting:
		s.enter()
	case s.state == working && s.file != 0 && s.file != file && len(s.of.queue) > 0:
		s.of.used--
		s.enter()
		s.of.freed()
	}
	state, granted := s.state, s.granted
	if state == working {
		s.file = file
	}
	s.of.mu.Unlock()
	if state != queued {
		return true
	}
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	select {
	case <-granted:
	case <-ctx.Done():
		return false
	}
	s.of.mu.Lock()
	s.file = file
	s.of.mu.Unlock()
	return ctx.Err() == nil
}

// Has reports whether the lane may begin a file without waiting.
func (s *Slot) Has() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.state == working
}

// Rest gives the slot up while there is nothing that the lane could begin.
func (s *Slot) Rest() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.state == working || s.state == queued {
		s.leave(resting)
	}
}

// Lend lets another session have the slot while this lane waits for the end of an outage: the outage of one environment
// must not keep others from their lanes. At most as many slots as there are can be lent, so that an outage does not
// collect every session; with more, this lane keeps its slot.
func (s *Slot) Lend() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.state == working && s.of.lent < s.of.size {
		s.of.lent++
		s.leave(lent)
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

// GiveBack ends the ownership of the session, and with it the slot. Calling it again does nothing.
func (s *Slot) GiveBack() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.state != givenBack {
		s.of.owned--
		s.leave(givenBack)
	}
}

// leave ends what the slot does; of.mu is held.
func (s *Slot) leave(to slotState) {
	switch s.state {
	case working:
		s.of.used--
	case lent:
		s.of.lent--
	case queued:
		s.of.queue = slices.DeleteFunc(s.of.queue, func(w *Slot) bool { return w == s })
	}
	s.state = to
	s.of.freed()
}
