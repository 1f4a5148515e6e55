package broker

import (
	"errors"
	"slices"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/atom"
	"fnobridge/emulator/servicebus/entity"
)

// Manager is the management node of one entity: what a client asks for by request and response.
type Manager struct {
	b *Broker
	q *queue
}

// OpenManager returns the management node of an address, with or without /$management behind it.
func (b *Broker) OpenManager(address string) (*Manager, *amqp.Error) {
	b.enter()
	defer b.leave()
	address = trimManagement(address)
	q := b.find(address)
	if q == nil {
		return nil, notFound(address)
	}
	return &Manager{b, q}, nil
}

func (m *Manager) enter() (time.Time, *amqp.Error) {
	now := m.b.enter()
	if m.q.deleted {
		return now, notFound(m.q.path)
	}
	m.q.touch(now)
	return now, nil
}

// maxPeekBytes bounds one answer to a peek.
const maxPeekBytes = 1 << 20

// Peek returns up to count encoded messages whose number is at least from, of one session or of all.
func (m *Manager) Peek(from int64, count int, session *string) ([][]byte, *amqp.Error) {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	var out [][]byte
	total := 0
	x := &m.q.index
	for _, msg := range x.all[x.from(from):] {
		if len(out) >= count || total > maxPeekBytes {
			break
		}
		if msg.state == gone || session != nil && (!msg.hasSession || msg.session != *session) {
			continue
		}
		raw := msg.append(nil, asPeeked)
		total += len(raw)
		out = append(out, raw)
	}
	return out, nil
}

// RenewLocks extends message locks and returns when each ends.
func (m *Manager) RenewLocks(tokens []amqp.UUID) ([]time.Time, *amqp.Error) {
	now, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	var out []time.Time
	for _, t := range tokens {
		msg := m.q.locks[t]
		if msg == nil {
			return nil, lockLost()
		}
		if msg.sess == nil {
			msg.until = now.Add(m.q.delivery.LockDuration)
			m.b.pending.set(&msg.lockEnd, msg.until)
		}
		out = append(out, msg.lockedUntil())
	}
	return out, nil
}

// Owner says who asks about a session: it must own it. A nil Owner owns nothing.
type Owner func(*Consumer) bool

func (m *Manager) owned(id string, owner Owner) (*session, *amqp.Error) {
	if m.q.sessions == nil {
		return nil, amqp.Errorf(amqp.NotAllowed, "The entity '%s' does not support sessions.", m.q.path)
	}
	s := m.q.sessions[id]
	if s == nil || s.owner == nil || !owner(s.owner) {
		return nil, amqp.Errorf(amqp.SessionLockLost,
			"The session lock has expired on the MessageSession. Accept a new MessageSession.")
	}
	return s, nil
}

// RenewSession extends a session lock.
func (m *Manager) RenewSession(id string, owner Owner) (time.Time, *amqp.Error) {
	now, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return time.Time{}, err
	}
	s, err := m.owned(id, owner)
	if err != nil {
		return time.Time{}, err
	}
	s.until = now.Add(m.q.delivery.LockDuration)
	m.b.pending.set(&s.end, s.until)
	return s.until, nil
}

// SessionState returns the state of a session, nil when it has none.
func (m *Manager) SessionState(id string, owner Owner) ([]byte, *amqp.Error) {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	s, err := m.owned(id, owner)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.state), nil
}

// SetSessionState replaces the state; empty clears it.
func (m *Manager) SetSessionState(id string, state []byte, owner Owner) *amqp.Error {
	now, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return err
	}
	s, err := m.owned(id, owner)
	if err != nil {
		return err
	}
	if limit := m.q.maxState(); uint64(len(state)) > limit {
		return amqp.Errorf(amqp.MessageSizeExceeded, "The session state (%d bytes) exceeds the limit of %d bytes.",
			len(state), limit)
	}
	s.changed = now
	s.state = nil
	if len(state) > 0 {
		s.state = slices.Clone(state)
	}
	return nil
}

// maxState is the largest session state: as large as a message may be.
// Source: Microsoft Learn, message-sessions.
func (q *queue) maxState() uint64 {
	if q.of != nil {
		return q.of.maxMessageSize()
	}
	return q.maxMessageSize()
}

