// Package embedded says what the embedded Service Bus and the embedded F&O must hold so that a bridge with a given
// configuration can work against them. `bridge emulate`, `bridge demo` and the tests of the commands share it.
//
// Promised: every queue, topic, subscription and job that the configuration names exists once, as infra/bicep and an
// operator of F&O would create it. Not promised: any rule of the data; that is a scenario's.
package embedded

import (
	"slices"
	"strings"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/config"
)

// deliveries is what infra/bicep sets: a delivery count that the broker never uses up, because the bridge counts
// attempts by itself.
const deliveries = 100

// Namespace returns the namespace that a configuration expects. The status topic gets a subscription for each of
// readers.
func Namespace(cfg *config.Config, readers ...string) entity.Namespace {
	var ns entity.Namespace
	topics := map[string]int{}
	topic := func(name string) *entity.TopicDescription {
		i, ok := topics[entity.Key(name)]
		if !ok {
			i = len(ns.Topics)
			topics[entity.Key(name)] = i
			ns.Topics = append(ns.Topics, Topic(name))
		}
		return &ns.Topics[i]
	}
	for _, s := range cfg.Sources {
		if s.Queue != "" {
			ns.Queues = append(ns.Queues, SessionQueue(s.Queue, cfg.ServiceBus.Lock))
			continue
		}
		sub := entity.NewSubscription(s.Subscription)
		sub.RequiresSession, sub.LockDuration, sub.MaxDeliveryCount = true, cfg.ServiceBus.Lock, deliveries
		t := topic(s.Topic)
		t.Subscriptions = append(t.Subscriptions, sub)
	}
	if name := cfg.Status.Topic; name != "" {
		t := topic(name)
		t.Subscriptions = append(t.Subscriptions, Topic(name, readers...).Subscriptions...)
	}
	made := map[string]bool{}
	for _, q := range ns.Queues {
		made[entity.Key(q.Name)] = true
	}
	for _, e := range cfg.Exports { // several may share a queue
		if _, isTopic := topics[entity.Key(e.Queue)]; !isTopic && !made[entity.Key(e.Queue)] {
			made[entity.Key(e.Queue)] = true
			ns.Queues = append(ns.Queues, queue(e.Queue))
		}
	}
	return ns
}

// SessionQueue returns a queue that a bridge reads.
func SessionQueue(name string, lock time.Duration) entity.QueueDescription {
	q := queue(name)
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount = true, lock, deliveries
	return q
}

func queue(name string) entity.QueueDescription {
	q := entity.NewQueue(name)
	q.RequiresDuplicateDetection = true
	return q
}

// Topic returns a topic that a bridge publishes on, with subscriptions without sessions.
func Topic(name string, subscriptions ...string) entity.TopicDescription {
	t := entity.NewTopic(name)
	t.RequiresDuplicateDetection = true
	for _, s := range subscriptions {
		t.Subscriptions = append(t.Subscriptions, entity.NewSubscription(s))
	}
	return t
}

// Jobs returns the recurring data jobs that a configuration names.
func Jobs(cfg *config.Config) []fno.Job {
	var jobs []fno.Job
	add := func(j fno.Job) {
		j.ID = strings.ToLower(j.ID)
		if !slices.ContainsFunc(jobs, func(k fno.Job) bool { return k.ID == j.ID }) {
			jobs = append(jobs, j)
		}
	}
	for _, r := range cfg.Routes {
		j := fno.Job{
			ID: r.Activity, CompanyFromMessage: true, InOrder: r.Order == config.OrderEnqueued && r.Format == config.FormatFile,
		}
		if r.Format == config.FormatPackage {
			j.Kind = fno.Package
		}
		add(j)
	}
	for _, e := range cfg.Exports {
		add(fno.Job{ID: e.Activity, Export: true})
	}
	return jobs
}
