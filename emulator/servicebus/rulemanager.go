package servicebus

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
)

// Descriptors of rules as enumerate-rules returns them.
// Source: Microsoft Learn, service-bus-amqp-request-response, rule operations.
const (
	codeRule              = uint64(0x13700000004)
	codeNoAction          = uint64(0x13700000005)
	codeSQLAction         = uint64(0x13700000006)
	codeSQLFilter         = uint64(0x1370000006)
	codeTrueFilter        = uint64(0x1370000007)
	codeFalseFilter       = uint64(0x1370000008)
	codeCorrelationFilter = uint64(0x1370000009)
	sqlLevel              = int32(20) // compatibility level of SQL expressions
)

func (g *management) addRule(q *query) {
	name := q.body.String("rule-name")
	v, _ := q.body.Get("rule-description")
	m, ok := v.(amqp.Map)
	if name == "" || !ok {
		q.bad("rule-description")
		return
	}
	d := entity.RuleDescription{Name: name, Filter: entity.TrueFilter{}}
	if f, ok := part(m, "sql-filter"); ok {
		d.Filter = entity.SQLFilter{Expression: f.String("expression"), Parameters: values(f, "parameters")}
	}
	if f, ok := part(m, "correlation-filter"); ok {
		text := func(key string) *string {
			v, _ := f.Get(key)
			if s, ok := amqp.Text(v); ok {
				return &s
			}
			return nil
		}
		d.Filter = entity.CorrelationFilter{
			CorrelationID: text("correlation-id"), MessageID: text("message-id"), To: text("to"), ReplyTo: text("reply-to"),
			Subject: text("label"), SessionID: text("session-id"), ReplyToSessionID: text("reply-to-session-id"),
			ContentType: text("content-type"), Properties: values(f, "properties"),
		}
	}
	if a, ok := part(m, "sql-rule-action"); ok && a.String("expression") != "" {
		d.Action = entity.SQLAction{Expression: a.String("expression"), Parameters: values(a, "parameters")}
	}
	q.done(g.m.AddRule(d))
}

func part(m amqp.Map, name string) (amqp.Map, bool) {
	v, _ := m.Get(name)
	p, ok := v.(amqp.Map)
	return p, ok
}

// values turns a map of properties into the types of rules.
func values(m amqp.Map, name string) map[string]any {
	p, _ := part(m, name)
	if len(p) == 0 {
		return nil
	}
	out := map[string]any{}
	for _, e := range p {
		key, _ := amqp.Text(e.Key)
		switch v := e.Value.(type) {
		case amqp.Symbol:
			out[key] = string(v)
		case amqp.Timestamp:
			out[key] = v.Time()
		case float32:
			out[key] = float64(v)
		case bool, string, int32, int64, float64, nil:
			out[key] = v
		default:
			if n, ok := amqp.Integer(v); ok {
				out[key] = n
			} else {
				out[key] = v // refused by the rule's own check
			}
		}
	}
	return out
}

func (g *management) removeRule(q *query) { q.done(g.m.RemoveRule(q.body.String("rule-name"))) }

func (g *management) enumerateRules(q *query) {
	rules, err := g.m.Rules()
	if err != nil {
		q.r.fail(err)
		return
	}
	skip, _ := q.integer("skip")
	top, ok := q.integer("top")
	if !ok {
		top = 100
	}
	rules = rules[min(max(0, int(skip)), len(rules)):]
	rules = rules[:min(max(0, int(top)), len(rules))]
	if len(rules) == 0 {
		q.r.respond(204, "No rules.", "", nil)
		return
	}
	list := make(amqp.List, 0, len(rules))
	for _, r := range rules {
		list = append(list, amqp.Map{{Key: "rule-description",
			Value: described(codeRule, encodeFilter(r.Filter), encodeAction(r.Action), r.Name, amqp.TimestampOf(r.Created))}})
	}
	q.ok(amqp.Map{{Key: "rules", Value: list}})
}

func described(code uint64, fields ...any) amqp.Described {
	return amqp.Described{Descriptor: code, Value: amqp.List(fields)}
}

func encodeFilter(f entity.Filter) any {
	switch f := f.(type) {
	case entity.SQLFilter:
		return described(codeSQLFilter, f.Expression, sqlLevel)
	case entity.FalseFilter:
		return described(codeFalseFilter)
	case entity.CorrelationFilter:
		text := func(s *string) any {
			if s == nil {
				return nil
			}
			return *s
		}
		props := amqp.Map{}
		for k, v := range f.Properties {
			switch x := v.(type) {
			case time.Time:
				v = amqp.TimestampOf(x)
			case time.Duration:
				v = x.String()
			}
			props = append(props, amqp.Pair{Key: k, Value: v})
		}
		return described(codeCorrelationFilter, text(f.CorrelationID), text(f.MessageID), text(f.To), text(f.ReplyTo),
			text(f.Subject),
			text(f.SessionID), text(f.ReplyToSessionID), text(f.ContentType), props)
	}
	return described(codeTrueFilter)
}

func encodeAction(a entity.Action) any {
	if a, ok := a.(entity.SQLAction); ok {
		return described(codeSQLAction, a.Expression, sqlLevel)
	}
	return described(codeNoAction)
}

// done answers with 200 or with the error.
func (q *query) done(err *amqp.Error) {
	if err != nil {
		q.r.fail(err)
		return
	}
	q.r.respond(200, "OK", "", nil)
}
