package deadletter

import (
	"fmt"
	"strings"

	"fnobridge/internal/bus"
)

// An Entity is a queue, or a subscription of a topic: whatever has a dead-letter queue.
type Entity = bus.Source

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
