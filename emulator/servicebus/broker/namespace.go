package broker

import (
	"fmt"
	"slices"
	"strings"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/rules"
)

func (b *Broker) addQueue(d entity.QueueDescription) {
	q := b.newQueue(d.Name, d.Name, d.Settings, d.Delivery, &meter{limit: int64(d.MaxSizeInMegabytes) << 20})
	q.storage = d.Storage
	b.queues[strings.ToLower(d.Name)] = q
	q.watch(q.created)
}

func (b *Broker) addTopic(d entity.TopicDescription) error {
	subs := d.Subscriptions
	d.Subscriptions = nil
	q := b.newQueue(d.Name, d.Name, d.Settings, entity.Delivery{}, &meter{limit: int64(d.MaxSizeInMegabytes) << 20})
	q.topic = &topic{desc: d, subs: map[string]*queue{}}
	q.storage = d.Storage
	b.queues[strings.ToLower(d.Name)] = q
	q.watch(q.created)
	for _, s := range subs {
		if err := b.addSubscription(q, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) addSubscription(t *queue, d entity.SubscriptionDescription) error {
	s := b.newQueue(entity.Path(t.path, d.Name), d.Name, d.Settings, d.Delivery, t.meter)
	s.of, s.onFilter = t, d.DeadLetteringOnFilterEvaluationExceptions
	for _, r := range d.Rules {
		if err := s.addRule(r); err != nil {
			return fmt.Errorf("rule %q of %s: %w", r.Name, s.path, err)
		}
	}
	t.topic.subs[entity.Key(d.Name)] = s
	b.queues[strings.ToLower(s.path)] = s
	s.watch(s.created)
	return nil
}

func (q *queue) addRule(d entity.RuleDescription) error {
	compiled, err := rules.Compile(d)
	if err != nil {
		return err
	}
	q.rules = append(q.rules, &rule{desc: d, compiled: compiled, created: q.b.clock.Now()})
	return nil
}

// drop deletes an entity with its messages and detaches its links.
func (b *Broker) drop(q *queue) {
	if q.deleted {
		return
	}
	q.deleted = true
	delete(b.queues, strings.ToLower(q.path))
	if q.of != nil {
		delete(q.of.topic.subs, entity.Key(q.name))
	}
	if q.topic != nil {
		for _, s := range q.topic.subs {
			b.drop(s)
		}
	}
	b.pending.clear(&q.idleEnd)
	err := amqp.Errorf(amqp.NotFound, "The messaging entity '%s' has been deleted.", q.path)
	for _, x := range []*queue{q, q.dlq, q.transfer} {
		x.deleted = true
		x.detachAll(err)
		for _, m := range slices.Clone(x.index.all) { // removing compacts the index
			if m.state != gone {
				x.remove(m)
			}
		}
		for _, s := range x.sessions {
			b.pending.clear(&s.end)
		}
	}
}

// detachAll ends every link of the entity.
func (q *queue) detachAll(err *amqp.Error) {
	for c := range q.consumers {
		c.end(err)
	}
	for p := range q.producers {
		p.end(err)
	}
}
