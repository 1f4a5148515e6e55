package servicebustest

import (
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
)

// An Option says what the server of a test is like. Any function on servicebus.Options is one:
//
//	clock := servicebus.NewFakeClock(time.Now())
//	bus := servicebustest.New(t, func(o *servicebus.Options) { o.Clock = clock })
type Option func(*servicebus.Options)

// Queue creates a queue, with the defaults of the service but for what set changes.
func Queue(name string, set ...func(*entity.QueueDescription)) Option {
	q := entity.NewQueue(name)
	for _, f := range set {
		f(&q)
	}
	return func(o *servicebus.Options) { o.Namespace.Queues = append(o.Namespace.Queues, q) }
}

// SessionQueue is Queue for one whose messages have sessions.
func SessionQueue(name string, set ...func(*entity.QueueDescription)) Option {
	withSessions := func(q *entity.QueueDescription) { q.RequiresSession = true }
	return Queue(name, append([]func(*entity.QueueDescription){withSessions}, set...)...)
}

// Topic creates a topic. Subscription and SessionSubscription are among what can be set.
func Topic(name string, set ...func(*entity.TopicDescription)) Option {
	t := entity.NewTopic(name)
	for _, f := range set {
		f(&t)
	}
	return func(o *servicebus.Options) { o.Namespace.Topics = append(o.Namespace.Topics, t) }
}

// Subscription adds a subscription to a topic. It takes every message unless set gives it rules.
func Subscription(name string, set ...func(*entity.SubscriptionDescription)) func(*entity.TopicDescription) {
	s := entity.NewSubscription(name)
	for _, f := range set {
		f(&s)
	}
	return func(t *entity.TopicDescription) { t.Subscriptions = append(t.Subscriptions, s) }
}

// SessionSubscription is Subscription for one whose messages have sessions.
func SessionSubscription(name string, set ...func(*entity.SubscriptionDescription)) func(*entity.TopicDescription) {
	withSessions := func(s *entity.SubscriptionDescription) { s.RequiresSession = true }
	return Subscription(name, append([]func(*entity.SubscriptionDescription){withSessions}, set...)...)
}

// Namespace creates everything in ns: for what Queue and Topic cannot say.
func Namespace(ns entity.Namespace) Option {
	return func(o *servicebus.Options) {
		o.Namespace.Queues = append(o.Namespace.Queues, ns.Queues...)
		o.Namespace.Topics = append(o.Namespace.Topics, ns.Topics...)
		o.Namespace.AuthorizationRules = append(o.Namespace.AuthorizationRules, ns.AuthorizationRules...)
	}
}

// InMemory opens no port: the clients of Bus.Client connect through memory, which works in a synctest bubble.
func InMemory(o *servicebus.Options) { o.Addr = "none" }
