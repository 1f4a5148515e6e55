package entity

import (
	"fmt"
	"slices"
	"time"
)

// Right is one claim a key grants.
type Right string

// The three claims of Service Bus. Manage includes the other two.
const (
	Send   Right = "Send"
	Listen Right = "Listen"
	Manage Right = "Manage"
)

// AuthorizationRule is a named key (SharedAccessKeyName) and its rights.
type AuthorizationRule struct {
	Name         string
	Key          string // primary key: any text, used as the HMAC key as it stands
	SecondaryKey string // accepted like the primary one; empty for none
	Rights       []Right

	// CreatedTime and ModifiedTime are kept for clients that read them back.
	CreatedTime, ModifiedTime time.Time
}

// RootRule is the rule that Microsoft's own emulator has, and that a namespace without rules gets: every right, with a
// key everybody knows.
func RootRule() AuthorizationRule {
	return AuthorizationRule{
		Name: "RootManageSharedAccessKey", Key: "SAS_KEY_VALUE",
		Rights: []Right{Listen, Send, Manage},
	}
}

// Allows reports whether the rule grants the right.
func (r AuthorizationRule) Allows(right Right) bool {
	return slices.Contains(r.Rights, right) || slices.Contains(r.Rights, Manage)
}

// Validate returns every problem of the rule, as Problems.
func (r AuthorizationRule) Validate() error {
	c := &check{entity: fmt.Sprintf("authorization rule %q", r.Name)}
	c.authorizationName(r.Name)
	if r.Key == "" {
		c.failf("Key", "must not be empty")
	}
	if len(r.Rights) == 0 {
		c.failf("Rights", "must name at least one of Send, Listen, Manage")
	}
	for i, right := range r.Rights {
		if right != Send && right != Listen && right != Manage {
			c.failf("Rights", "must be Send, Listen or Manage, is %q", string(right))
		}
		if slices.Contains(r.Rights[:i], right) {
			c.failf("Rights", "names %s twice", right)
		}
	}
	if slices.Contains(r.Rights, Manage) && (!slices.Contains(r.Rights, Send) || !slices.Contains(r.Rights, Listen)) {
		c.failf("Rights", "Manage needs Send and Listen beside it")
	}
	return c.err()
}

// Clone returns a copy that shares nothing with r.
func (r AuthorizationRule) Clone() AuthorizationRule {
	r.Rights = slices.Clone(r.Rights)
	return r
}

func cloneAuthorization(rules []AuthorizationRule) []AuthorizationRule {
	if rules == nil {
		return nil
	}
	out := make([]AuthorizationRule, len(rules))
	for i, r := range rules {
		out[i] = r.Clone()
	}
	return out
}

// authorization checks a list of rules: each one, their number, and that no name is taken twice.
func (c *check) authorization(rules []AuthorizationRule) {
	if len(rules) > MaxAuthorizationRules {
		c.failf("AuthorizationRules", "must be at most %d, are %d", MaxAuthorizationRules, len(rules))
	}
	seen := map[string]bool{}
	for _, r := range rules {
		c.add(r.Validate())
		if seen[r.Name] {
			c.failf("AuthorizationRules", "name %q is taken twice", r.Name)
		}
		seen[r.Name] = true
	}
}