// Sessions lists sessions that have messages or state; with changedSince, those whose state was set after it.
func (m *Manager) Sessions(changedSince *time.Time, skip, top int) ([]string, *amqp.Error) {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	if m.q.sessions == nil {
		return nil, amqp.Errorf(amqp.NotAllowed, "The entity '%s' does not support sessions.", m.q.path)
	}
	var ids []string
	for id, s := range m.q.sessions {
		switch {
		case changedSince != nil && (s.state == nil || !s.changed.After(*changedSince)):
		case s.messages == 0 && s.state == nil:
		default:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = ids[min(max(skip, 0), len(ids)):]
	return ids[:min(max(top, 0), len(ids))], nil
}

// Schedule enqueues messages for their scheduled time and returns their numbers, by which they can be cancelled.
func (m *Manager) Schedule(raw [][]byte) ([]int64, *amqp.Error) {
	now, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	if m.q.main != nil || m.q.of != nil {
		return nil, amqp.Errorf(amqp.NotAllowed, "Cannot send to '%s'.", m.q.path)
	}
	ms := make([]*message, 0, len(raw))
	for _, r := range raw {
		msg, err := m.b.newMessage(r)
		if err != nil {
			return nil, amqp.Errorf(amqp.DecodeError, "%v", err)
		}
		ms = append(ms, msg)
	}
	if err := m.q.publish(ms, now); err != nil {
		return nil, err
	}
	var out []int64
	for _, msg := range ms {
		out = append(out, msg.seq)
	}
	return out, nil
}

// Cancel deletes scheduled messages.
func (m *Manager) Cancel(numbers []int64) *amqp.Error {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return err
	}
	var found []*message
	for _, n := range numbers {
		msg := m.q.index.get(n)
		if msg == nil || msg.state != scheduled {
			return amqp.Errorf(amqp.MessageNotFound, "The scheduled message with sequence number %d could not be found.", n)
		}
		found = append(found, msg)
	}
	for _, msg := range found {
		if msg.state != gone { // a number may come twice
			m.q.remove(msg)
		}
	}
	return nil
}

// Received is a deferred message handed out by number.
type Received struct {
	Raw   []byte
	Token amqp.UUID
}

// ReceiveDeferred locks, or with settled deletes, deferred messages.
func (m *Manager) ReceiveDeferred(numbers []int64, settled bool, session *string,
	owner Owner) ([]Received, *amqp.Error) {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	if session != nil {
		if _, err := m.owned(*session, owner); err != nil {
			return nil, err
		}
	}
	var found []*message
	for _, n := range numbers {
		msg := m.q.index.get(n)
		switch {
		case msg == nil || msg.state != deferred || session != nil && msg.session != *session:
			return nil, amqp.Errorf(amqp.MessageNotFound,
				"Failed to lock one or more specified messages: the message with sequence number %d does not exist or is not "+
					"deferred.", n)
		case msg.sess != nil && (msg.sess.owner == nil || !owner(msg.sess.owner)):
			return nil, amqp.Errorf(amqp.SessionLockLost,
				"The session lock has expired on the MessageSession. Accept a new MessageSession.")
		}
		found = append(found, msg)
	}
	var out []Received
	for _, msg := range found {
		if msg.state != deferred {
			continue // a number may come twice
		}
		if settled {
			out = append(out, Received{Raw: msg.append(nil, asPeeked)})
			m.q.remove(msg)
			continue
		}
		m.q.lock(msg, nil)
		out = append(out, Received{Raw: msg.append(nil, asDeferred), Token: msg.token})
	}
	return out, nil
}

// Settle settles locked messages by token; all or none.
func (m *Manager) Settle(tokens []amqp.UUID, o Outcome) *amqp.Error {
	now, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if m.q.locks[t] == nil {
			return lockLost()
		}
	}
	for _, t := range tokens {
		if err := m.q.settle(t, o, now); err != nil {
			return err
		}
	}
	return nil
}

// Rules returns the rules of a subscription, by name.
func (m *Manager) Rules() ([]atom.Rule, *amqp.Error) {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return nil, err
	}
	if m.q.of == nil {
		return nil, noRules(m.q)
	}
	return m.q.ruleList(), nil
}

func noRules(q *queue) *amqp.Error {
	return amqp.Errorf(amqp.NotAllowed, "The entity '%s' is not a subscription: it has no rules.", q.path)
}

// AddRule adds a rule to a subscription.
func (m *Manager) AddRule(d entity.RuleDescription) *amqp.Error {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return err
	}
	if m.q.of == nil {
		return noRules(m.q)
	}
	return m.ruleError(d.Name, m.q.createRule(d))
}

// RemoveRule removes a rule from a subscription.
func (m *Manager) RemoveRule(name string) *amqp.Error {
	_, err := m.enter()
	defer m.b.leave()
	if err != nil {
		return err
	}
	return m.ruleError(name, m.q.deleteRule(name))
}

// ruleError words what happened to a rule; the JavaScript client knows what is not there by the text.
func (m *Manager) ruleError(name string, err error) *amqp.Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, atom.ErrExists):
		return amqp.Errorf(amqp.EntityAlreadyExists, "The messaging entity '%s/Rules/%s' already exists.", m.q.path, name)
	case errors.Is(err, atom.ErrNotFound):
		return amqp.Errorf(amqp.NotFound, "The messaging entity '%s/Rules/%s' could not be found.", m.q.path, name)
	}
	return amqp.Errorf(amqp.InvalidField, "%v", err)
}
