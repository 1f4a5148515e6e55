package servicebus

import "slices"

// ahead is how much of the connection's queue may be parts of messages that take several frames. What is behind it
// waits in the sessions, which take turns, so that the answer to a small question does not wait for the last byte of a
// large message: it would come seconds late on a slow line.
const ahead = 64 << 10

// A pendingFrame is a transfer that waits in its session.
type pendingFrame struct {
	handle uint32
	bytes  []byte
}

// takeTurns puts a session that has frames to send among those that take turns. Callers hold mu.
func (s *session) takeTurns() {
	if !s.inTurn && s.mayGoOn() {
		s.inTurn = true
		s.c.turns = append(s.c.turns, s)
	}
}

func (s *session) mayGoOn() bool { return !s.ended && len(s.pending) > 0 && s.remoteWindow > 0 }

// fed notes which links of the session may deliver again. Callers hold mu.
func (s *session) fed() {
	if s.ended || len(s.pending) > 0 || s.remoteWindow <= 0 {
		return
	}
	for _, l := range s.links {
		if o, ok := l.(*outLink); ok && o.starved {
			o.starved = false
			s.c.fed = append(s.c.fed, o)
		}
	}
}

// forget drops what is left of a link's message: the link is detached. Callers hold mu.
func (s *session) forget(handle uint32) {
	s.pending = slices.DeleteFunc(s.pending, func(f pendingFrame) bool { return f.handle == handle })
	s.fed()
}

// refill queues the next frames, one session after the other. Callers hold mu; whoever writes resumes c.fed.
func (c *conn) refill() {
	for len(c.out) < ahead && len(c.turns) > 0 {
		s := c.turns[0]
		c.turns = c.turns[1:]
		s.inTurn = false
		if !s.mayGoOn() {
			continue
		}
		c.out = append(c.out, s.pending[0].bytes...)
		s.pending = slices.Delete(s.pending, 0, 1)
		s.nextOutgoing++
		s.remoteWindow--
		s.takeTurns()
		s.fed()
	}
}
