package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	tokenEnd kind = iota
	tokenName
	tokenKeyword   // text is in upper case
	tokenDelimited // [name] or "name"; text is without the delimiters
	tokenText      // 'text'; text is without the quotes
	tokenInteger
	tokenFloat
	tokenParameter // text is without the @
	tokenSymbol    // operator or punctuation
)

type token struct {
	kind   kind
	text   string
	column int
}

// keywords cannot be property names unless they are delimited.
var keywords = map[string]bool{
	"AND": true, "OR": true, "NOT": true, "IN": true, "LIKE": true, "ESCAPE": true, "IS": true, "NULL": true,
	"EXISTS": true, "TRUE": true, "FALSE": true, "SET": true, "REMOVE": true,
}

func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenText:
		return "'" + t.text + "'"
	case tokenParameter:
		return "@" + t.text
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer cuts an expression into tokens.
type lexer struct {
	rest   string
	column int
}

// scan returns all tokens, the last one a tokenEnd.
func scan(text string) ([]token, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{Column: 1, Reason: "is not valid UTF-8"}
	}
	l := &lexer{rest: text, column: 1}
	var all []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if t.kind == tokenEnd {
			return all, nil
		}
	}
}

// take cuts n bytes off the rest.
func (l *lexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	l.column += utf8.RuneCountInString(s)
	return s
}

// span is the length in bytes of the characters at the beginning of s that ok accepts.
func span(s string, ok func(rune) bool) int {
	if i := strings.IndexFunc(s, func(r rune) bool { return !ok(r) }); i >= 0 {
		return i
	}
	return len(s)
}

func nameRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.Is(unicode.Nd, r) }
func digit(r rune) bool    { return r >= '0' && r <= '9' }

func (l *lexer) next() (token, error) {
	l.take(span(l.rest, unicode.IsSpace))
	t := token{column: l.column}
	if l.rest == "" {
		return t, nil
	}
	first, size := utf8.DecodeRuneInString(l.rest)
	switch {
	case unicode.IsLetter(first):
		t.kind, t.text = tokenName, l.take(span(l.rest, nameRune))
		if upper := strings.ToUpper(t.text); keywords[upper] {
			t.kind, t.text = tokenKeyword, upper
		}
		return t, nil
	case digit(first):
		return l.number(t)
	case first == '\'':
		return l.quoted(t, tokenText, '\'')
	case first == '"':
		return l.quoted(t, tokenDelimited, '"')
	case first == '[':
		return l.quoted(t, tokenDelimited, ']')
	case first == '@':
		n := span(l.rest[1:], nameRune)
		if n == 0 {
			return t, &SyntaxError{Column: t.column, Reason: "a parameter name is missing after @"}
		}
		t.kind, t.text = tokenParameter, l.take(1 + n)[1:]
		return t, nil
	}
	t.kind = tokenSymbol
	for _, two := range []string{"<>", "!=", "<=", ">="} {
		if strings.HasPrefix(l.rest, two) {
			t.text = l.take(2)
			return t, nil
		}
	}
	if !strings.ContainsRune("=<>+-*/%(),.;", first) {
		return t, &SyntaxError{Column: t.column, Reason: fmt.Sprintf("unexpected character %q", first)}
	}
	t.text = l.take(size)
	return t, nil
}

// number reads 12, 12.5 and 12.5E-3.
func (l *lexer) number(t token) (token, error) {
	t.kind = tokenInteger
	n := span(l.rest, digit)
	if n+1 < len(l.rest) && l.rest[n] == '.' && digit(rune(l.rest[n+1])) {
		t.kind = tokenFloat
		n += 1 + span(l.rest[n+1:], digit)
	}
	if n < len(l.rest) && (l.rest[n] == 'e' || l.rest[n] == 'E') {
		m := n + 1
		if m < len(l.rest) && (l.rest[m] == '+' || l.rest[m] == '-') {
			m++
		}
		if d := span(l.rest[m:], digit); d > 0 {
			t.kind = tokenFloat
			n = m + d
		}
	}
	t.text = l.take(n)
	if r, _ := utf8.DecodeRuneInString(l.rest); nameRune(r) && r != utf8.RuneError {
		return t, &SyntaxError{Column: l.column, Reason: fmt.Sprintf("unexpected character %q in a number", r)}
	}
	return t, nil
}

// quoted reads a text up to its closing delimiter, which is doubled inside it.
func (l *lexer) quoted(t token, k kind, end byte) (token, error) {
	t.kind = k
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		if l.rest[i] != end {
			b.WriteByte(l.rest[i])
			continue
		}
		if i+1 < len(l.rest) && l.rest[i+1] == end {
			b.WriteByte(end)
			i++
			continue
		}
		l.take(i + 1)
		t.text = b.String()
		if k == tokenDelimited && t.text == "" {
			return t, &SyntaxError{Column: t.column, Reason: "a delimited name must not be empty"}
		}
		return t, nil
	}
	return t, &SyntaxError{Column: t.column, Reason: fmt.Sprintf("the closing %c is missing", end)}
}
