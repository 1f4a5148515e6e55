package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// A format is how a command writes its data.
type format string

// The formats. Field names of the JSON formats are stable, times are RFC 3339 in UTC, durations are texts.
const (
	formatTable format = "table" // for people
	formatJSON  format = "json"  // one document
	formatJSONL format = "jsonl" // one object per line, as they come
)

// outputFlag adds -o with the formats the command has; the first is the default.
func outputFlag(cmd *cobra.Command, f *format, formats ...format) {
	names := make([]string, len(formats))
	for i := range formats {
		names[i] = string(formats[i])
	}
	*f = formats[0]
	cmd.Flags().VarP(&formatValue{f, names}, "output", "o", "`FORMAT` of the output: "+strings.Join(names, ", "))
	complete(cmd, "output", names...)
}

// formatValue is the value of -o: anything but the command's formats is an error of usage.
type formatValue struct {
	f     *format
	names []string
}

func (v *formatValue) String() string { return string(*v.f) }
func (v *formatValue) Type() string   { return "format" }
func (v *formatValue) Set(s string) error {
	if !slices.Contains(v.names, s) {
		return fmt.Errorf("must be one of %s", strings.Join(v.names, ", "))
	}
	*v.f = format(s)
	return nil
}

// writeJSON writes one document, indented.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return written(e.Encode(v))
}

// writeLine writes one object on one line.
func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return written(e.Encode(v))
}

// writeRows writes a list that is complete; table writes it for people.
func writeRows[T any](w io.Writer, f format, rows []T, table func() error) error {
	switch f {
	case formatJSON:
		return writeJSON(w, rows)
	case formatJSONL:
		for _, r := range rows {
			if err := writeLine(w, r); err != nil {
				return err
			}
		}
		return nil
	}
	return table()
}

func written(err error) error {
	if err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// A table aligns rows of columns. It keeps the first error, so that only flush must be checked.
type table struct {
	w   *tabwriter.Writer
	err error
}

// newTable begins a table; the head is left out when there is none.
func newTable(w io.Writer, head ...string) *table {
	t := &table{w: tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	if _, err := fmt.Fprintln(t.w, strings.Join(cells, "\t")); t.err == nil {
		t.err = err
	}
}

// first returns the label for the first of several rows, and a blank for the others.
func first(i int, label string) string {
	if i > 0 {
		return " "
	}
	return label
}

// flush writes the table.
func (t *table) flush() error {
	if t.err == nil {
		t.err = t.w.Flush()
	}
	return written(t.err)
}

// printable replaces what could move the cursor in texts that others wrote: file names, entities, errors of F&O.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// interactive reports whether a stream is a terminal that understands colors and cursor movement.
func (a *app) interactive(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.env.get("NO_COLOR") == "" && a.env.get("TERM") != "dumb"
}

// counted returns "1 file", "2 files".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// quoted returns a text in quotes, with what cannot be printed escaped.
func quoted(s string) string { return strconv.Quote(s) }

// A printer writes lines and remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	p.keep(written(err))
}

// text writes what others wrote, line by line.
func (p *printer) text(s string) {
	for line := range strings.Lines(s) {
		p.line("%s", printable(strings.TrimRight(line, "\r\n")))
	}
}

// keep remembers an error of what was written otherwise.
func (p *printer) keep(err error) {
	if p.err == nil {
		p.err = err
	}
}

// note writes a line to stderr, for a person: stdout is for data.
func (a *app) note(format string, args ...any) {
	_, _ = fmt.Fprintf(a.stderr, format+"\n", args...) // nobody to tell when stderr is gone
}
