package bustest

import "fnobridge/internal/bus"

// A test of a worker wants to know whether a process may act for a session: because it has its lock, or because the lock
// was taken from it in a way that nobody could know of yet. What stands here answers that.

type sessionKey struct{ address, id string }

// own notes who was granted a session. The broker calls it under its lock.
func (b *Broker) own(l *link, session string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owners[sessionKey{l.address, session}] = l
}

// owner returns the link that has a session locked; nil when nobody has.
func (b *Broker) owner(src bus.Source, id string) *link {
	b.Accepting(Address(src)) // brings the broker up to date: a lock that has run out is gone
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.owners[sessionKey{Address(src), id}]
	if l == nil || !l.attached() {
		return nil
	}
	return l
}

// Steal takes the lock of a session away, as a broker that moves a partition does: until the owner closes the session,
// it may not know. It reports whether there was an owner.
func (b *Broker) Steal(src bus.Source, id string) bool {
	l := b.owner(src, id)
	if l == nil {
		return false
	}
	l.client.rob(l, id)
	return b.ExpireSession(Address(src), id)
}

// StealAll takes every lock of a process away.
func (c *Client) StealAll(src bus.Source) {
	for _, s := range c.b.SessionsOf(Address(src)) {
		if c.Owns(src, s.ID) {
			c.b.Steal(src, s.ID)
		}
	}
}

// Owner returns the process that has a session locked; nil when none has.
func (b *Broker) Owner(src bus.Source, id string) *Client {
	if l := b.owner(src, id); l != nil {
		return l.client
	}
	return nil
}

// Owns reports whether the process has a session locked.
func (c *Client) Owns(src bus.Source, id string) bool { return c.b.Owner(src, id) == c }

// Robbed reports whether the lock of a session was stolen from the process, which has not given the session up yet.
func (c *Client) Robbed(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stolen := range c.robbed {
		if stolen == id {
			return true
		}
	}
	return false
}

func (c *Client) rob(l *link, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.robbed[l] = id
}
