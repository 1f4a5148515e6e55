package admission

import (
	"context"
	"slices"
	"time"
)

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
