package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// MessageInfo is what Messages tells about a message.
type MessageInfo struct {
	Sequence      int64
	MessageID     string
	SessionID     string
	State         string // active, locked, deferred or scheduled
	DeliveryCount int    // counted deliveries
	Enqueued      time.Time
	ScheduledFor  time.Time      // zero unless scheduled
	LockedUntil   time.Time      // zero unless locked
	Properties    map[string]any // application properties; AMQP types
	Body          []byte         // all data sections, joined
	Subject       string
	ContentType   string
	CorrelationID string

	DeadLetterReason, DeadLetterDescription, DeadLetterSource string
}

// Counts are the messages of an entity by state; Active includes locked ones.
type Counts struct {
	Active, Deferred, Scheduled, DeadLetter, TransferDeadLetter int
	// Bytes are those of the whole entity, subscriptions of a topic included.
	Bytes int64
}

// SessionInfo is what Sessions tells about a session.
type SessionInfo struct {
	ID          string
	State       []byte // nil when none is set
	Messages    int    // in any state
	Owned       bool   // by a receiver
	LockedUntil time.Time
}

// Messages returns the messages of an address (sub-queues included) in order of sequence numbers; nil when there is no
// such entity.
func (b *Broker) Messages(address string) []MessageInfo {
	b.enter()
	defer b.unlock()
	q := b.find(address)
	if q == nil {
		return nil
	}
	out := make([]MessageInfo, 0, q.index.len())
	for _, m := range q.index.all {
		if m.state != gone {
			out = append(out, m.info())
		}
	}
	return out
}

func (m *message) info() MessageInfo {
	i := MessageInfo{
		Sequence: m.seq, MessageID: m.id, SessionID: m.session,
		State:         [...]string{"active", "locked", "deferred", "scheduled"}[m.state],
		DeliveryCount: int(m.deliveries), Enqueued: m.enqueued, DeadLetterSource: m.source, Properties: map[string]any{},
	}
	switch m.state {
	case scheduled:
		i.ScheduledFor = m.due
	case locked:
		i.LockedUntil = m.lockedUntil()
	}
	// Everything below parsed when the message came in.
	if p, err := amqp.ParseProperties(m.body.Properties); err == nil {
		i.Subject, i.ContentType = deref(p.Subject), deref(p.ContentType)
		if p.CorrelationID != nil {
			i.CorrelationID = idText(p.CorrelationID)
		}
	}
	if props, err := amqp.MapOf(m.body.ApplicationProperties); err == nil {
		for _, p := range props {
			if name, ok := amqp.Text(p.Key); ok {
				i.Properties[name] = p.Value
			}
		}
	}
	i.DeadLetterReason, _ = i.Properties[propReason].(string)
	i.DeadLetterDescription, _ = i.Properties[propDescription].(string)
	if datas, err := m.body.Datas(); err == nil {
		i.Body = slices.Concat(datas...)
	}
	return i
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// CountsOf returns the counts of an address; ok is false when there is no such entity.
func (b *Broker) CountsOf(address string) (c Counts, ok bool) {
	b.enter()
	defer b.unlock()
	q := b.find(address)
	if q == nil {
		return Counts{}, false
	}
	return q.counts(), true
}

func (q *queue) counts() Counts {
	c := Counts{Bytes: q.meter.used}
	for _, m := range q.index.all {
		switch {
		case m.state == gone:
		case m.state == scheduled:
			c.Scheduled++
		case m.wireState() == 1:
			c.Deferred++
		default:
			c.Active++
		}
	}
	if q.dlq != nil {
		c.DeadLetter, c.TransferDeadLetter = q.dlq.index.len(), q.transfer.index.len()
	}
	return c
}

// SessionsOf returns the sessions of an address by ID.
func (b *Broker) SessionsOf(address string) []SessionInfo {
	b.enter()
	defer b.unlock()
	q := b.find(address)
	if q == nil {
		return nil
	}
	out := make([]SessionInfo, 0, len(q.sessions))
	for id, s := range q.sessions {
		i := SessionInfo{ID: id, State: slices.Clone(s.state), Messages: s.messages, Owned: s.owner != nil}
		if i.Owned {
			i.LockedUntil = s.until
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b SessionInfo) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Accepting returns how many accepts of the next session wait on an address.
func (b *Broker) Accepting(address string) int {
	b.enter()
	defer b.unlock()
	if q := b.find(address); q != nil {
		return q.waiters.n
	}
	return 0
}

// Entities returns the addresses of all queues, topics and subscriptions.
func (b *Broker) Entities() []string {
	b.enter()
	defer b.unlock()
	var out []string
	for _, q := range b.queues {
		out = append(out, q.path)
	}
	slices.Sort(out)
	return out
}

// Await returns once check is true, looking again whenever something happened in the broker; check may use the broker.
// It returns the cause of ctx otherwise.
func (b *Broker) Await(ctx context.Context, check func() bool) error {
	for {
		b.mu.Lock()
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		if check() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Notify makes Await look again, for conditions that lie outside the broker.
func (b *Broker) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notify()
}

// ExpireSession ends a session lock as if its time had come; false when the session has no owner.
func (b *Broker) ExpireSession(address, id string) bool {
	b.enter()
	defer b.leave()
	q := b.find(address)
	if q == nil || q.sessions[id] == nil || q.sessions[id].owner == nil {
		return false
	}
	q.sessions[id].expired()
	return true
}

// ExpireLock ends the lock of a message by its token; false when there is none. The lock of a session's message is its
// session's.
func (b *Broker) ExpireLock(address string, token amqp.UUID) bool {
	now := b.enter()
	defer b.leave()
	q := b.find(address)
	if q == nil || q.locks[token] == nil {
		return false
	}
	if m := q.locks[token]; m.sess != nil {
		m.sess.expired()
	} else {
		q.giveBack(m, true, now)
	}
	return true
}

// ExpireLocks ends every message and session lock of an address.
func (b *Broker) ExpireLocks(address string) {
	now := b.enter()
	defer b.leave()
	q := b.find(address)
	if q == nil {
		return
	}
	for _, s := range q.sessions {
		if s.owner != nil {
			s.expired()
		}
	}
	for _, m := range q.locks {
		q.giveBack(m, true, now)
	}
}

// End closes the consumer on the broker's behalf and tells its sink.
func (c *Consumer) End(err *amqp.Error) {
	c.b.enter()
	defer c.b.leave()
	c.end(err)
}

// End closes the producer on the broker's behalf and tells its sink.
func (p *Producer) End(err *amqp.Error) {
	p.b.enter()
	defer p.b.leave()
	p.end(err)
}
