package userconfig

import (
	"encoding/json"
	"errors"
	"strconv"

	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/rules"
)

func (r *reader) rule(o *object, taken names) entity.RuleDescription {
	d := entity.RuleDescription{Name: o.name()}
	o.claim(d.Name, taken)
	p := o.child("Properties")
	if p == nil {
		o.missing("Properties")
		o.done()
		return d
	}
	before := len(r.found)
	filter, action := r.filter(p, &d), p.child("Action")
	if action != nil {
		a := entity.SQLAction{}
		action.pass("CompatibilityLevel", "RequiresPreprocessing")
		if action.text("SqlExpression", &a.Expression) && a.Expression != "" {
			d.Action = a
		}
		action.done()
	}
	p.done()
	o.done()
	if len(r.found) > before { // what is missing is said already
		return d
	}
	o.validate(d.Name, d.Validate(), p)
	if d.Validate() == nil {
		r.compile(d, filter, action, p)
	}
	return d
}

// filter reads the filter, and returns the object it was in.
func (r *reader) filter(p *object, d *entity.RuleDescription) *object {
	var kind string
	p.one("FilterType", &kind, "Correlation", "Sql", "CorrelationFilter", "SqlFilter")
	if p.members["filtertype"] == nil {
		p.missing("FilterType")
	}
	correlation, sql := p.child("CorrelationFilter"), p.child("SqlFilter")
	var f entity.CorrelationFilter
	if correlation != nil {
		f = r.correlation(correlation)
	}
	var s entity.SQLFilter
	if sql != nil {
		sql.text("SqlExpression", &s.Expression)
		sql.pass("CompatibilityLevel", "RequiresPreprocessing")
		sql.done()
	}
	switch {
	case kind == "Correlation" || kind == "CorrelationFilter":
		if correlation == nil {
			p.missing("CorrelationFilter")
		}
		d.Filter = f
		return correlation
	case kind != "":
		if sql == nil {
			p.missing("SqlFilter")
		}
		d.Filter = s
	}
	return sql
}

func (r *reader) correlation(o *object) entity.CorrelationFilter {
	var f entity.CorrelationFilter
	o.optional("ContentType", &f.ContentType)
	o.optional("CorrelationId", &f.CorrelationID)
	o.optional("MessageId", &f.MessageID)
	o.optional("ReplyTo", &f.ReplyTo)
	o.optional("ReplyToSessionId", &f.ReplyToSessionID)
	o.optional("SessionId", &f.SessionID)
	o.optional("Subject", &f.Subject) // the newer name of Label
	o.optional("Label", &f.Subject)
	o.optional("SendTo", &f.To) // the name of To in resource templates
	o.optional("To", &f.To)
	o.pass("RequiresPreprocessing")
	if properties := o.child("Properties"); properties != nil {
		f.Properties = r.values(properties.n)
	}
	o.done()
	return f
}

// values are the properties of a correlation filter, which may have any name.
func (r *reader) values(n *node) map[string]any {
	all, _ := n.value.([]member)
	values := map[string]any{}
	for _, m := range all {
		switch v := m.value.value.(type) {
		case string, bool:
			values[m.name] = v
		case json.Number:
			if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
				values[m.name] = i
			} else if f, err := v.Float64(); err == nil {
				values[m.name] = f
			} else {
				r.failf(m.value.at, m.value.path, "is out of range")
			}
		default:
			r.failf(m.value.at, m.value.path, "must be a text, a number or a boolean, is %s", kindOf(m.value))
		}
	}
	return values
}

// compile checks the SQL; its errors stand at the expression.
func (r *reader) compile(d entity.RuleDescription, filter, action, p *object) {
	report := func(d entity.RuleDescription, where *object) {
		_, err := rules.Compile(d)
		if err == nil {
			return
		}
		n := p.n
		if where != nil && where.members["sqlexpression"] != nil {
			n = where.members["sqlexpression"]
		}
		if syntax, ok := errors.AsType[*rules.SyntaxError](err); ok {
			r.failf(n.at, n.path, "%v", syntax)
			return
		}
		r.failf(n.at, n.path, "%v", err)
	}
	report(entity.RuleDescription{Name: d.Name, Filter: d.Filter}, filter)
	if d.Action != nil {
		report(entity.RuleDescription{Name: d.Name, Action: d.Action}, action)
	}
}
