package rules

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"fnobridge/emulator/servicebus/entity"
)

// maxDepth bounds how deep parentheses and NOTs nest, and with it the stack.
const maxDepth = 100

// parser is a recursive-descent parser. Predicates and expressions share the parenthesis, so it reads both as a node
// and asks afterwards which it is.
type parser struct {
	tokens     []token
	at, depth  int
	parameters map[string]any // by lower-case name without the @
}

// node is a predicate or an expression, never both.
type node struct {
	predicate  predicate
	expression expression
	column     int
}

func newParser(text string, parameters map[string]any) (*parser, error) {
	if n := utf8.RuneCountInString(text); n > entity.MaxSQLExpression {
		return nil, &SyntaxError{Column: entity.MaxSQLExpression + 1,
			Reason: fmt.Sprintf("an expression must be at most %d characters long", entity.MaxSQLExpression)}
	}
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, parameters: make(map[string]any, len(parameters))}
	for name, v := range parameters {
		p.parameters[strings.ToLower(strings.TrimPrefix(name, "@"))] = v
	}
	return p, nil
}

// parseFilter reads a whole filter expression.
func parseFilter(text string, parameters map[string]any) (predicate, error) {
	p, err := newParser(text, parameters)
	if err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	cond, err := n.asPredicate()
	if err != nil {
		return nil, err
	}
	return cond, p.end()
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept takes the next token if it is that keyword or symbol.
func (p *parser) accept(text string) bool {
	t := p.peek()
	if (t.kind == tokenKeyword || t.kind == tokenSymbol) && t.text == text {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return p.unexpected(text)
	}
	return nil
}

func (p *parser) unexpected(wanted string) error {
	t := p.peek()
	return &SyntaxError{Column: t.column, Reason: fmt.Sprintf("%s expected, found %v", wanted, t)}
}

func (p *parser) end() error {
	if p.peek().kind != tokenEnd {
		return p.unexpected("the end")
	}
	return nil
}

// deeper counts one level of nesting; the caller calls up when it leaves it.
func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return &SyntaxError{Column: p.peek().column, Reason: fmt.Sprintf("must not nest deeper than %d levels", maxDepth)}
	}
	return nil
}

func (p *parser) up() { p.depth-- }

func (n node) asPredicate() (predicate, error) {
	if n.predicate == nil {
		return nil, &SyntaxError{Column: n.column, Reason: "a condition expected, found a value"}
	}
	return n.predicate, nil
}

func (n node) asExpression() (expression, error) {
	if n.expression == nil {
		return nil, &SyntaxError{Column: n.column, Reason: "a value expected, found a condition"}
	}
	return n.expression, nil
}

func (p *parser) or() (node, error) {
	return p.junction("OR", p.and, func(a, b predicate) predicate { return &orNode{a, b} })
}

func (p *parser) and() (node, error) {
	return p.junction("AND", p.not, func(a, b predicate) predicate { return &andNode{a, b} })
}

func (p *parser) junction(word string, operand func() (node, error),
	join func(a, b predicate) predicate) (node, error) {
	left, err := operand()
	if err != nil {
		return left, err
	}
	for p.accept(word) {
		a, err := left.asPredicate()
		if err != nil {
			return left, err
		}
		right, err := operand()
		if err != nil {
			return left, err
		}
		b, err := right.asPredicate()
		if err != nil {
			return left, err
		}
		left = node{predicate: join(a, b), column: left.column}
	}
	return left, nil
}

func (p *parser) not() (node, error) {
	column := p.peek().column
	if !p.accept("NOT") {
		return p.condition()
	}
	if err := p.deeper(); err != nil {
		return node{}, err
	}
	defer p.up()
	n, err := p.not()
	if err != nil {
		return n, err
	}
	of, err := n.asPredicate()
	if err != nil {
		return n, err
	}
	return node{predicate: &notNode{of}, column: column}, nil
}

