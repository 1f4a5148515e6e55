package userconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxDepth bounds how deep values nest; the format needs 12.
const maxDepth = 64

// node is one JSON value and where it stands.
type node struct {
	at    int // offset in bytes
	path  string
	value any // nil, bool, json.Number, string, []*node or []member
}

type member struct {
	name  string
	at    int // of the name
	value *node
}

// scanner reads JSON into nodes. encoding/json alone does not tell where a value was.
type scanner struct {
	data []byte
	d    *json.Decoder
}

// scan reads one JSON document; the error is a *Problem.
func scan(data []byte) (*node, error) {
	s := &scanner{data: data, d: json.NewDecoder(bytes.NewReader(data))}
	s.d.UseNumber()
	n, err := s.next("", 0)
	if err != nil {
		return nil, err
	}
	end := s.start()
	if _, err := s.d.Token(); !errors.Is(err, io.EOF) {
		return nil, s.fail(end, "the end of the file expected")
	}
	return n, nil
}

// start is where the next token begins.
func (s *scanner) start() int {
	at := int(s.d.InputOffset())
	for at < len(s.data) && bytes.IndexByte([]byte(" \t\r\n,:"), s.data[at]) >= 0 {
		at++
	}
	return at
}

func (s *scanner) fail(at int, format string, args ...any) error {
	line, column := place(s.data, at)
	return &Problem{Line: line, Column: column, Reason: fmt.Sprintf(format, args...)}
}

func (s *scanner) token() (json.Token, int, error) {
	at := s.start()
	t, err := s.d.Token()
	if err == nil {
		return t, at, nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, at, s.fail(max(at, int(syntax.Offset)-1), "not valid JSON: %v", err)
	}
	return nil, at, s.fail(len(s.data), "not valid JSON: the file ends too early")
}

func (s *scanner) next(path string, depth int) (*node, error) {
	t, at, err := s.token()
	if err != nil {
		return nil, err
	}
	n := &node{at: at, path: path, value: t}
	bracket, ok := t.(json.Delim)
	if !ok {
		return n, nil
	}
	if depth >= maxDepth {
		return nil, s.fail(at, "nests deeper than %d levels", maxDepth)
	}
	if bracket == '{' {
		n.value, err = s.members(path, depth)
	} else {
		n.value, err = s.elements(path, depth)
	}
	if err != nil {
		return nil, err
	}
	_, _, err = s.token() // the closing bracket
	return n, err
}

func (s *scanner) members(path string, depth int) ([]member, error) {
	all := []member{}
	for s.d.More() {
		t, at, err := s.token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, s.fail(at, "a name in quotes expected")
		}
		inner := name
		if path != "" {
			inner = path + "." + name
		}
		v, err := s.next(inner, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, member{name, at, v})
	}
	return all, nil
}

func (s *scanner) elements(path string, depth int) ([]*node, error) {
	all := []*node{}
	for s.d.More() {
		v, err := s.next(fmt.Sprintf("%s[%d]", path, len(all)), depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
