package rules

import (
	"errors"
	"fmt"

	"fnobridge/emulator/servicebus/entity"
)

// Rule is a compiled rule. It is immutable and safe for concurrent use.
type Rule struct {
	name    string
	match   func(*Message) (bool, error)
	actions []statement
	action  bool // it has one, of whatever kind: its matches get a copy of their own
}

// Compile reads the filter and the action of a rule. The error wraps a *SyntaxError when SQL is wrong, and is that of
// Validate when the description is. Unknown filters match nothing, unknown actions change nothing.
func Compile(d entity.RuleDescription) (*Rule, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("compile rule: %w", err)
	}
	r := &Rule{name: d.Name}
	switch f := d.Filter.(type) {
	case nil, entity.TrueFilter:
		r.match = func(*Message) (bool, error) { return true, nil }
	case entity.CorrelationFilter:
		c := newCorrelation(f)
		r.match = func(m *Message) (bool, error) { return c.match(m), nil }
	case entity.SQLFilter:
		condition, err := parseFilter(f.Expression, f.Parameters)
		if err != nil {
			return nil, fmt.Errorf("compile filter of rule %q: %w", d.Name, err)
		}
		r.match = func(m *Message) (bool, error) {
			t, err := condition.test(m)
			if err != nil {
				return false, fmt.Errorf("evaluate filter of rule %q: %w", d.Name, err)
			}
			return t == yes, nil
		}
	default:
		r.match = func(*Message) (bool, error) { return false, nil }
	}
	switch a := d.Action.(type) {
	case nil:
	case entity.SQLAction:
		var err error
		if r.actions, err = parseAction(a.Expression, a.Parameters); err != nil {
			return nil, fmt.Errorf("compile action of rule %q: %w", d.Name, err)
		}
		r.action = true
	default:
		r.action = true
	}
	return r, nil
}

// Name is the name of the rule.
func (r *Rule) Name() string { return r.name }

// Match reports whether the rule takes the message: false when its condition is unknown. The error wraps an
// *EvaluationError.
func (r *Rule) Match(m *Message) (bool, error) { return r.match(m) }

// HasAction reports whether the messages of this rule get a copy of their own.
func (r *Rule) HasAction() bool { return r.action }

// Apply changes the message as the action says; without an action it does nothing. After an error, which wraps an
// *EvaluationError, the message is half changed and of no use: apply actions to a Clone.
func (r *Rule) Apply(m *Message) error {
	for _, s := range r.actions {
		if err := s.apply(m); err != nil {
			return fmt.Errorf("apply action of rule %q: %w", r.name, err)
		}
	}
	return nil
}

// Copies are the copies of a message that a subscription with these rules gets: one, unchanged, when any rule without
// action matches, and one more, changed, for each matching rule that has an action. None means that the subscription
// does not get the message.
//
// A rule that cannot be evaluated does not stop the others; the errors are returned, joined, beside the copies.
// Source: Microsoft Learn, topic-filters.
func Copies(rules []*Rule, m *Message) (copies []*Message, failed error) {
	unchanged := false
	for _, r := range rules {
		ok, err := r.Match(m)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case !ok:
		case r.action:
			c := m.Clone()
			if err := r.Apply(c); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			copies = append(copies, c)
		case !unchanged:
			unchanged = true
			copies = append(copies, m)
		}
	}
	return copies, failed
}
