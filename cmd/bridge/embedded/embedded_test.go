package embedded

import (
	"testing"

	"fnobridge/internal/config"
)

func TestEverythingThatAConfigurationNamesExistsOnce(t *testing.T) {
	cfg := config.Default()
	cfg.Sources = []config.Source{{Queue: "a"}, {Topic: "shared", Subscription: "s1"}, {Topic: "SHARED", Subscription: "s2"}}
	cfg.Status.Topic = "shared"
	cfg.Exports = []config.Export{{Queue: "x", Activity: "A"}, {Queue: "X", Activity: "B"}, {Queue: "shared", Activity: "a"}}
	ns := Namespace(cfg, "watch")
	if err := ns.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(ns.Queues) != 2 || len(ns.Topics) != 1 || len(ns.Topics[0].Subscriptions) != 3 {
		t.Errorf("%+v", ns)
	}
	if q := ns.Queues[0]; !q.RequiresSession || q.LockDuration != cfg.ServiceBus.Lock {
		t.Errorf("the queue that is read: %+v", q)
	}
	if q := ns.Queues[1]; q.RequiresSession {
		t.Errorf("the queue for exports: %+v", q)
	}
	if jobs := Jobs(cfg); len(jobs) != 2 {
		t.Errorf("jobs: %+v", jobs)
	}
}
