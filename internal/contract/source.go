package contract

import (
	"errors"
	"strings"
)

// A Source is a queue, or a subscription of a topic: what sessions are taken from, and what has a dead-letter queue.
// Exactly one of Queue and the other two is set.
type Source struct {
	Queue        string
	Topic        string
	Subscription string
}

// ParseSource reads "queue", "topic/subscription" or "topic/Subscriptions/subscription", as an operator writes them.
// Queue names may contain slashes, so a name that known holds as a queue is one; known may be empty.
func ParseSource(name string, known ...Source) (Source, error) {
	name = strings.TrimSuffix(strings.Trim(name, "/"), "/$DeadLetterQueue")
	if name == "" {
		return Source{}, errors.New("no queue or subscription was named")
	}
	for _, k := range known {
		if k.Is(name) {
			return k, nil
		}
	}
	parts := strings.Split(name, "/")
	if n := len(parts); n > 2 && strings.EqualFold(parts[n-2], "subscriptions") {
		return Source{Topic: strings.Join(parts[:n-2], "/"), Subscription: parts[n-1]}, nil
	}
	if len(parts) == 2 {
		return Source{Topic: parts[0], Subscription: parts[1]}, nil
	}
	return Source{Queue: name}, nil
}

// String returns the one name of the source, in configuration, events, logs and commands: the queue, or
// topic/subscription.
func (s Source) String() string {
	if s.Queue != "" {
		return s.Queue
	}
	return s.Topic + "/" + s.Subscription
}

// Is reports whether name means this source. Service Bus compares without regard to case, and writes the path of a
// subscription as topic/Subscriptions/subscription; older versions of the bridge did so too.
func (s Source) Is(name string) bool {
	path := s.Topic + "/Subscriptions/" + s.Subscription
	return strings.EqualFold(name, s.String()) || s.Queue == "" && strings.EqualFold(name, path)
}

// Target returns where a message has to be sent to reach the source: the queue itself, or the topic of a subscription,
// whose other subscriptions then see it too.
func (s Source) Target() string {
	if s.Queue != "" {
		return s.Queue
	}
	return s.Topic
}
