package entity

import (
	"fmt"
	"slices"
)

// SubscriptionDescription is one subscription of a topic and its rules.
type SubscriptionDescription struct {
	Name string
	Settings
	Delivery

	// DeadLetteringOnFilterEvaluationExceptions moves a message on which a rule failed (a division by zero, say) to the
	// dead-letter queue; otherwise that rule counts as not matching.
	DeadLetteringOnFilterEvaluationExceptions bool

	// Rules decide which messages the subscription gets: one copy per matching rule with an action, one for all the
	// others together. No rule, no message.
	Rules []RuleDescription
}

// DefaultRule is the name of the rule that a subscription made without one gets.
const DefaultRule = "$Default"

// NewSubscription is a subscription with Azure's defaults: one rule, $Default, that lets everything in.
func NewSubscription(name string) SubscriptionDescription {
	return SubscriptionDescription{
		Name: name, Settings: newSettings(), Delivery: newDelivery(),
		DeadLetteringOnFilterEvaluationExceptions: true,
		Rules: []RuleDescription{{Name: DefaultRule, Filter: TrueFilter{}}},
	}
}

// Path is the address of a subscription: "topic/Subscriptions/name".
func Path(topic, subscription string) string { return topic + "/Subscriptions/" + subscription }

// Validate returns every problem of the subscription and of its rules, as Problems.
func (s SubscriptionDescription) Validate() error { return s.validate("") }

// validate names the subscription with its topic when that is known.
func (s SubscriptionDescription) validate(topic string) error {
	c := &check{entity: fmt.Sprintf("subscription %q", s.Name)}
	if topic != "" {
		c.entity = fmt.Sprintf("subscription %q of topic %q", s.Name, topic)
	}
	c.subscriptionName(s.Name)
	c.settings(s.Settings)
	// Forwarding to its own topic would feed the subscription its own messages.
	c.delivery(s.Delivery, topic)
	seen := map[string]bool{}
	for _, r := range s.Rules {
		c.add(r.Validate())
		if seen[Key(r.Name)] {
			c.failf("Rules", "name %q is taken twice", r.Name)
		}
		seen[Key(r.Name)] = true
	}
	return c.err()
}

// Clone returns a copy that shares nothing with s.
func (s SubscriptionDescription) Clone() SubscriptionDescription {
	s.Rules = slices.Clone(s.Rules)
	for i, r := range s.Rules {
		s.Rules[i] = r.Clone()
	}
	return s
}
