package broker

import (
	"fmt"
	"slices"
	"strings"

	"fnobridge/emulator/servicebus/atom"
	"fnobridge/emulator/servicebus/entity"
)

// Rules implements atom.Manager.
func (a *Admin) Rules(topic, subscription string) ([]atom.Rule, error) {
	a.b.enter()
	defer a.b.unlock()
	s, err := a.b.subscription(topic, subscription)
	if err != nil {
		return nil, err
	}
	return s.ruleList(), nil
}

func (q *queue) ruleList() []atom.Rule {
	out := make([]atom.Rule, 0, len(q.rules))
	for _, r := range q.rules {
		out = append(out, atom.Rule{RuleDescription: r.desc.Clone(), Created: r.created})
	}
	slices.SortFunc(out, func(x, y atom.Rule) int { return strings.Compare(entity.Key(x.Name), entity.Key(y.Name)) })
	return out
}

func (q *queue) ruleAt(name string) int {
	return slices.IndexFunc(q.rules, func(r *rule) bool { return entity.Key(r.desc.Name) == entity.Key(name) })
}

// Rule implements atom.Manager.
func (a *Admin) Rule(topic, subscription, name string) (atom.Rule, error) {
	a.b.enter()
	defer a.b.unlock()
	s, err := a.b.subscription(topic, subscription)
	if err != nil {
		return atom.Rule{}, err
	}
	i := s.ruleAt(name)
	if i < 0 {
		return atom.Rule{}, fmt.Errorf("rule %q: %w", name, atom.ErrNotFound)
	}
	return atom.Rule{RuleDescription: s.rules[i].desc.Clone(), Created: s.rules[i].created}, nil
}

// CreateRule implements atom.Manager.
func (a *Admin) CreateRule(topic, subscription string, d entity.RuleDescription) error {
	a.b.enter()
	defer a.b.leave()
	s, err := a.b.subscription(topic, subscription)
	if err != nil {
		return err
	}
	return s.createRule(d)
}

func (q *queue) createRule(d entity.RuleDescription) error {
	if q.ruleAt(d.Name) >= 0 {
		return fmt.Errorf("rule %q: %w", d.Name, atom.ErrExists)
	}
	return invalid(q.addRule(d))
}

// UpdateRule implements atom.Manager.
func (a *Admin) UpdateRule(topic, subscription string, d entity.RuleDescription) error {
	a.b.enter()
	defer a.b.leave()
	s, err := a.b.subscription(topic, subscription)
	if err != nil {
		return err
	}
	i := s.ruleAt(d.Name)
	if i < 0 {
		return fmt.Errorf("rule %q: %w", d.Name, atom.ErrNotFound)
	}
	if err := s.addRule(d); err != nil {
		return invalid(err)
	}
	last := len(s.rules) - 1
	s.rules[last].created = s.rules[i].created
	s.rules[i] = s.rules[last]
	s.rules = s.rules[:last]
	return nil
}

// DeleteRule implements atom.Manager.
func (a *Admin) DeleteRule(topic, subscription, name string) error {
	a.b.enter()
	defer a.b.leave()
	s, err := a.b.subscription(topic, subscription)
	if err != nil {
		return err
	}
	return s.deleteRule(name)
}

func (q *queue) deleteRule(name string) error {
	i := q.ruleAt(name)
	if i < 0 {
		return fmt.Errorf("rule %q: %w", name, atom.ErrNotFound)
	}
	q.rules = slices.Delete(q.rules, i, i+1)
	return nil
}
