package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/userconfig"
	"fnobridge/internal/config"
)

// What the emulators hold when no file says so.
const (
	emulatedQueue   = "fno-inbound"
	emulatedExports = "fno-exports"
	emulatedTopic   = "fno-status"
	emulatedJob     = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	emulatedPackage = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12"
	emulatedExport  = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c13"
)

// emulatedWorld gives what exists in both, from the configuration file if there is one. A file in JSON is that of
// Microsoft's emulator, which knows no F&O and may ask for faults.
func (a *app) emulatedWorld() (ns entity.Namespace, jobs []fno.Job, faults bool, err error) {
	jobs = []fno.Job{{ID: emulatedJob}, {ID: emulatedPackage, Kind: fno.Package}, {ID: emulatedExport, Export: true}}
	path := a.configPath()
	if path == "" {
		ns.Queues = []entity.QueueDescription{lanes(emulatedQueue, 5*time.Minute), plainQueue(emulatedExports)}
		ns.Topics = []entity.TopicDescription{eventTopic(emulatedTopic)}
		return ns, jobs, false, nil
	}
	if strings.EqualFold(filepath.Ext(path), ".json") {
		c, err := userconfig.Load(path)
		if err != nil {
			return ns, nil, false, exit(exitConfig, err)
		}
		return c.Namespace, jobs, c.Faults, nil
	}
	cfg, err := config.Load(path, a.placeholders)
	if err != nil {
		return ns, nil, false, exit(exitConfig, err)
	}
	return namespaceOf(cfg), jobsOf(cfg), false, nil
}

// placeholders stands in for secrets that are not set: the emulators need none, and the connection string that a
// configuration wants from the environment is not known before they run.
func (a *app) placeholders(name string) (string, bool) {
	if v, ok := a.env.lookup(name); ok && strings.TrimSpace(v) != "" {
		return v, true
	}
	return "Endpoint=sb://emulator", true
}

// namespaceOf gives the namespace that a configuration expects.
func namespaceOf(cfg *config.Config) entity.Namespace {
	var ns entity.Namespace
	topics := map[string]int{}
	topic := func(name string) *entity.TopicDescription {
		i, ok := topics[entity.Key(name)]
		if !ok {
			i = len(ns.Topics)
			topics[entity.Key(name)] = i
			t := entity.NewTopic(name)
			t.RequiresDuplicateDetection = true
			ns.Topics = append(ns.Topics, t)
		}
		return &ns.Topics[i]
	}
	for _, s := range cfg.Sources {
		if s.Queue != "" {
			ns.Queues = append(ns.Queues, lanes(s.Queue, cfg.ServiceBus.Lock))
			continue
		}
		sub := entity.NewSubscription(s.Subscription)
		sub.RequiresSession, sub.LockDuration, sub.MaxDeliveryCount = true, cfg.ServiceBus.Lock, 100
		t := topic(s.Topic)
		t.Subscriptions = append(t.Subscriptions, sub)
	}
	if name := cfg.Status.Topic; name != "" {
		t := topic(name)
		t.Subscriptions = append(t.Subscriptions, entity.NewSubscription("watch"))
	}
	made := map[string]bool{}
	for _, q := range ns.Queues {
		made[entity.Key(q.Name)] = true
	}
	for _, e := range cfg.Exports {
		if _, isTopic := topics[entity.Key(e.Queue)]; !isTopic && !made[entity.Key(e.Queue)] {
			made[entity.Key(e.Queue)] = true
			ns.Queues = append(ns.Queues, plainQueue(e.Queue))
		}
	}
	return ns
}

// lanes gives a queue as infra/bicep creates the bridge's: sessions, duplicate detection, and a delivery count that the
// broker never uses up, because attempts are counted by the bridge.
func lanes(name string, lock time.Duration) entity.QueueDescription {
	q := plainQueue(name)
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount = true, lock, 100
	return q
}

func plainQueue(name string) entity.QueueDescription {
	q := entity.NewQueue(name)
	q.RequiresDuplicateDetection = true
	return q
}

func eventTopic(name string) entity.TopicDescription {
	t := entity.NewTopic(name)
	t.RequiresDuplicateDetection = true
	t.Subscriptions = []entity.SubscriptionDescription{entity.NewSubscription("watch")}
	return t
}

// jobsOf gives the recurring data jobs that a configuration names.
func jobsOf(cfg *config.Config) []fno.Job {
	var jobs []fno.Job
	add := func(j fno.Job) {
		j.ID = strings.ToLower(j.ID)
		if !slices.ContainsFunc(jobs, func(k fno.Job) bool { return k.ID == j.ID }) {
			jobs = append(jobs, j)
		}
	}
	for _, r := range cfg.Routes {
		j := fno.Job{ID: r.Activity, CompanyFromMessage: true, InOrder: r.Order == config.OrderEnqueued && r.Format == config.FormatFile}
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