// condition reads an expression and what may follow it: a comparison, IS, IN or LIKE.
func (p *parser) condition() (node, error) {
	if p.peek().kind == tokenKeyword && p.peek().text == "EXISTS" {
		return p.exists()
	}
	left, err := p.sum()
	if err != nil {
		return left, err
	}
	t := p.peek()
	done := func(c predicate) (node, error) { return node{predicate: c, column: left.column}, nil }
	if t.kind == tokenSymbol && strings.Contains(" = <> != > >= < <= ", " "+t.text+" ") {
		p.next()
		a, b, err := p.pair(left)
		if err != nil {
			return left, err
		}
		op := t.text
		if op == "!=" {
			op = "<>"
		}
		return done(&compare{op: op, left: a, right: b, column: t.column})
	}
	if t.kind != tokenKeyword || t.text != "IS" && t.text != "NOT" && t.text != "IN" && t.text != "LIKE" {
		return left, nil
	}
	of, err := left.asExpression()
	if err != nil {
		return left, err
	}
	if p.accept("IS") {
		c, err := p.isNull(of, left.column)
		if err != nil {
			return left, err
		}
		return done(c)
	}
	not := p.accept("NOT")
	var c predicate
	switch {
	case p.accept("IN"):
		c, err = p.in(of, not)
	case p.accept("LIKE"):
		c, err = p.like(of, not, t.column)
	default:
		err = p.unexpected("IN or LIKE")
	}
	if err != nil {
		return left, err
	}
	return done(c)
}

// pair is the left side as an expression and a right side read now.
func (p *parser) pair(left node) (expression, expression, error) {
	a, err := left.asExpression()
	if err != nil {
		return nil, nil, err
	}
	b, err := p.operand()
	return a, b, err
}

func (p *parser) operand() (expression, error) {
	n, err := p.sum()
	if err != nil {
		return nil, err
	}
	return n.asExpression()
}

func (p *parser) exists() (node, error) {
	column := p.next().column
	if err := p.expect("("); err != nil {
		return node{}, err
	}
	of, err := p.property()
	if err != nil {
		return node{}, err
	}
	return node{predicate: &exists{of}, column: column}, p.expect(")")
}

func (p *parser) isNull(of expression, column int) (predicate, error) {
	switch of.(type) {
	case *property, *lookup:
	default:
		return nil, &SyntaxError{Column: column, Reason: "only a property can be tested with IS NULL"}
	}
	c := &isNull{of: of, not: p.accept("NOT")}
	return c, p.expect("NULL")
}

func (p *parser) in(of expression, not bool) (predicate, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	c := &inList{of: of, not: not}
	for {
		e, err := p.operand()
		if err != nil {
			return nil, err
		}
		c.list = append(c.list, e)
		if !p.accept(",") {
			return c, p.expect(")")
		}
	}
}

func (p *parser) like(of expression, not bool, column int) (predicate, error) {
	pattern, err := p.operand()
	if err != nil {
		return nil, err
	}
	c := &like{of: of, pattern: pattern, not: not, column: column}
	if p.accept("ESCAPE") {
		c.escape, err = p.operand()
	}
	return c, err
}

func (p *parser) sum() (node, error)     { return p.chain("+-", p.product) }
func (p *parser) product() (node, error) { return p.chain("*/%", p.unary) }

// chain reads operands joined by operators of one precedence, from the left.
func (p *parser) chain(operators string, operand func() (node, error)) (node, error) {
	left, err := operand()
	if err != nil {
		return left, err
	}
	for {
		t := p.peek()
		if t.kind != tokenSymbol || len(t.text) != 1 || !strings.Contains(operators, t.text) {
			return left, nil
		}
		p.next()
		a, err := left.asExpression()
		if err != nil {
			return left, err
		}
		right, err := operand()
		if err != nil {
			return left, err
		}
		b, err := right.asExpression()
		if err != nil {
			return left, err
		}
		left = node{expression: &arithmetic{op: t.text[0], left: a, right: b, column: t.column}, column: left.column}
	}
}

