package servicebus

import (
	"sync"
	"time"
)

// timers run functions later on the emulator's clock, unless the server closes first.
type timers struct {
	mu      sync.Mutex
	pending map[*pending]struct{}
	closed  bool
}

// pending is a call to come.
type pending struct{ timer interface{ Stop() bool } }

// later runs fn once d has passed on the emulator's clock.
func (s *Server) later(d time.Duration, fn func()) {
	t := &s.timers
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	if t.pending == nil {
		t.pending = map[*pending]struct{}{}
	}
	p := &pending{}
	t.pending[p] = struct{}{}
	s.running.Add(1)
	p.timer = s.broker.Clock().AfterFunc(d, func() {
		defer s.running.Done()
		t.mu.Lock()
		delete(t.pending, p)
		t.mu.Unlock()
		fn()
	})
}

// dropTimers forgets everything that was to come.
func (s *Server) dropTimers() {
	t := &s.timers
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for p := range t.pending {
		if p.timer.Stop() {
			s.running.Done()
		}
	}
}
