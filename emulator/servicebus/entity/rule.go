package entity

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// RuleDescription says which messages a subscription takes, and what is changed in the copy it gets.
type RuleDescription struct {
	Name   string
	Filter Filter // nil: everything, like TrueFilter
	Action Action // nil: nothing is changed
}

// Filter is one of TrueFilter, FalseFilter, CorrelationFilter, SQLFilter and UnknownFilter.
type Filter interface{ filter() }

// Action is one of SQLAction and UnknownAction.
type Action interface{ action() }

// TrueFilter matches every message.
type TrueFilter struct{}

// FalseFilter matches no message.
type FalseFilter struct{}

// CorrelationFilter matches a message that has all the values it names; nil means that the value does not matter. It
// must name at least one.
type CorrelationFilter struct {
	CorrelationID    *string
	MessageID        *string
	To               *string
	ReplyTo          *string
	Subject          *string // Label in the older clients
	SessionID        *string
	ReplyToSessionID *string
	ContentType      *string

	// Properties are compared with the application properties.
	Properties map[string]any // see Value
}

// SQLFilter matches the messages for which a SQL condition is true.
type SQLFilter struct {
	Expression string
	Parameters map[string]any // by name, with the @; see Value
}

// SQLAction changes the copy of a message with SET and REMOVE statements.
type SQLAction struct {
	Expression string
	Parameters map[string]any // by name, with the @; see Value
}

// UnknownFilter is a filter that came over the administration API and is not one of ours. It is kept so that a client
// can read it back, and matches nothing.
type UnknownFilter struct {
	Type string // the xsi:type, as sent
	XML  string // the whole element, as sent
}

// UnknownAction is the same for an action; it changes nothing.
type UnknownAction struct {
	Type string
	XML  string
}

func (TrueFilter) filter()        {}
func (FalseFilter) filter()       {}
func (CorrelationFilter) filter() {}
func (SQLFilter) filter()         {}
func (UnknownFilter) filter()     {}
func (SQLAction) action()         {}
func (UnknownAction) action()     {}

// Value reports whether v may be a parameter of an expression or a property of a correlation filter: nil, string, bool,
// int32, int64, float64, time.Time (UTC) or time.Duration.
func Value(v any) bool {
	switch v.(type) {
	case nil, string, bool, int32, int64, float64, time.Time, time.Duration:
		return true
	}
	return false
}

// Validate returns every problem of the rule, as Problems. It does not parse SQL: rules.Compile does.
func (r RuleDescription) Validate() error {
	c := &check{entity: fmt.Sprintf("rule %q", r.Name)}
	c.ruleName(r.Name)
	switch f := r.Filter.(type) {
	case CorrelationFilter:
		if f.empty() {
			c.failf("CorrelationFilter", "must name at least one property")
		}
		c.values("Properties", f.Properties)
	case SQLFilter:
		c.sql("SqlFilter", f.Expression, f.Parameters)
	}
	if a, ok := r.Action.(SQLAction); ok {
		c.sql("SqlRuleAction", a.Expression, a.Parameters)
	}
	return c.err()
}

func (c *check) sql(property, expression string, parameters map[string]any) {
	switch n := utf8.RuneCountInString(expression); {
	case n == 0:
		c.failf(property, "must not be empty")
	case n > MaxSQLExpression:
		c.failf(property, "must be at most %d characters, is %d", MaxSQLExpression, n)
	}
	c.values("Parameters", parameters)
}

func (c *check) values(property string, values map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name == "" {
			c.failf(property, "a name must not be empty")
		}
		if !Value(values[name]) {
			c.failf(property, "%q has a value of type %T, which Service Bus does not know", name, values[name])
		}
	}
}

func (f CorrelationFilter) empty() bool {
	return f.CorrelationID == nil && f.MessageID == nil && f.To == nil && f.ReplyTo == nil && f.Subject == nil &&
		f.SessionID == nil && f.ReplyToSessionID == nil && f.ContentType == nil && len(f.Properties) == 0
}

// Clone returns a copy that shares no map with r. The strings that a correlation filter points to are shared: they are
// never written to.
func (r RuleDescription) Clone() RuleDescription {
	switch f := r.Filter.(type) {
	case CorrelationFilter:
		f.Properties = maps.Clone(f.Properties)
		r.Filter = f
	case SQLFilter:
		f.Parameters = maps.Clone(f.Parameters)
		r.Filter = f
	}
	if a, ok := r.Action.(SQLAction); ok {
		a.Parameters = maps.Clone(a.Parameters)
		r.Action = a
	}
	return r
}
