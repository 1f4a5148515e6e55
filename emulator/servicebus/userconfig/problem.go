package userconfig

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line, Column int    // from 1, the column in characters
	Path         string // as in UserConfig.Namespaces[0].Queues[1].Name; "" for the file
	Reason       string
}

// Error returns place, path and reason in one line.
func (p *Problem) Error() string {
	if p.Path == "" {
		return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Reason)
	}
	return fmt.Sprintf("%d:%d: %s: %s", p.Line, p.Column, p.Path, p.Reason)
}

// place is line and column of an offset in bytes.
func place(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	line = 1 + bytes.Count(before, []byte("\n"))
	column = 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return line, column
}
