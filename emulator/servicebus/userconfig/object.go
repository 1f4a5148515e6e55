package userconfig

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

// reader collects what is wrong, and whether any of three places asks for faults.
type reader struct {
	data   []byte
	found  []*Problem
	faults bool
}

// err joins the problems in the order of the file.
func (r *reader) err() error {
	slices.SortStableFunc(r.found, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(r.found))
	for i, p := range r.found {
		errs[i] = p
	}
	return errors.Join(errs...)
}

func (r *reader) failf(at int, path, format string, args ...any) {
	line, column := place(r.data, at)
	r.found = append(r.found, &Problem{Line: line, Column: column, Path: path, Reason: fmt.Sprintf(format, args...)})
}

// object is a JSON object whose members are asked for one by one; a member that was not asked for is an error in the
// end.
type object struct {
	r       *reader
	n       *node
	members map[string]*node // by lower-case name; a null is not there
	names   map[string]member
	known   map[string]string // lower case to as it is written
}

// object reads n as an object; a wrong type is an error, and an empty object.
func (r *reader) object(n *node) *object {
	o := &object{r: r, n: n, members: map[string]*node{}, names: map[string]member{}, known: map[string]string{}}
	all, ok := n.value.([]member)
	if !ok {
		r.failf(n.at, n.path, "must be an object, is %s", kindOf(n))
	}
	for _, m := range all {
		key := strings.ToLower(m.name)
		if _, twice := o.names[key]; twice {
			r.failf(m.at, m.value.path, "is there twice")
			continue
		}
		o.names[key] = m
		if m.value.value != nil {
			o.members[key] = m.value
		}
	}
	return o
}

func kindOf(n *node) string {
	switch n.value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a text"
	case []*node:
		return "a list"
	}
	return "an object"
}

// get is a member, nil when it is not there.
func (o *object) get(name string) *node {
	key := strings.ToLower(name)
	o.known[key] = name
	return o.members[key]
}

// pass passes over members that other tools write.
func (o *object) pass(names ...string) {
	for _, name := range names {
		o.get(name)
	}
}

// done reports the members that were not asked for.
func (o *object) done() {
	for _, key := range slices.Sorted(maps.Keys(o.names)) {
		if _, ok := o.known[key]; !ok {
			m := o.names[key]
			o.r.failf(m.at, m.value.path, "is not known; here may be %s",
				strings.Join(slices.Sorted(maps.Values(o.known)), ", "))
		}
	}
}

func (o *object) child(name string) *object {
	if n := o.get(name); n != nil {
		return o.r.object(n)
	}
	return nil
}

// list is a member's elements; nil when it is not there or no list.
func (o *object) list(name string) []*node {
	n := o.get(name)
	if n == nil {
		return nil
	}
	all, ok := n.value.([]*node)
	if !ok {
		o.r.failf(n.at, n.path, "must be a list, is %s", kindOf(n))
	}
	return all
}

// name is the member Name, which must be there.
func (o *object) name() string {
	var s string
	if !o.text("Name", &s) {
		_, there := o.members["name"]
		if _, isObject := o.n.value.([]member); isObject && !there {
			o.missing("Name")
		}
	}
	return s
}

func (o *object) missing(name string) { o.r.failf(o.n.at, o.n.path, "%s is missing", name) }

// text and the other readers report whether the member was there and right.
func (o *object) text(name string, to *string) bool {
	n := o.get(name)
	if n == nil {
		return false
	}
	s, ok := n.value.(string)
	if !ok {
		o.r.failf(n.at, n.path, "must be a text, is %s", kindOf(n))
		return false
	}
	*to = s
	return true
}

func (o *object) optional(name string, to **string) {
	var s string
	if o.text(name, &s) {
		*to = &s
	}
}

func (o *object) flag(name string, to *bool) {
	n := o.get(name)
	if n == nil {
		return
	}
	v, ok := n.value.(bool)
	if !ok {
		o.r.failf(n.at, n.path, "must be true or false, is %s", kindOf(n))
		return
	}
	*to = v
}

func (o *object) number(name string, to *int) {
	n := o.get(name)
	if n == nil {
		return
	}
	v, ok := n.value.(json.Number)
	if !ok {
		o.r.failf(n.at, n.path, "must be a number, is %s", kindOf(n))
		return
	}
	i, err := strconv.ParseInt(v.String(), 10, 32)
	if err != nil {
		o.r.failf(n.at, n.path, "must be a whole number of 32 bits, is %s", v)
		return
	}
	*to = int(i)
}

func (o *object) span(name string, to *time.Duration) {
	var s string
	if !o.text(name, &s) {
		return
	}
	d, err := entity.ParseDuration(s)
	if err != nil {
		n := o.get(name)
		o.r.failf(n.at, n.path, "%v", err)
		return
	}
	*to = d
}

// one reads a member that must be one of several texts, whatever their case.
func (o *object) one(name string, to *string, of ...string) {
	var s string
	if !o.text(name, &s) {
		return
	}
	i := slices.IndexFunc(of, func(x string) bool { return strings.EqualFold(x, s) })
	if i < 0 {
		n := o.get(name)
		o.r.failf(n.at, n.path, "must be one of %s, is %q", strings.Join(of, ", "), s)
		return
	}
	*to = of[i]
}

// problems reports what entity found wrong, each at the member it is about, if that is there.
func (o *object) problems(err error, among ...*object) {
	for _, p := range entity.Problems(err) {
		at, path := o.n.at, o.n.path
		for _, where := range append(among, o) {
			if where == nil {
				continue
			}
			if n := where.members[strings.ToLower(p.Property)]; n != nil {
				at, path = n.at, n.path
				break
			}
		}
		reason := p.Rule
		if path == o.n.path {
			reason = p.Property + ": " + reason
		}
		if !o.reported(path) {
			o.r.failf(at, path, "%s", reason)
		}
	}
}

// reported reports whether the value at path was found wrong already. Then what entity says is about its default, which
// the file does not have, and is left out.
func (o *object) reported(path string) bool {
	return path != o.n.path && slices.ContainsFunc(o.r.found, func(p *Problem) bool { return p.Path == path })
}
