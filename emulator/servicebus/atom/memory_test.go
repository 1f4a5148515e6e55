package atom

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

var created = time.Date(2026, 11, 21, 12, 0, 0, 123456700, time.UTC)

// memory is a Manager that only remembers.
type memory struct {
	mu     sync.Mutex
	queues map[string]*Queue
	topics map[string]*memoryTopic
}

type memoryTopic struct {
	topic Topic
	subs  map[string]*memorySubscription
}

type memorySubscription struct {
	sub   Subscription
	rules map[string]*Rule
}

func newMemory() *memory {
	return &memory{queues: map[string]*Queue{}, topics: map[string]*memoryTopic{}}
}

func (*memory) Namespace() Namespace {
	return Namespace{Name: "memory", Created: created, Modified: created}
}

func sorted[T any](m map[string]*T) []T {
	var out []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[k])
	}
	return out
}

func get[T any](m map[string]*T, name string) (*T, error) {
	if v := m[entity.Key(name)]; v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
}

func value[T any](v *T, err error) (T, error) {
	if err != nil {
		return *new(T), err
	}
	return *v, nil
}

func (m *memory) taken(name string) error {
	_, a := m.queues[entity.Key(name)]
	_, b := m.topics[entity.Key(name)]
	if a || b {
		return fmt.Errorf("%q: %w", name, ErrExists)
	}
	return nil
}

func (m *memory) Queues() []Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.queues)
}

func (m *memory) Queue(name string) (Queue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return value(get(m.queues, name))
}

func (m *memory) CreateQueue(d entity.QueueDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.taken(d.Name); err != nil {
		return err
	}
	m.queues[entity.Key(d.Name)] = &Queue{d, Runtime{Created: created, Updated: created}}
	return nil
}

func (m *memory) UpdateQueue(d entity.QueueDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	q, err := get(m.queues, d.Name)
	if err == nil {
		q.QueueDescription = d
	}
	return err
}

func (m *memory) Topics() []Topic {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Topic
	for _, t := range sorted(m.topics) {
		out = append(out, t.counted())
	}
	return out
}

func (t memoryTopic) counted() Topic {
	t.topic.SubscriptionCount = len(t.subs)
	for _, s := range t.subs {
		for _, r := range s.rules {
			if _, ok := r.Filter.(entity.CorrelationFilter); ok {
				t.topic.CorrelationFilters++
			} else {
				t.topic.SQLFilters++
			}
		}
	}
	return t.topic
}

func (m *memory) Topic(name string) (Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := get(m.topics, name)
	if err != nil {
		return Topic{}, err
	}
	return t.counted(), nil
}

func (m *memory) CreateTopic(d entity.TopicDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.taken(d.Name); err != nil {
		return err
	}
	m.topics[entity.Key(d.Name)] = &memoryTopic{Topic{TopicDescription: d,
		Runtime: Runtime{Created: created, Updated: created}}, map[string]*memorySubscription{}}
	return nil
}

func (m *memory) UpdateTopic(d entity.TopicDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := get(m.topics, d.Name)
	if err == nil {
		t.topic.TopicDescription = d
	}
	return err
}

func (m *memory) Delete(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken(name) == nil {
		return ErrNotFound
	}
	delete(m.queues, entity.Key(name))
	delete(m.topics, entity.Key(name))
	return nil
}

func (m *memory) sub(topic, name string) (*memorySubscription, error) {
	t, err := get(m.topics, topic)
	if err != nil {
		return nil, err
	}
	return get(t.subs, name)
}

func (m *memory) Subscriptions(topic string) ([]Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := get(m.topics, topic)
	if err != nil {
		return nil, err
	}
	var out []Subscription
	for _, s := range sorted(t.subs) {
		out = append(out, s.sub)
	}
	return out, nil
}

func (m *memory) Subscription(topic, name string) (Subscription, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, name)
	if err != nil {
		return Subscription{}, err
	}
	return s.sub, nil
}

func (m *memory) CreateSubscription(topic string, d entity.SubscriptionDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := get(m.topics, topic)
	if err != nil {
		return err
	}
	if t.subs[entity.Key(d.Name)] != nil {
		return ErrExists
	}
	s := &memorySubscription{rules: map[string]*Rule{}}
	for _, r := range d.Rules {
		s.rules[entity.Key(r.Name)] = &Rule{r, created}
	}
	d.Rules = nil
	s.sub = Subscription{d, Runtime{Created: created, Updated: created}}
	t.subs[entity.Key(d.Name)] = s
	return nil
}

func (m *memory) UpdateSubscription(topic string, d entity.SubscriptionDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, d.Name)
	if err == nil {
		s.sub.SubscriptionDescription = d
	}
	return err
}

func (m *memory) DeleteSubscription(topic, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.sub(topic, name)
	if err == nil {
		delete(m.topics[entity.Key(topic)].subs, entity.Key(name))
	}
	return err
}

func (m *memory) Rules(topic, sub string) ([]Rule, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, sub)
	if err != nil {
		return nil, err
	}
	all := sorted(s.rules)
	slices.SortFunc(all, func(a, b Rule) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all, nil
}

func (m *memory) Rule(topic, sub, name string) (Rule, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, sub)
	if err != nil {
		return Rule{}, err
	}
	return value(get(s.rules, name))
}

func (m *memory) CreateRule(topic, sub string, d entity.RuleDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, sub)
	if err != nil {
		return err
	}
	if s.rules[entity.Key(d.Name)] != nil {
		return ErrExists
	}
	s.rules[entity.Key(d.Name)] = &Rule{d, created}
	return nil
}

func (m *memory) UpdateRule(topic, sub string, d entity.RuleDescription) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, sub)
	if err != nil {
		return err
	}
	r, err := get(s.rules, d.Name)
	if err == nil {
		r.RuleDescription = d
	}
	return err
}

func (m *memory) DeleteRule(topic, sub, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.sub(topic, sub)
	if err != nil {
		return err
	}
	if _, err := get(s.rules, name); err != nil {
		return err
	}
	delete(s.rules, entity.Key(name))
	return nil
}

// keys is an Authorizer that knows two names: root may do all, guest nothing.
type keys struct{}

func (keys) Authorize(authorization, _ string) error {
	switch {
	case strings.Contains(authorization, "skn=root"):
		return nil
	case strings.Contains(authorization, "skn=guest"):
		return ErrForbidden
	case authorization == "":
		return fmt.Errorf("MissingToken: the authorization header was not found")
	}
	return fmt.Errorf("InvalidSignature: The token has an invalid signature")
}
