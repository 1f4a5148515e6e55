package rules

import (
	"crypto/rand"

	"fnobridge/emulator/servicebus/amqp"
)

// truth is the result of a condition. The order makes AND the minimum and OR the maximum, as in the tables of the
// documentation.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth { return yes - t }

func (t truth) notIf(not bool) truth {
	if not {
		return t.not()
	}
	return t
}

func (n *notNode) test(m *Message) (truth, error) {
	t, err := n.of.test(m)
	return t.not(), err
}

func (n *andNode) test(m *Message) (truth, error) {
	left, err := n.left.test(m)
	if err != nil || left == no {
		return left, err
	}
	right, err := n.right.test(m)
	return min(left, right), err
}

func (n *orNode) test(m *Message) (truth, error) {
	left, err := n.left.test(m)
	if err != nil || left == yes {
		return left, err
	}
	right, err := n.right.test(m)
	return max(left, right), err
}

func (n *compare) test(m *Message) (truth, error) {
	a, b, err := both(m, n.left, n.right)
	if err != nil || a == nil || b == nil {
		return unknown, err
	}
	order, ok := compareValues(a, b)
	if !ok {
		return unknown, evaluationf(n.column, "cannot compare %s with %s", kindOf(a), kindOf(b))
	}
	if order == unordered { // a NaN: equal to nothing, not even to itself
		return truthOf(n.op == "<>"), nil
	}
	if !ordered(a) && n.op != "=" && n.op != "<>" {
		return unknown, evaluationf(n.column, "%s has no order", kindOf(a))
	}
	switch n.op {
	case "=":
		return truthOf(order == 0), nil
	case "<>":
		return truthOf(order != 0), nil
	case "<":
		return truthOf(order < 0), nil
	case "<=":
		return truthOf(order <= 0), nil
	case ">":
		return truthOf(order > 0), nil
	}
	return truthOf(order >= 0), nil
}

func (n *isNull) test(m *Message) (truth, error) {
	v, err := n.of.value(m)
	return truthOf(v == nil).notIf(n.not), err
}

func (n *inList) test(m *Message) (truth, error) {
	v, err := n.of.value(m)
	if err != nil || v == nil {
		return unknown, err
	}
	for _, e := range n.list {
		other, err := e.value(m)
		if err != nil {
			return unknown, err
		}
		if other == nil {
			continue
		}
		if order, ok := compareValues(v, other); ok && order == 0 {
			return yes.notIf(n.not), nil
		}
	}
	return no.notIf(n.not), nil
}

func (n *like) test(m *Message) (truth, error) {
	v, want, err := both(m, n.of, n.pattern)
	if err != nil || v == nil || want == nil {
		return unknown, err
	}
	subject, ok := v.(string)
	form, ok2 := want.(string)
	if !ok || !ok2 {
		return unknown, evaluationf(n.column, "LIKE needs two texts, has %s and %s", kindOf(v), kindOf(want))
	}
	escape := rune(-1)
	if n.escape != nil {
		e, err := n.escape.value(m)
		if err != nil || e == nil {
			return unknown, err
		}
		s, _ := e.(string)
		runes := []rune(s)
		if len(runes) != 1 {
			return unknown, evaluationf(n.column, "ESCAPE needs a text of one character")
		}
		escape = runes[0]
	}
	parts, ok := newPattern(form, escape)
	if !ok {
		return unknown, evaluationf(n.column, "the pattern ends with its escape character")
	}
	return truthOf(parts.match([]rune(subject))).notIf(n.not), nil
}

func (n *exists) test(m *Message) (truth, error) {
	if n.of.system != nil {
		return truthOf(n.of.system.get(m) != nil), nil
	}
	return truthOf(m.find(n.of.name) >= 0), nil
}

func both(m *Message, left, right expression) (a, b any, err error) {
	if a, err = left.value(m); err != nil {
		return nil, nil, err
	}
	b, err = right.value(m)
	return a, b, err
}

func (n *constant) value(*Message) (any, error)  { return n.of, nil }
func (n *parameter) value(*Message) (any, error) { return plain(n.of), nil }

func (n *property) value(m *Message) (any, error) {
	if n.system != nil {
		return n.system.get(m), nil
	}
	v, _ := m.application(n.name)
	return v, nil
}

func (n *lookup) value(m *Message) (any, error) {
	name, err := n.name.value(m)
	if err != nil || name == nil {
		return nil, err
	}
	s, ok := name.(string)
	if !ok {
		return nil, evaluationf(n.column, "property needs a text, has %s", kindOf(name))
	}
	v, _ := m.application(s)
	return v, nil
}

func (newID) value(*Message) (any, error) {
	var id amqp.UUID
	_, _ = rand.Read(id[:]) // never fails, says crypto/rand
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id, nil
}

func (n *negate) value(m *Message) (any, error) {
	v, err := n.of.value(m)
	if err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if n.minus {
			return -x, nil
		}
		return x, nil
	case float64:
		if n.minus {
			return -x, nil
		}
		return x, nil
	}
	return nil, evaluationf(n.column, "a sign needs a number, has %s", kindOf(v))
}

func (n *arithmetic) value(m *Message) (any, error) {
	a, b, err := both(m, n.left, n.right)
	if err != nil || a == nil || b == nil {
		return nil, err
	}
	v, reason := calculate(n.op, a, b)
	if reason != "" {
		return nil, evaluationf(n.column, "%s", reason)
	}
	return v, nil
}
