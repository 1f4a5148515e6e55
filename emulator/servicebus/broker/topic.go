package broker

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/rules"
)

// topic is what makes a queue a topic.
type topic struct {
	desc entity.TopicDescription // without subscriptions
	subs map[string]*queue       // by entity.Key
}

// rule is a rule of a subscription.
type rule struct {
	desc     entity.RuleDescription
	compiled *rules.Rule
	created  time.Time
}

// trivial reports a rule that takes everything as it is.
func (r *rule) trivial() bool {
	switch r.desc.Filter.(type) {
	case nil, entity.TrueFilter:
		return r.desc.Action == nil
	}
	return false
}

// fanOut gives every subscription its copies.
func (q *queue) fanOut(m *message, now time.Time) {
	m.seq, m.enqueued = q.nextNumber(), now
	if m.enqueuedSeq == 0 {
		m.enqueuedSeq = m.seq
	}
	m.ownTTL = min(m.ownTTL, q.settings.DefaultMessageTimeToLive)
	var view *rules.Message // made when the first rule has to look
	for _, s := range q.topic.subs {
		if !s.settings.Status.Sends() || len(s.rules) == 0 {
			continue
		}
		if len(s.rules) == 1 && s.rules[0].trivial() {
			s.enqueue(m.copy(), now)
			continue
		}
		if view == nil {
			view = m.view()
		}
		s.subscribe(m, view, now)
	}
}

// subscribe evaluates the rules of a subscription.
func (q *queue) subscribe(m *message, view *rules.Message, now time.Time) {
	compiled := make([]*rules.Rule, 0, len(q.rules))
	for _, r := range q.rules {
		compiled = append(compiled, r.compiled)
	}
	copies, err := rules.Copies(compiled, view)
	for _, c := range copies {
		next := m.copy()
		if c != view {
			next.take(c)
		}
		if next.due.After(now) { // an action has scheduled it
			q.schedule(next, now)
			continue
		}
		q.enqueue(next, now)
	}
	if err != nil && q.onFilter {
		next := m.copy()
		next.seq, next.enqueued = q.nextNumber(), now
		q.store(next)
		// Properties that were read for the rules can be read again.
		_ = q.deadLetter(next, reasonRule, err.Error(), nil, now)
	}
}

// view is what rules see of a message.
func (m *message) view() *rules.Message {
	v := &rules.Message{EnqueuedTime: m.enqueued, ScheduledEnqueueTime: m.due, SequenceNumber: m.seq,
		EnqueuedSequenceNumber: m.enqueuedSeq, Size: int64(m.size)}
	if m.ownTTL != entity.Forever {
		v.TimeToLive = m.ownTTL
	}
	// Both sections were read when the message came in.
	v.Properties, _ = amqp.ParseProperties(m.body.Properties)
	v.Application, _ = amqp.MapOf(m.body.ApplicationProperties)
	if key, ok := m.note(notePartition); ok {
		v.PartitionKey = &key
	}
	return v
}

// take makes m what an action has made of its view.
func (m *message) take(v *rules.Message) {
	body := *m.body
	if v.Properties.MessageID == nil {
		v.Properties.MessageID = m.id
	}
	body.Properties = v.Properties.Encode()
	body.ApplicationProperties = nil
	if len(v.Application) > 0 {
		body.ApplicationProperties = amqp.AppendMap(nil, v.Application)
	}
	m.body, m.id = &body, idText(v.Properties.MessageID)
	m.session, m.hasSession = "", false
	if v.Properties.GroupID != nil {
		m.session, m.hasSession = *v.Properties.GroupID, true
	}
	m.ownTTL = entity.Forever
	if v.TimeToLive > 0 {
		m.ownTTL = v.TimeToLive
	}
	m.due, m.size = v.ScheduledEnqueueTime, body.Size()
	old, had := m.note(notePartition)
	switch {
	case v.PartitionKey == nil && had:
		m.setNote(notePartition, nil)
	case v.PartitionKey != nil && (!had || old != *v.PartitionKey):
		m.setNote(notePartition, *v.PartitionKey)
	}
}
