package broker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/atom"
	"fnobridge/emulator/servicebus/entity"
)

// Admin administers the broker's namespace; it is the atom.Manager.
type Admin struct {
	b *Broker
	// DetachOnUpdate makes an update detach the entity's links, as the service does.
	DetachOnUpdate bool
}

var _ atom.Manager = (*Admin)(nil)

// Admin returns the administration of the namespace.
func (b *Broker) Admin() *Admin { return &Admin{b: b} }

// Namespace implements atom.Manager.
func (a *Admin) Namespace() atom.Namespace {
	a.b.enter()
	defer a.b.unlock()
	return atom.Namespace{Name: a.b.namespace.Name, Created: a.b.created, Modified: a.b.created}
}

// path finds what kind of entity a name is.
func (b *Broker) named(name string, isTopic bool) (*queue, error) {
	q := b.queues[strings.ToLower(name)]
	if q == nil || q.of != nil || (q.topic != nil) != isTopic {
		return nil, fmt.Errorf("%q: %w", name, atom.ErrNotFound)
	}
	return q, nil
}

func (b *Broker) subscription(topic, name string) (*queue, error) {
	t, err := b.named(topic, true)
	if err != nil {
		return nil, err
	}
	s := t.topic.subs[entity.Key(name)]
	if s == nil {
		return nil, fmt.Errorf("%q of %q: %w", name, topic, atom.ErrNotFound)
	}
	return s, nil
}

func (q *queue) runtime() atom.Runtime {
	c := q.counts()
	return atom.Runtime{
		Created: q.created, Updated: q.updated, Accessed: q.accessed, SizeInBytes: c.Bytes,
		Active: int64(c.Active + c.Deferred), DeadLetter: int64(c.DeadLetter), Scheduled: int64(c.Scheduled),
		TransferDeadLetter: int64(c.TransferDeadLetter),
	}
}

func (q *queue) asQueue() atom.Queue {
	d := entity.QueueDescription{Name: q.name, Settings: q.settings, Storage: q.storage, Delivery: q.delivery}
	return atom.Queue{QueueDescription: d.Clone(), Runtime: q.runtime()}
}

func (q *queue) asTopic() atom.Topic {
	d := q.topic.desc
	d.Settings, d.Storage = q.settings, q.storage
	t := atom.Topic{TopicDescription: d.Clone(), Runtime: q.runtime(), SubscriptionCount: len(q.topic.subs)}
	for _, s := range q.topic.subs {
		for _, r := range s.rules {
			if _, ok := r.desc.Filter.(entity.CorrelationFilter); ok {
				t.CorrelationFilters++
			} else {
				t.SQLFilters++
			}
		}
	}
	return t
}

func (q *queue) asSubscription() atom.Subscription {
	return atom.Subscription{
		SubscriptionDescription: entity.SubscriptionDescription{
			Name: q.name, Settings: q.settings, Delivery: q.delivery, DeadLetteringOnFilterEvaluationExceptions: q.onFilter,
		},
		Runtime: q.runtime(),
	}
}

// Queues implements atom.Manager.
func (a *Admin) Queues() []atom.Queue {
	a.b.enter()
	defer a.b.unlock()
	var out []atom.Queue
	for _, q := range a.b.queues {
		if q.topic == nil && q.of == nil {
			out = append(out, q.asQueue())
		}
	}
	slices.SortFunc(out, func(x, y atom.Queue) int { return strings.Compare(entity.Key(x.Name), entity.Key(y.Name)) })
	return out
}

// Queue implements atom.Manager.
func (a *Admin) Queue(name string) (atom.Queue, error) {
	a.b.enter()
	defer a.b.unlock()
	q, err := a.b.named(name, false)
	if err != nil {
		return atom.Queue{}, err
	}
	return q.asQueue(), nil
}

// free reports an error unless the name is not taken and targets exist.
func (b *Broker) free(name string, targets ...string) error {
	if b.queues[strings.ToLower(name)] != nil {
		return fmt.Errorf("%q: %w", name, atom.ErrExists)
	}
	return b.reachable(targets...)
}

func (b *Broker) reachable(targets ...string) error {
	for _, t := range targets {
		if t == "" {
			continue
		}
		if q := b.queues[strings.ToLower(t)]; q == nil || q.of != nil {
			return fmt.Errorf("%w: there is no queue or topic %q to forward to", atom.ErrInvalid, t)
		}
	}
	return nil
}

// CreateQueue implements atom.Manager.
func (a *Admin) CreateQueue(d entity.QueueDescription) error {
	a.b.enter()
	defer a.b.leave()
	if err := a.b.free(d.Name, d.ForwardTo, d.ForwardDeadLetteredMessagesTo); err != nil {
		return err
	}
	a.b.addQueue(d)
	return nil
}

// UpdateQueue implements atom.Manager.
func (a *Admin) UpdateQueue(d entity.QueueDescription) error {
	now := a.b.enter()
	defer a.b.leave()
	q, err := a.b.named(d.Name, false)
	if err == nil {
		err = a.b.reachable(d.ForwardTo, d.ForwardDeadLetteredMessagesTo)
	}
	if err != nil {
		return err
	}
	q.storage, q.meter.limit = d.Storage, int64(d.MaxSizeInMegabytes)<<20
	a.update(q, d.Settings, d.Delivery, now)
	return nil
}

