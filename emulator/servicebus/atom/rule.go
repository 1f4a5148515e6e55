package atom

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/rules"
)

// readRule makes a rule of a RuleDescription or DefaultRuleDescription; its SQL is checked here, so that a client hears
// what is wrong with it.
func readRule(e *element, name string) (entity.RuleDescription, error) {
	d := entity.RuleDescription{Name: name, Filter: entity.TrueFilter{}}
	var err error
	if f := e.child("Filter"); f != nil {
		if d.Filter, err = readFilter(f); err != nil {
			return d, err
		}
	}
	if a := e.child("Action"); a != nil {
		if d.Action, err = readAction(a); err != nil {
			return d, err
		}
	}
	if _, err := rules.Compile(d); err != nil {
		return d, badRequest("%v", err)
	}
	return d, nil
}

func readFilter(e *element) (entity.Filter, error) {
	switch e.typ() {
	case "TrueFilter":
		return entity.TrueFilter{}, nil
	case "FalseFilter":
		return entity.FalseFilter{}, nil
	case "SqlFilter":
		var f entity.SQLFilter
		(&reader{e: e}).text("SqlExpression", &f.Expression)
		var err error
		f.Parameters, err = readValues(e.child("Parameters"))
		return f, err
	case "CorrelationFilter":
		var f entity.CorrelationFilter
		for name, to := range correlationFields(&f) {
			if c := e.child(name); c != nil && !c.null() {
				*to = &c.text
			}
		}
		var err error
		f.Properties, err = readValues(e.child("Properties"))
		return f, err
	}
	return entity.UnknownFilter{Type: e.typ(), XML: e.standalone()}, nil
}

// correlationFields are the elements of a correlation filter, in schema order.
func correlationFields(f *entity.CorrelationFilter) func(func(string, **string) bool) {
	return func(yield func(string, **string) bool) {
		_ = yield("CorrelationId", &f.CorrelationID) && yield("MessageId", &f.MessageID) && yield("To", &f.To) &&
			yield("ReplyTo", &f.ReplyTo) && yield("Label", &f.Subject) && yield("SessionId", &f.SessionID) &&
			yield("ReplyToSessionId", &f.ReplyToSessionID) && yield("ContentType", &f.ContentType)
	}
}

func readAction(e *element) (entity.Action, error) {
	switch e.typ() {
	case "", "EmptyRuleAction":
		return nil, nil
	case "SqlRuleAction":
		var a entity.SQLAction
		(&reader{e: e}).text("SqlExpression", &a.Expression)
		var err error
		a.Parameters, err = readValues(e.child("Parameters"))
		return a, err
	}
	return entity.UnknownAction{Type: e.typ(), XML: e.standalone()}, nil
}

// readValues reads a list of KeyValueOfstringanyType; nil when it is not there or empty.
func readValues(list *element) (map[string]any, error) {
	if list == nil {
		return nil, nil
	}
	var values map[string]any
	for _, e := range list.children {
		key, value := e.child("Key"), e.child("Value")
		if key == nil || value == nil {
			return nil, badRequest("A key or a value is missing in %s.", list.name)
		}
		v, err := readValue(value)
		if err != nil {
			return nil, badRequest("The value of %q in %s is not valid: %v", key.text, list.name, err)
		}
		if values == nil {
			values = map[string]any{}
		}
		values[key.text] = v
	}
	return values, nil
}

func readValue(e *element) (any, error) {
	text := strings.TrimSpace(e.text)
	switch e.typ() {
	case "string":
		return e.text, nil
	case "int", "long", "short", "byte":
		return strconv.ParseInt(text, 10, 64)
	case "double", "float", "decimal":
		return strconv.ParseFloat(text, 64)
	case "boolean":
		return strconv.ParseBool(text)
	case "dateTime":
		t, err := time.Parse(time.RFC3339Nano, text)
		return t.UTC(), err
	case "duration":
		return entity.ParseDuration(text)
	}
	if e.null() {
		return nil, nil
	}
	return nil, badRequest("the type %q is not known", e.typ())
}

func (w *writer) rule(r Rule) {
	const name = "RuleDescription"
	w.description(name)
	w.filter(r.Filter)
	w.action(r.Action)
	w.time("CreatedAt", r.Created)
	w.leaf("Name", r.Name)
	w.close(name)
}

func (w *writer) filter(f entity.Filter) {
	sql := func(kind, expression string, parameters map[string]any) {
		w.open("Filter", "i:type", kind)
		w.sql(expression, parameters)
		w.close("Filter")
	}
	switch f := f.(type) {
	case nil, entity.TrueFilter:
		sql("TrueFilter", "1=1", nil)
	case entity.FalseFilter:
		sql("FalseFilter", "1=0", nil)
	case entity.SQLFilter:
		sql("SqlFilter", f.Expression, f.Parameters)
	case entity.CorrelationFilter:
		w.open("Filter", "i:type", "CorrelationFilter")
		for name, value := range correlationFields(&f) {
			if *value != nil {
				w.leaf(name, **value)
			}
		}
		w.values("Properties", f.Properties)
		w.close("Filter")
	case entity.UnknownFilter:
		w.b.WriteString(f.XML)
	}
}

func (w *writer) action(a entity.Action) {
	switch a := a.(type) {
	case nil:
		w.leaf("Action", "", "i:type", "EmptyRuleAction")
	case entity.SQLAction:
		w.open("Action", "i:type", "SqlRuleAction")
		w.sql(a.Expression, a.Parameters)
		w.close("Action")
	case entity.UnknownAction:
		w.b.WriteString(a.XML)
	}
}

func (w *writer) sql(expression string, parameters map[string]any) {
	w.leaf("SqlExpression", expression)
	w.leaf("CompatibilityLevel", "20")
	w.values("Parameters", parameters)
}

// values writes a list of typed values. The prefix is what the JavaScript client expects: it cuts the type off after
// five characters.
func (w *writer) values(name string, values map[string]any) {
	if len(values) == 0 {
		return
	}
	w.open(name)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		w.open("KeyValueOfstringanyType")
		w.leaf("Key", key)
		kind, text := valueText(values[key])
		if kind == "" {
			w.leaf("Value", "", "i:nil", "true")
		} else {
			w.leaf("Value", text, "i:type", "d6p1:"+kind, "xmlns:d6p1", schemaSpace)
		}
		w.close("KeyValueOfstringanyType")
	}
	w.close(name)
}

// valueText is the type and text of a value; "" for null. Whole numbers of every size are an int: neither client knows
// a long.
func valueText(v any) (kind, text string) {
	switch v := v.(type) {
	case string:
		return "string", v
	case bool:
		return "boolean", strconv.FormatBool(v)
	case int32:
		return "int", strconv.FormatInt(int64(v), 10)
	case int64:
		return "int", strconv.FormatInt(v, 10)
	case float64:
		return "double", strconv.FormatFloat(v, 'g', -1, 64)
	case time.Time:
		return "dateTime", v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return "duration", entity.FormatDuration(v)
	}
	return "", ""
}
