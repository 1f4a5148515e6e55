package dynamics

import (
	"encoding/json"
	"regexp"
	"strings"
)

// maxErrors bounds how many of the records that F&O refused are kept. A file of which more fail is read in F&O.
const maxErrors = 10_000

// maxMessage bounds what is kept of the words about one record, in bytes.
const maxMessage = 4000

// parseExecutionErrors reads the value of GetExecutionErrors: a string that is meant to hold a JSON list. F&O writes it
// without escaping what it quotes, so quotation marks and line breaks of a message break it; then it is taken apart at
// its records. Nothing is lost by that: what is no record at all is one error without a record.
//
// Source: Fo.Api (ConvertFrom-FoExecutionErrors), measured there on a result of 3,506 records.
func parseExecutionErrors(raw string) []ExecutionError {
	raw = strings.TrimSpace(raw)
	if raw == "" || raw == "[]" || raw == "null" {
		return nil
	}
	var errs []ExecutionError
	if json.Unmarshal([]byte(raw), &errs) != nil {
		errs = takeApart(raw)
	}
	errs = errs[:min(len(errs), maxErrors)]
	for i := range errs {
		errs[i].Message = cutMessage(errs[i].Message)
	}
	return errs
}

// recordStart is where a record begins: its first field follows the brace.
var recordStart = regexp.MustCompile(`\{\s*"RecordId"\s*:\s*`)

// The fields after the record's ID, of which the last holds what breaks the list.
var (
	fieldPart   = regexp.MustCompile(`,\s*"Field"\s*:\s*`)
	messagePart = regexp.MustCompile(`,\s*"ErrorMessage"\s*:\s*`)
)

func takeApart(raw string) []ExecutionError {
	starts := recordStart.FindAllStringIndex(raw, maxErrors+1)
	if len(starts) == 0 {
		return []ExecutionError{{Message: strings.TrimSpace(raw)}}
	}
	var errs []ExecutionError
	for i, at := range starts[:min(len(starts), maxErrors)] {
		end := len(raw)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		errs = append(errs, readRecord(raw[at[1]:end]))
	}
	return errs
}

// readRecord reads one record from behind the name of its first field to the beginning of the next record.
func readRecord(s string) ExecutionError {
	s = strings.TrimRight(s, " \t\r\n,]")
	s = strings.TrimSuffix(s, "}")
	var e ExecutionError
	head, message, found := cutAt(s, messagePart)
	id, field, _ := cutAt(head, fieldPart)
	e.RecordID, e.Field = unquoteLoosely(id), unquoteLoosely(field)
	if found {
		e.Message = unquoteLoosely(message)
	}
	return e
}

func cutAt(s string, at *regexp.Regexp) (before, after string, found bool) {
	m := at.FindStringIndex(s)
	if m == nil {
		return s, "", false
	}
	return s[:m[0]], s[m[1]:], true
}

var escapes = strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t", `\"`, `"`, `\/`, "/", `\\`, `\`)

// unquoteLoosely reads a JSON value whose inside may not be escaped.
func unquoteLoosely(s string) string {
	s = strings.TrimSpace(s)
	var text string
	if json.Unmarshal([]byte(s), &text) == nil {
		return strings.TrimSpace(text)
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return strings.TrimSpace(escapes.Replace(s))
}

func cutMessage(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}
