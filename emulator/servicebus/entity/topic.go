package entity

import (
	"fmt"
	"slices"
)

// TopicDescription is a topic and its subscriptions.
type TopicDescription struct {
	Name string
	Settings
	Storage

	FilteringMessagesBeforePublishing bool
	EnableSubscriptionPartitioning    bool

	Subscriptions []SubscriptionDescription
}

// NewTopic is a topic with Azure's defaults and no subscription.
func NewTopic(name string) TopicDescription {
	return TopicDescription{Name: name, Settings: newSettings(), Storage: newStorage()}
}

// Validate returns every problem of the topic and of its subscriptions, as Problems.
func (t TopicDescription) Validate() error {
	c := &check{entity: fmt.Sprintf("topic %q", t.Name)}
	c.entityName("Name", t.Name)
	c.settings(t.Settings)
	c.storage(t.Storage)
	seen := map[string]bool{}
	for _, s := range t.Subscriptions {
		c.add(s.validate(t.Name))
		if seen[Key(s.Name)] {
			c.failf("Subscriptions", "name %q is taken twice", s.Name)
		}
		seen[Key(s.Name)] = true
	}
	return c.err()
}

// Clone returns a copy that shares nothing with t.
func (t TopicDescription) Clone() TopicDescription {
	t.AuthorizationRules = cloneAuthorization(t.AuthorizationRules)
	t.Subscriptions = slices.Clone(t.Subscriptions)
	for i, s := range t.Subscriptions {
		t.Subscriptions[i] = s.Clone()
	}
	return t
}
