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

// SessionQueue creates a queue whose messages have sessions.
func SessionQueue(name string, set ...func(*entity.QueueDescription)) Option {
	q := entity.NewQueue(name)
	q.RequiresSession = true
	for _, f := range set {
		f(&q)
	}
	return func(o *servicebus.Options) { o.Namespace.Queues = append(o.Namespace.Queues, q) }
}

// Topic creates a topic with subscriptions that take every message.
func Topic(name string, subscriptions ...string) Option {
	t := entity.NewTopic(name)
	for _, s := range subscriptions {
		t.Subscriptions = append(t.Subscriptions, entity.NewSubscription(s))
	}
	return func(o *servicebus.Options) { o.Namespace.Topics = append(o.Namespace.Topics, t) }
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
