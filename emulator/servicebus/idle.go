package servicebus

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// The idle rules of the service.
// Source: Microsoft Learn, service-bus-amqp-troubleshoot.
const (
	linkIdle   = 10 * time.Minute // a link nobody uses
	connIdle   = 5 * time.Minute  // a connection that has lost its last link
	connUnused = time.Minute      // a connection that never had one
	sweepEvery = 15 * time.Second // how often they are applied
)

// sweep applies the idle rules to every connection.
func (s *Server) sweep() {
	now := s.broker.Now()
	for _, c := range s.amqpConns() {
		c.applyIdleRules(now)
	}
	s.later(sweepEvery, s.sweep)
}

func (c *conn) applyIdleRules(now time.Time) {
	for _, l := range c.find("", "") {
		b, ok := l.(link)
		if ok && now.Sub(time.Unix(0, b.base().used.Load())) >= linkIdle {
			l.force(amqp.Errorf(amqp.DetachForced,
				"The link '%s' is force detached. Details: IdleTimerExpired: Idle timeout: 00:10:00.", b.base().name))
		}
	}
	c.mu.Lock()
	links := 0
	for _, s := range c.sessions {
		for _, l := range s.links {
			if l != nil {
				links++
			}
		}
	}
	limit := connUnused
	if c.attached {
		limit = connIdle
	}
	if links > 0 || c.alone.IsZero() {
		c.alone = now
	}
	idle := now.Sub(c.alone) >= limit
	c.mu.Unlock()
	if idle {
		c.shutdown(amqp.Errorf(amqp.ConnectionForced,
			"The connection was inactive for more than the allowed %v and is closed.", limit))
	}
}
