package rules

import (
	"fmt"
	"math"
	"strings"

	"fnobridge/emulator/servicebus/amqp"
)

// statement is one SET or REMOVE of an action.
type statement struct {
	target *property
	to     expression // nil: REMOVE
	column int
}

// parseAction reads a whole action: statements, each with an optional semicolon.
func parseAction(text string, parameters map[string]any) ([]statement, error) {
	p, err := newParser(text, parameters)
	if err != nil {
		return nil, err
	}
	var all []statement
	for len(all) == 0 || p.peek().kind != tokenEnd {
		s, err := p.statement()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		p.accept(";")
	}
	return all, nil
}

func (p *parser) statement() (statement, error) {
	s := statement{column: p.peek().column}
	set := p.accept("SET")
	if !set && !p.accept("REMOVE") {
		return s, p.unexpected("SET or REMOVE")
	}
	column := p.peek().column
	var err error
	if s.target, err = p.property(); err != nil {
		return s, err
	}
	if s.target.system != nil && s.target.system.set == nil {
		return s, &SyntaxError{Column: column, Reason: fmt.Sprintf("the system property %q cannot be changed", s.target.name)}
	}
	if !set {
		return s, nil
	}
	if err := p.expect("="); err != nil {
		return s, err
	}
	s.to, err = p.operand()
	return s, err
}

func (s statement) print(b *strings.Builder) {
	if s.to == nil {
		b.WriteString("REMOVE ")
		s.target.print(b)
		return
	}
	b.WriteString("SET ")
	s.target.print(b)
	b.WriteString(" = ")
	s.to.print(b)
}

func (s statement) apply(m *Message) error {
	if s.to == nil {
		if s.target.system != nil {
			s.target.system.set(m, nil)
			return nil
		}
		m.remove(s.target.name)
		return nil
	}
	v, err := s.to.value(m)
	if err != nil {
		return err
	}
	if s.target.system != nil {
		if !s.target.system.set(m, v) {
			return evaluationf(s.column, "sys.%s cannot be %s", s.target.name, kindOf(v))
		}
		return nil
	}
	m.set(s.target.name, v)
	return nil
}

func (m *Message) remove(name string) {
	if i := m.find(name); i >= 0 {
		m.Application = append(m.Application[:i:i], m.Application[i+1:]...)
	}
}

// set gives an application property a value: as the type it already has if the value fits, else as the type of the
// value.
func (m *Message) set(name string, v any) {
	i := m.find(name)
	if i < 0 {
		m.Application = append(m.Application[:len(m.Application):len(m.Application)],
			amqp.Pair{Key: name, Value: wire(v, nil)})
		return
	}
	m.Application[i].Value = wire(v, m.Application[i].Value)
}

// wire is v as a type of the wire, like the value it replaces if that is possible.
func wire(v, like any) any {
	if n, ok := v.(int64); ok {
		switch like.(type) {
		case int8:
			if n == int64(int8(n)) {
				return int8(n)
			}
		case int16:
			if n == int64(int16(n)) {
				return int16(n)
			}
		case int32:
			if n == int64(int32(n)) {
				return int32(n)
			}
		case uint8:
			if n == int64(uint8(n)) {
				return uint8(n)
			}
		case uint16:
			if n == int64(uint16(n)) {
				return uint16(n)
			}
		case uint32:
			if n == int64(uint32(n)) {
				return uint32(n)
			}
		case uint64:
			if n >= 0 {
				return uint64(n)
			}
		case float32:
			return float32(n)
		case float64:
			return float64(n)
		}
	}
	switch x := v.(type) {
	case float64:
		if _, ok := like.(float32); ok && (math.IsInf(x, 0) || math.Abs(x) <= math.MaxFloat32) {
			return float32(x)
		}
	case interface{ UnixMilli() int64 }:
		return amqp.Timestamp(x.UnixMilli())
	case interface{ Milliseconds() int64 }:
		return x.Milliseconds()
	}
	return v
}
