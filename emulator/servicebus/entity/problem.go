package entity

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one rule that a description breaks. Validate returns all of them, joined.
type Problem struct {
	Entity   string // what is wrong, as in `queue "orders"`
	Property string // which property, as Azure writes it; "Name" for the name
	Rule     string // what would be right, as in "must be at most 5m0s, is 6m0s"
}

// Error returns entity, property and rule in one line.
func (p *Problem) Error() string {
	return p.Entity + ": " + p.Property + ": " + p.Rule
}

// Problems takes the error of a Validate apart, in the order the problems were found, whatever it was wrapped in.
// Errors that are no Problem are left out.
func Problems(err error) []*Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Problem
		for _, e := range joined.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		return Problems(inner)
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return []*Problem{p}
	}
	return nil
}

// check collects the problems of one entity.
type check struct {
	entity string
	errs   []error
}

func (c *check) failf(property, format string, args ...any) {
	c.errs = append(c.errs, &Problem{Entity: c.entity, Property: property, Rule: fmt.Sprintf(format, args...)})
}

func (c *check) add(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

func (c *check) err() error { return errors.Join(c.errs...) }

// Key is the form of an entity name under which two names are the same entity: Service Bus compares names without
// regard to case.
func Key(name string) string { return strings.ToLower(name) }
