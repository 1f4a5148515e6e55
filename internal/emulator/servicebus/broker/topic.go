package broker

import (
	"time"

	"fnobridge/internal/emulator/servicebus/entity"
)

// topic is what makes a queue a topic.
type topic struct {
	desc entity.TopicDescription // without subscriptions
	subs map[string]*queue       // by entity.Key
}

// rule is a compiled rule of a subscription.
type rule struct {
	desc    entity.RuleDescription
	created time.Time
}

// fanOut gives every subscription its copies: one per matching rule with an
// action, and one for all matching rules without.
func (q *queue) fanOut(m *message, now time.Time) {
	m.seq = q.nextNumber()
	if m.enqueuedSeq == 0 {
		m.enqueuedSeq = m.seq
	}
	m.ownTTL = min(m.ownTTL, q.settings.DefaultMessageTimeToLive)
	for _, s := range q.topic.subs {
		s.subscribe(m, now)
	}
}

func (s *queue) subscribe(m *message, now time.Time) {
	if !s.settings.Status.Sends() {
		return
	}
	plain := false
	for _, r := range s.rules {
		if r.matches(m) {
			plain = true
		}
	}
	if plain {
		s.enqueue(m.copy(), now)
	}
}

func (r *rule) matches(*message) bool {
	_, never := r.desc.Filter.(entity.FalseFilter)
	return !never
}
