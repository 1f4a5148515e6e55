package config

import (
	"fmt"
	"strings"
)

// A Problem is one thing that is wrong, or probably wrong, with the file.
type Problem struct {
	File   string // as it was named to Load
	Line   int    // from 1; 0 when the file as a whole is meant
	Column int    // from 1, in characters
	Path   string // the key, as in routes[2].retry.total; empty for the file as a whole
	What   string // what is wrong
	Fix    string // what to write instead
}

// String returns the problem as file:line:column: path: what is wrong; what to write instead.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems is the error of Load: everything that is wrong, in file order, never empty.
type Problems []Problem

// Error returns one problem per line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}
