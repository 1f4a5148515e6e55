package broker

import (
	"fmt"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
)

// state is what a message is waiting for.
//
//	scheduled --due--> ready --deliver--> locked --complete--> gone
//	                     ^                  |  \--defer--> deferred --receive by number--> locked
//	                     +--abandon, expiry-+
//
// A deferred message whose lock ends becomes deferred again, never ready.
type state byte

const (
	ready state = iota
	locked
	deferred
	scheduled
	gone
)

// message is one message in one queue. Guarded by the broker's lock. The sections of body are immutable and shared by
// the copies of a topic.
type message struct {
	q    *queue
	sess *session // nil when the queue has no sessions
	body *amqp.Message

	seq         int64
	enqueuedSeq int64 // at the first entity, 0 unless forwarded or fanned out
	enqueued    time.Time
	due         time.Time     // scheduled enqueue time
	ttl         time.Duration // entity.Forever: none
	ownTTL      time.Duration // as the sender set it
	id          string        // text of the message ID
	session     string
	hasSession  bool
	notes       []byte // the sender's message annotations: encoded pairs
	noteCount   int    // their number
	given       []byte // the sender's delivery annotations: encoded pairs
	givenCount  int
	source      string // dead-letter source
	deliveries  uint32 // counted ones
	hops        int    // times auto-forwarded
	size        int

	state    state
	wasDefer bool // locked, and deferred before
	token    amqp.UUID
	until    time.Time
	owner    *Consumer

	prev, next *message
	list       *messageList
	lockEnd    deadline
	lifeEnd    deadline // end of life, or scheduled time
}

// Annotation names of Service Bus.
const (
	noteEnqueued     = "x-opt-enqueued-time"
	noteSequence     = "x-opt-sequence-number"
	noteFirst        = "x-opt-enqueue-sequence-number"
	noteLockedUntil  = "x-opt-locked-until"
	noteSource       = "x-opt-deadletter-source"
	noteState        = "x-opt-message-state"
	noteScheduled    = "x-opt-scheduled-enqueue-time"
	noteLockToken    = "x-opt-lock-token"
	notePartition    = "x-opt-partition-key"
	propReason       = "DeadLetterReason"
	propDescription  = "DeadLetterErrorDescription"
	reasonDeliveries = "MaxDeliveryCountExceeded"
	reasonExpired    = "TTLExpiredException"
	reasonHops       = "MaxTransferHopCountExceeded"
	reasonSession    = "SessionIdMissing"
	reasonRule       = "RuleEvaluationException"
	maxHops          = 4
)

// newMessage reads what the broker needs from an encoded message. The result aliases raw.
func (b *Broker) newMessage(raw []byte) (*message, error) {
	body, err := amqp.ParseMessage(raw)
	if err != nil {
		return nil, err
	}
	m := &message{body: body, ttl: entity.Forever, ownTTL: entity.Forever}
	p, err := amqp.ParseProperties(body.Properties)
	if err != nil {
		return nil, err
	}
	if p.MessageID == nil {
		// The service gives every message an ID; the JavaScript client cannot settle one without.
		p.MessageID = b.newUUID().String()
		body.Properties = p.Encode()
	}
	m.id = idText(p.MessageID)
	if p.GroupID != nil {
		m.session, m.hasSession = *p.GroupID, true
	}
	if body.Header.HasTTL && body.Header.TTL > 0 {
		m.ownTTL = body.Header.TTL
	}
	if err := m.readAnnotations(); err != nil {
		return nil, err
	}
	if body.ApplicationProperties != nil {
		if _, err := amqp.MapOf(body.ApplicationProperties); err != nil {
			return nil, err
		}
	}
	m.size = body.Size()
	return m, nil
}

func idText(id any) string {
	switch v := id.(type) {
	case string:
		return v
	case amqp.UUID:
		return v.String()
	case []byte:
		return fmt.Sprintf("%x", v)
	}
	return fmt.Sprint(id)
}

// readAnnotations takes what is ours out of the sender's annotations and keeps the rest encoded.
func (m *message) readAnnotations() error {
	notes, err := amqp.MapOf(m.body.MessageAnnotations)
	if err != nil {
		return err
	}
	for _, n := range notes {
		name, _ := amqp.Text(n.Key)
		switch name {
		case noteEnqueued, noteSequence, noteFirst, noteLockedUntil, noteSource, noteState:
			continue // the broker's own
		case noteScheduled:
			if t, ok := n.Value.(amqp.Timestamp); ok {
				m.due = t.Time()
			}
		}
		m.notes = amqp.AppendValue(amqp.AppendValue(m.notes, n.Key), n.Value)
		m.noteCount++
	}
	given, err := amqp.MapOf(m.body.DeliveryAnnotations)
	if err != nil {
		return err
	}
	for _, n := range given {
		if name, _ := amqp.Text(n.Key); name == noteLockToken {
			continue
		}
		m.given = amqp.AppendValue(amqp.AppendValue(m.given, n.Key), n.Value)
		m.givenCount++
	}
	return nil
}

// eachNote calls fn with the sender's message annotations, in order.
func (m *message) eachNote(fn func(key, value any)) {
	r := amqp.NewReader(m.notes)
	for range m.noteCount {
		// They were encoded here.
		key, _ := r.Value()
		value, _ := r.Value()
		fn(key, value)
	}
}

