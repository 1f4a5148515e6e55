package rules

import (
	"strconv"
	"strings"
)

// predicate is a part of a filter that is true, false or unknown.
type predicate interface {
	test(*Message) (truth, error)
	print(*strings.Builder)
}

// expression is a part of a filter or action that has a value; nil is both NULL and unknown, which behave alike
// everywhere but in EXISTS.
type expression interface {
	value(*Message) (any, error)
	print(*strings.Builder)
}

type (
	notNode struct{ of predicate }
	andNode struct{ left, right predicate }
	orNode  struct{ left, right predicate }
	compare struct {
		op          string
		left, right expression
		column      int
	}
	isNull struct {
		of  expression
		not bool
	}
	inList struct {
		of   expression
		list []expression
		not  bool
	}
	like struct {
		of, pattern, escape expression // escape may be nil
		not                 bool
		column              int
	}
	exists struct{ of *property }

	constant struct {
		of   any    // nil, bool, int64, float64 or string
		text string // as it is printed
	}
	parameter struct {
		name string
		of   any
	}
	property struct {
		system *systemProperty // nil: an application property
		name   string
	}
	lookup struct { // property(name)
		name   expression
		column int
	}
	newID  struct{}
	negate struct {
		of     expression
		minus  bool
		column int
	}
	arithmetic struct {
		op          byte
		left, right expression
		column      int
	}
)

// text is how a node prints; everything is put in parentheses, so that what is printed parses to the same tree.
func text(n interface{ print(*strings.Builder) }) string {
	var b strings.Builder
	n.print(&b)
	return b.String()
}

func wrap(b *strings.Builder, parts ...any) {
	b.WriteByte('(')
	for i, p := range parts {
		if i > 0 {
			b.WriteByte(' ')
		}
		if s, ok := p.(string); ok {
			b.WriteString(s)
		} else {
			p.(interface{ print(*strings.Builder) }).print(b)
		}
	}
	b.WriteByte(')')
}

func (n *notNode) print(b *strings.Builder) { wrap(b, "NOT", n.of) }
func (n *andNode) print(b *strings.Builder) { wrap(b, n.left, "AND", n.right) }
func (n *orNode) print(b *strings.Builder)  { wrap(b, n.left, "OR", n.right) }
func (n *compare) print(b *strings.Builder) { wrap(b, n.left, n.op, n.right) }

func (n *isNull) print(b *strings.Builder) {
	if n.not {
		wrap(b, n.of, "IS NOT NULL")
		return
	}
	wrap(b, n.of, "IS NULL")
}

func (n *inList) print(b *strings.Builder) {
	b.WriteByte('(')
	n.of.print(b)
	if n.not {
		b.WriteString(" NOT")
	}
	b.WriteString(" IN (")
	for i, e := range n.list {
		if i > 0 {
			b.WriteString(", ")
		}
		e.print(b)
	}
	b.WriteString("))")
}

func (n *like) print(b *strings.Builder) {
	parts := []any{n.of, "LIKE", n.pattern}
	if n.not {
		parts = []any{n.of, "NOT LIKE", n.pattern}
	}
	if n.escape != nil {
		parts = append(parts, "ESCAPE", n.escape)
	}
	wrap(b, parts...)
}

func (n *exists) print(b *strings.Builder) { wrap(b, "EXISTS(", n.of, ")") }

func (n *constant) print(b *strings.Builder)  { b.WriteString(n.text) }
func (n *parameter) print(b *strings.Builder) { b.WriteString("@" + n.name) }

func (n *property) print(b *strings.Builder) {
	if n.system != nil {
		b.WriteString("sys." + n.system.name)
		return
	}
	b.WriteString("user.[" + strings.ReplaceAll(n.name, "]", "]]") + "]")
}

func (n *lookup) print(b *strings.Builder) { wrap(b, "property(", n.name, ")") }
func (newID) print(b *strings.Builder)     { b.WriteString("newid()") }

func (n *negate) print(b *strings.Builder) {
	if n.minus {
		wrap(b, "-", n.of)
		return
	}
	wrap(b, "+", n.of)
}

func (n *arithmetic) print(b *strings.Builder) { wrap(b, n.left, string(n.op), n.right) }

func textConstant(s string) *constant {
	return &constant{of: s, text: "'" + strings.ReplaceAll(s, "'", "''") + "'"}
}

func floatConstant(f float64) *constant {
	return &constant{of: f, text: strconv.FormatFloat(f, 'E', -1, 64)}
}
