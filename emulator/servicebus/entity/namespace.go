package entity

import (
	"fmt"
	"slices"
)

// Namespace is everything one Service Bus namespace holds.
type Namespace struct {
	Name               string
	Queues             []QueueDescription
	Topics             []TopicDescription
	AuthorizationRules []AuthorizationRule // empty: RootRule
}

// Validate returns every problem of the namespace and of all it holds, as Problems: also names taken twice (queues and
// topics share one set of names) and forwarding to entities that are not there.
func (n Namespace) Validate() error {
	c := &check{entity: "namespace"}
	if n.Name != "" {
		c.entity = fmt.Sprintf("namespace %q", n.Name)
	}
	c.authorization(n.AuthorizationRules)
	seen := map[string]bool{}
	taken := func(name string) {
		if seen[Key(name)] {
			c.failf("Name", "%q is taken by two entities", name)
		}
		seen[Key(name)] = true
	}
	for _, q := range n.Queues {
		c.add(q.Validate())
		taken(q.Name)
	}
	for _, t := range n.Topics {
		c.add(t.Validate())
		taken(t.Name)
	}
	c.targets(n, seen)
	return c.err()
}

// targets checks that what is forwarded to exists.
func (c *check) targets(n Namespace, known map[string]bool) {
	target := func(entity, property, name string) {
		if name != "" && !known[Key(name)] {
			c.add(&Problem{Entity: entity, Property: property, Rule: fmt.Sprintf("there is no queue or topic %q", name)})
		}
	}
	for _, q := range n.Queues {
		name := fmt.Sprintf("queue %q", q.Name)
		target(name, "ForwardTo", q.ForwardTo)
		target(name, "ForwardDeadLetteredMessagesTo", q.ForwardDeadLetteredMessagesTo)
	}
	for _, t := range n.Topics {
		for _, s := range t.Subscriptions {
			name := fmt.Sprintf("subscription %q of topic %q", s.Name, t.Name)
			target(name, "ForwardTo", s.ForwardTo)
			target(name, "ForwardDeadLetteredMessagesTo", s.ForwardDeadLetteredMessagesTo)
		}
	}
}

// Clone returns a copy that shares nothing with n.
func (n Namespace) Clone() Namespace {
	n.AuthorizationRules = cloneAuthorization(n.AuthorizationRules)
	n.Queues = slices.Clone(n.Queues)
	for i, q := range n.Queues {
		n.Queues[i] = q.Clone()
	}
	n.Topics = slices.Clone(n.Topics)
	for i, t := range n.Topics {
		n.Topics[i] = t.Clone()
	}
	return n
}