// note returns the text of an annotation.
func (m *message) note(name string) (text string, ok bool) {
	m.eachNote(func(key, value any) {
		if k, _ := amqp.Text(key); k == name {
			text, ok = amqp.Text(value)
		}
	})
	return text, ok
}

// setNote replaces an annotation; nil removes it.
func (m *message) setNote(name string, to any) {
	var notes []byte
	n := 0
	add := func(key, value any) {
		notes = amqp.AppendValue(amqp.AppendValue(notes, key), value)
		n++
	}
	m.eachNote(func(key, value any) {
		if k, _ := amqp.Text(key); k != name {
			add(key, value)
		}
	})
	if to != nil {
		add(amqp.Symbol(name), to)
	}
	m.notes, m.noteCount = notes, n
}

// copy returns a message of the same content, not yet in any queue.
func (m *message) copy() *message {
	return &message{
		body: m.body, due: m.due, ttl: entity.Forever, ownTTL: m.ownTTL, id: m.id, session: m.session,
		hasSession: m.hasSession, notes: m.notes, noteCount: m.noteCount, given: m.given, givenCount: m.givenCount,
		source: m.source, hops: m.hops, size: m.size, enqueuedSeq: m.enqueuedSeq,
	}
}

// expires returns when the message's life ends; zero means never.
func (m *message) expires() time.Time {
	if m.ttl == entity.Forever {
		return time.Time{}
	}
	return m.enqueued.Add(m.ttl)
}

// setProperties adds application properties to this copy only.
func (m *message) setProperties(add amqp.Map) error {
	if len(add) == 0 {
		return nil
	}
	props, err := amqp.MapOf(m.body.ApplicationProperties)
	if err != nil {
		return err
	}
next:
	for _, a := range add {
		name, ok := amqp.Text(a.Key)
		if !ok {
			continue
		}
		for i := range props {
			if key, _ := amqp.Text(props[i].Key); key == name {
				props[i].Value = a.Value
				continue next
			}
		}
		props = append(props, amqp.Pair{Key: name, Value: a.Value})
	}
	body := *m.body
	body.ApplicationProperties = amqp.AppendMap(nil, props)
	m.body = &body
	return nil
}

// form says which of the broker's annotations go with a message.
type form byte

const (
	asDelivery form = iota // lock token, locked-until
	asSettled              // neither: receive and delete
	asPeeked               // state
	asDeferred             // state, lock token, locked-until
)

// append appends the message as a client gets it.
func (m *message) append(b []byte, f form) []byte {
	h := m.body.Header
	if !m.body.HasHeader {
		h.Priority = 4
	}
	h.DeliveryCount = m.deliveries
	if m.ttl != entity.Forever {
		h.TTL, h.HasTTL = m.ttl, true
	}
	b = amqp.AppendHeader(b, &h)
	withLock := f == asDelivery || f == asDeferred
	n := m.givenCount
	if withLock {
		n++
	}
	if n > 0 {
		var at int
		b, at = amqp.OpenMapSection(b, amqp.SectionDeliveryAnnotations, n)
		b = append(b, m.given...)
		if withLock {
			b = amqp.AppendUUID(amqp.AppendSymbol(b, noteLockToken), m.token)
		}
		b = amqp.CloseMap(b, at)
	}
	n = m.noteCount + 2
	if withLock {
		n++
	}
	if m.enqueuedSeq != 0 {
		n++
	}
	if m.source != "" {
		n++
	}
	if f == asPeeked || f == asDeferred {
		n++
	}
	b, at := amqp.OpenMapSection(b, amqp.SectionMessageAnnotations, n)
	b = append(b, m.notes...)
	enqueued := m.enqueued
	if m.state == scheduled {
		enqueued = m.due
	}
	b = amqp.AppendTimestamp(amqp.AppendSymbol(b, noteEnqueued), amqp.TimestampOf(enqueued))
	b = amqp.AppendLong(amqp.AppendSymbol(b, noteSequence), m.seq)
	if withLock {
		b = amqp.AppendTimestamp(amqp.AppendSymbol(b, noteLockedUntil), amqp.TimestampOf(m.lockedUntil()))
	}
	if m.enqueuedSeq != 0 {
		b = amqp.AppendLong(amqp.AppendSymbol(b, noteFirst), m.enqueuedSeq)
	}
	if m.source != "" {
		b = amqp.AppendString(amqp.AppendSymbol(b, noteSource), m.source)
	}
	if f == asPeeked || f == asDeferred {
		b = amqp.AppendValue(amqp.AppendSymbol(b, noteState), m.wireState())
	}
	b = amqp.CloseMap(b, at)
	b = amqp.AppendSection(b, amqp.SectionProperties, m.body.Properties)
	b = amqp.AppendSection(b, amqp.SectionApplicationProperties, m.body.ApplicationProperties)
	return append(b, m.body.Body...)
}

// lockedUntil is the session's end of lock for a message of a session.
func (m *message) lockedUntil() time.Time {
	if m.sess != nil {
		return m.sess.until
	}
	return m.until
}

// wireState is 0 active, 1 deferred, 2 scheduled.
func (m *message) wireState() int32 {
	switch {
	case m.state == deferred, m.state == locked && m.wasDefer:
		return 1
	case m.state == scheduled:
		return 2
	}
	return 0
}
