package servicebus

import (
	"slices"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// CutAll cuts every AMQP connection and returns how many.
func (f *Faults) CutAll() int { return f.cut(func(*conn) bool { return true }) }

// CutLinks cuts the connections that have a link on the entity, or with a session a receiver that owns it, and returns
// how many.
func (f *Faults) CutLinks(entity, session string) int {
	return f.cut(func(c *conn) bool { return len(c.find(entity, session)) > 0 })
}

// cut chooses before it cuts: what one connection loses goes to the next at once.
func (f *Faults) cut(which func(*conn) bool) int {
	chosen := slices.DeleteFunc(f.s.amqpConns(), func(c *conn) bool { return !which(c) })
	for _, c := range chosen {
		c.kill()
	}
	return len(chosen)
}

// DetachLinks detaches the links on the entity (of the session, if one is given) with an error condition, default
// amqp:link:detach-forced, and returns how many.
func (f *Faults) DetachLinks(entity, session, condition string) int {
	if condition == "" {
		condition = string(amqp.DetachForced)
	}
	n := 0
	for _, c := range f.s.amqpConns() {
		for _, l := range c.find(entity, session) {
			l.force(amqp.Errorf(amqp.Symbol(condition), "The link was detached on demand."))
			n++
		}
	}
	return n
}

// ExpireSession ends a session lock now; false when the session has no owner.
func (f *Faults) ExpireSession(entity, session string) bool {
	return f.s.broker.ExpireSession(entity, session)
}

// ExpireLocks ends every message and session lock of an entity now.
func (f *Faults) ExpireLocks(entity string) { f.s.broker.ExpireLocks(entity) }

// StallLinks stalls the connections that have a link on the entity, as CutLinks chooses them: bytes are neither read
// nor written until Unstall. It returns how many.
func (f *Faults) StallLinks(entity, session string) int {
	n := 0
	for _, c := range f.s.amqpConns() {
		if entity == "" || len(c.find(entity, session)) > 0 {
			c.stall(true)
			n++
		}
	}
	return n
}

// Unstall lets every stalled connection go on.
func (f *Faults) Unstall() {
	for _, c := range f.s.amqpConns() {
		c.stall(false)
	}
}

// RefuseConnections closes new connections at once, for d on the emulator's clock, or until AcceptConnections when d is
// 0.
func (f *Faults) RefuseConnections(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusing, f.until = true, time.Time{}
	if d > 0 {
		f.until = f.s.broker.Now().Add(d)
	}
}

// AcceptConnections ends RefuseConnections.
func (f *Faults) AcceptConnections() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusing = false
}

// refuses reports whether a new connection is to be closed.
func (f *Faults) refuses() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusing && !f.until.IsZero() && !f.s.broker.Now().Before(f.until) {
		f.refusing = false
	}
	return f.refusing
}

func (s *Server) amqpConns() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.links))
	for c := range s.links {
		out = append(out, c)
	}
	return out
}

// find returns the connection's links on an entity, or all of them when the address is empty; with a session, its owner
// only.
func (c *conn) find(address, session string) []forcible {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []forcible
	for _, s := range c.sessions {
		for _, l := range s.links {
			x, ok := l.(forcible)
			if !ok {
				continue
			}
			o, receiving := l.(*outLink)
			if (address == "" || strings.EqualFold(x.where(), address)) && (session == "" || receiving && o.id == session) {
				out = append(out, x)
			}
		}
	}
	return out
}

// forcible is a link on an entity.
type forcible interface {
	where() string
	force(*amqp.Error) // detaches it from our side; takes the broker's lock
}

func (l *outLink) where() string { return l.address }

func (l *outLink) force(err *amqp.Error) {
	l.s.c.mu.Lock()
	consumer := l.consumer
	l.s.c.mu.Unlock()
	if consumer != nil {
		consumer.End(err)
	}
}

func (l *inLink) where() string { return l.address }

func (l *inLink) force(err *amqp.Error) { l.producer.End(err) }

// stall stops or resumes reading and writing.
func (c *conn) stall(on bool) {
	c.mu.Lock()
	c.stalled = on
	c.drained.Broadcast()
	c.mu.Unlock()
	c.signal()
}

// cut writes what is queued and closes without a word. Nothing the client has sent is read any more.
func (c *conn) cut() {
	c.mu.Lock()
	c.flush = true
	c.drained.Broadcast()
	c.mu.Unlock()
	c.signal()
}

// act is one operation of a client with what a fault needs to know about it.
type act struct {
	op      Op
	address string
	session string
	link    forcible // may be nil
	expire  func()   // takes the lock away that the operation depends on; may be nil
	mute    func()   // makes run keep its answer to itself; may be nil
	run     func() *amqp.Error
	answer  func(*amqp.Error)
}

// perform runs an operation, through a fault if one strikes.
func (c *conn) perform(a act) {
	f := c.s.faults.strike(a.op, a.address, a.session)
	if f == nil {
		a.answer(a.run())
		return
	}
	c.s.log.Debug("fault strikes", "op", a.op, "entity", a.address, "session", a.session, "effect", f.Effect, "then",
		f.Then)
	switch f.Effect {
	case Refuse:
		a.answer(f.refusal())
	case Lose:
	case LoseReply:
		if a.mute != nil {
			a.mute()
		}
		_ = a.run() // the client does not hear how it ended
	case LoseLock:
		if a.expire != nil {
			a.expire()
		}
		a.answer(a.run())
	case Delay:
		c.s.later(f.Fault.Delay, func() {
			a.answer(a.run())
			c.then(f, a.link)
		})
		f.done()
		return
	case Pass:
		a.answer(a.run())
	}
	c.then(f, a.link)
	f.done()
}

// thenLater is then for callers that hold the broker's lock.
func (c *conn) thenLater(f *Armed, l forcible) {
	if f.Then == Detach {
		c.chore(func() { c.then(f, l) })
		return
	}
	c.then(f, l)
}

// chore leaves work that needs the broker's lock to the writer.
func (c *conn) chore(fn func()) {
	c.mu.Lock()
	c.chores = append(c.chores, fn)
	c.mu.Unlock()
	c.signal()
}

// then brings about a fault's consequence. No lock is held.
func (c *conn) then(f *Armed, l forcible) {
	switch f.Then {
	case Cut:
		c.cut()
	case CutAll:
		for _, x := range c.s.amqpConns() {
			x.cut()
		}
	case Detach:
		if l != nil {
			l.force(amqp.Errorf(amqp.DetachForced, "The link was detached on demand."))
		}
	case Stall:
		c.stall(true)
	}
}