// update replaces what queues and subscriptions have in common.
func (a *Admin) update(q *queue, s entity.Settings, d entity.Delivery, now time.Time) {
	was := q.settings.Status
	d.RequiresSession = q.delivery.RequiresSession // fixed when the entity is made
	q.settings, q.delivery, q.updated = s, d, now
	for _, x := range []*queue{q.dlq, q.transfer} {
		x.delivery.LockDuration, x.delivery.MaxDeliveryCount = d.LockDuration, d.MaxDeliveryCount
	}
	q.watch(now)
	a.updated(q, was)
}

// updated detaches the links that the update ends: all of them, or those that its new status no longer allows.
func (a *Admin) updated(q *queue, was entity.Status) {
	if a.DetachOnUpdate {
		q.detachAll(amqp.Errorf(amqp.DetachForced, "The link '%s' is force detached because the entity was updated.", q.path))
		return
	}
	if q.settings.Status == was {
		return
	}
	if !q.settings.Status.Receives() {
		for c := range q.consumers {
			c.end(disabled(q))
		}
	}
	if !q.settings.Status.Sends() {
		for p := range q.producers {
			p.end(disabled(q))
		}
	}
}

// Topics implements atom.Manager.
func (a *Admin) Topics() []atom.Topic {
	a.b.enter()
	defer a.b.unlock()
	var out []atom.Topic
	for _, q := range a.b.queues {
		if q.topic != nil {
			out = append(out, q.asTopic())
		}
	}
	slices.SortFunc(out, func(x, y atom.Topic) int { return strings.Compare(entity.Key(x.Name), entity.Key(y.Name)) })
	return out
}

// Topic implements atom.Manager.
func (a *Admin) Topic(name string) (atom.Topic, error) {
	a.b.enter()
	defer a.b.unlock()
	q, err := a.b.named(name, true)
	if err != nil {
		return atom.Topic{}, err
	}
	return q.asTopic(), nil
}

// CreateTopic implements atom.Manager.
func (a *Admin) CreateTopic(d entity.TopicDescription) error {
	a.b.enter()
	defer a.b.leave()
	if err := a.b.free(d.Name); err != nil {
		return err
	}
	return a.b.addTopic(d)
}

// UpdateTopic implements atom.Manager.
func (a *Admin) UpdateTopic(d entity.TopicDescription) error {
	now := a.b.enter()
	defer a.b.leave()
	q, err := a.b.named(d.Name, true)
	if err != nil {
		return err
	}
	d.Subscriptions = nil
	q.topic.desc, q.storage, q.meter.limit = d, d.Storage, int64(d.MaxSizeInMegabytes)<<20
	a.update(q, d.Settings, entity.Delivery{}, now)
	return nil
}

// Delete implements atom.Manager.
func (a *Admin) Delete(name string) error {
	a.b.enter()
	defer a.b.leave()
	q := a.b.queues[strings.ToLower(name)]
	if q == nil || q.of != nil {
		return fmt.Errorf("%q: %w", name, atom.ErrNotFound)
	}
	a.b.drop(q)
	return nil
}

// Subscriptions implements atom.Manager.
func (a *Admin) Subscriptions(topic string) ([]atom.Subscription, error) {
	a.b.enter()
	defer a.b.unlock()
	t, err := a.b.named(topic, true)
	if err != nil {
		return nil, err
	}
	var out []atom.Subscription
	for _, s := range t.topic.subs {
		out = append(out, s.asSubscription())
	}
	slices.SortFunc(out, func(x, y atom.Subscription) int {
		return strings.Compare(entity.Key(x.Name), entity.Key(y.Name))
	})
	return out, nil
}

// Subscription implements atom.Manager.
func (a *Admin) Subscription(topic, name string) (atom.Subscription, error) {
	a.b.enter()
	defer a.b.unlock()
	s, err := a.b.subscription(topic, name)
	if err != nil {
		return atom.Subscription{}, err
	}
	return s.asSubscription(), nil
}

// CreateSubscription implements atom.Manager.
func (a *Admin) CreateSubscription(topic string, d entity.SubscriptionDescription) error {
	a.b.enter()
	defer a.b.leave()
	t, err := a.b.named(topic, true)
	if err != nil {
		return err
	}
	if t.topic.subs[entity.Key(d.Name)] != nil {
		return fmt.Errorf("%q of %q: %w", d.Name, topic, atom.ErrExists)
	}
	if err := a.b.reachable(d.ForwardTo, d.ForwardDeadLetteredMessagesTo); err != nil {
		return err
	}
	return invalid(a.b.addSubscription(t, d))
}

// invalid marks an error of a rule as the client's.
func invalid(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", atom.ErrInvalid, err)
}

// UpdateSubscription implements atom.Manager.
func (a *Admin) UpdateSubscription(topic string, d entity.SubscriptionDescription) error {
	now := a.b.enter()
	defer a.b.leave()
	s, err := a.b.subscription(topic, d.Name)
	if err == nil {
		err = a.b.reachable(d.ForwardTo, d.ForwardDeadLetteredMessagesTo)
	}
	if err != nil {
		return err
	}
	s.onFilter = d.DeadLetteringOnFilterEvaluationExceptions
	a.update(s, d.Settings, d.Delivery, now)
	return nil
}

// DeleteSubscription implements atom.Manager.
func (a *Admin) DeleteSubscription(topic, name string) error {
	a.b.enter()
	defer a.b.leave()
	s, err := a.b.subscription(topic, name)
	if err != nil {
		return err
	}
	a.b.drop(s)
	return nil
}