func (p *parser) unary() (node, error) {
	column := p.peek().column
	minus := p.accept("-")
	if !minus && !p.accept("+") {
		return p.primary()
	}
	if err := p.deeper(); err != nil {
		return node{}, err
	}
	defer p.up()
	n, err := p.unary()
	if err != nil {
		return n, err
	}
	of, err := n.asExpression()
	return node{expression: &negate{of: of, minus: minus, column: column}, column: column}, err
}

func (p *parser) primary() (node, error) {
	t := p.peek()
	value := func(e expression) (node, error) {
		p.next()
		return node{expression: e, column: t.column}, nil
	}
	switch t.kind {
	case tokenText:
		return value(textConstant(t.text))
	case tokenInteger:
		n, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil {
			return node{}, &SyntaxError{Column: t.column, Reason: "the number does not fit into 64 bits"}
		}
		return value(&constant{of: n, text: t.text})
	case tokenFloat:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return node{}, &SyntaxError{Column: t.column, Reason: "the number is out of range"}
		}
		return value(floatConstant(f))
	case tokenParameter:
		v, ok := p.parameters[strings.ToLower(t.text)]
		if !ok {
			return node{}, &SyntaxError{Column: t.column, Reason: fmt.Sprintf("there is no parameter @%s", t.text)}
		}
		return value(&parameter{name: t.text, of: v})
	case tokenKeyword:
		switch t.text {
		case "TRUE", "FALSE":
			return value(&constant{of: t.text == "TRUE", text: t.text})
		case "NULL":
			return value(&constant{text: t.text})
		}
	case tokenName:
		if after := p.tokens[p.at+1]; after.kind == tokenSymbol && after.text == "(" {
			return p.function()
		}
		fallthrough
	case tokenDelimited:
		of, err := p.property()
		return node{expression: of, column: t.column}, err
	case tokenSymbol:
		if p.accept("(") {
			return p.parentheses(t.column)
		}
	}
	return node{}, p.unexpected("a value")
}

func (p *parser) parentheses(column int) (node, error) {
	if err := p.deeper(); err != nil {
		return node{}, err
	}
	defer p.up()
	n, err := p.or()
	if err != nil {
		return n, err
	}
	n.column = column
	return n, p.expect(")")
}

func (p *parser) function() (node, error) {
	t := p.next()
	p.next() // the parenthesis, which primary has seen
	switch strings.ToLower(t.text) {
	case "newid":
		return node{expression: newID{}, column: t.column}, p.expect(")")
	case "property", "p":
		if err := p.deeper(); err != nil {
			return node{}, err
		}
		defer p.up()
		name, err := p.operand()
		if err != nil {
			return node{}, err
		}
		return node{expression: &lookup{name: name, column: t.column}, column: t.column}, p.expect(")")
	}
	return node{}, &SyntaxError{Column: t.column, Reason: fmt.Sprintf("there is no function %q", t.text)}
}

// property reads [scope.]name.
func (p *parser) property() (*property, error) {
	t := p.peek()
	if t.kind != tokenName && t.kind != tokenDelimited {
		return nil, p.unexpected("a property")
	}
	p.next()
	if !p.accept(".") {
		return &property{name: t.text}, nil
	}
	scope := strings.ToLower(t.text)
	if t.kind != tokenName || scope != "sys" && scope != "user" {
		return nil, &SyntaxError{Column: t.column,
			Reason: fmt.Sprintf("the scope of a property must be sys or user, is %v", t)}
	}
	name := p.peek()
	if name.kind != tokenName && name.kind != tokenDelimited {
		return nil, p.unexpected("a property")
	}
	p.next()
	if scope == "user" {
		return &property{name: name.text}, nil
	}
	system, ok := systemProperties[strings.ToLower(name.text)]
	if !ok {
		return nil, &SyntaxError{Column: name.column, Reason: fmt.Sprintf("there is no system property %q", name.text)}
	}
	return &property{system: system, name: system.name}, nil
}
