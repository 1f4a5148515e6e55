package deadletter

import (
	"fmt"
	"strings"
)

// An Entity is a queue, or a subscription of a topic: whatever has a dead-letter queue.
type Entity struct {
	Queue        string
	Topic        string
	Subscription string
}

// ParseEntity reads "queue", "topic/subscription" or "topic/Subscriptions/subscription". Queue names may contain
// slashes, so a name that known holds as a queue is one; known may be nil.
func ParseEntity(name string, known ...Entity) (Entity, error) {
	name = strings.Trim(name, "/")
	name = strings.TrimSuffix(name, "/$DeadLetterQueue")
	if name == "" {
		return Entity{}, fmt.Errorf("no queue or subscription was named")
	}
	for _, k := range known {
		if k.Queue != "" && strings.EqualFold(k.Queue, name) {
			return k, nil
		}
		if k.Topic != "" && (strings.EqualFold(k.String(), name) || strings.EqualFold(k.Topic+"/"+k.Subscription, name)) {
			return k, nil
		}
	}
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if strings.EqualFold(p, "subscriptions") && i > 0 && i == len(parts)-2 {
			return Entity{Topic: strings.Join(parts[:i], "/"), Subscription: parts[i+1]}, nil
		}
	}
	if len(parts) == 2 {
		return Entity{Topic: parts[0], Subscription: parts[1]}, nil
	}
	return Entity{Queue: name}, nil
}

// String gives the path as Service Bus writes it.
func (e Entity) String() string {
	if e.Queue != "" {
		return e.Queue
	}
	return e.Topic + "/Subscriptions/" + e.Subscription
}

// Target is where a copy has to be sent to reach the entity again: the queue itself, or the topic of a subscription,
// whose other subscriptions then see it too.
func (e Entity) Target() string {
	if e.Queue != "" {
		return e.Queue
	}
	return e.Topic
}
