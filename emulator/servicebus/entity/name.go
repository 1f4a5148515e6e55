package entity

import (
	"strings"
	"unicode/utf8"
)

// entityName checks that a property is the name of a queue or topic, a path of segments.
// Source: Microsoft Learn, resource-name-rules (Microsoft.ServiceBus).
func (c *check) entityName(property, name string) {
	if !c.length(property, name, MaxEntityName) {
		return
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" {
			c.failf(property, "must not begin or end with a slash, nor hold two in a row")
			return
		}
		if !c.segment(property, segment) {
			return
		}
	}
}

// subscriptionName checks the name of a subscription.
func (c *check) subscriptionName(name string) {
	if c.length("Name", name, MaxSubscriptionName) {
		c.segment("Name", name)
	}
}

// ruleName checks the name of a rule. Unlike an entity's it may hold the dollar sign: the rule that every subscription
// begins with is $Default.
func (c *check) ruleName(name string) {
	if !c.length("Name", name, MaxSubscriptionName) {
		return
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`@?#*/\`, r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		c.failf("Name", "must not contain %q", r)
	}
}

// authorizationName checks the name of an authorization rule.
func (c *check) authorizationName(name string) {
	if c.length("Name", name, 256) && strings.ContainsAny(name, ";=&/ ") {
		c.failf("Name", "must not contain any of \";=&/\" nor a space, which connection strings and tokens give a meaning")
	}
}

func (c *check) length(property, text string, limit int) bool {
	n := utf8.RuneCountInString(text)
	switch {
	case n == 0:
		c.failf(property, "must not be empty")
		return false
	case n > limit:
		c.failf(property, "must be at most %d characters, is %d", limit, n)
		return false
	}
	return true
}

func (c *check) segment(property, s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
		switch {
		case letter:
		case !strings.ContainsRune(".-~", r):
			c.failf(property, "must hold only letters, digits, and . - _ ~ between slashes, holds %q", r)
			return false
		case i == 0 || i == len(s)-1:
			c.failf(property, "each part must begin and end with a letter, a digit or an underscore")
			return false
		}
	}
	return true
}
