package dynamics

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"fnobridge/internal/failure"
)

// An ExecutionError is one record that F&O refused.
type ExecutionError struct {
	RecordID string // F&O's record ID in staging; may be empty
	Field    string // may be empty
	Message  string // what F&O said, trimmed
}

// UnmarshalJSON reads F&O's form: {"RecordId":"479625","Field":"","ErrorMessage":"…\r\n"}. The record ID has been seen as
// a string; a number is taken too.
func (e *ExecutionError) UnmarshalJSON(b []byte) error {
	var raw struct {
		RecordID     any `json:"RecordId"`
		Field        string
		ErrorMessage string
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return fmt.Errorf("execution error: %w", err)
	}
	*e = ExecutionError{Field: strings.TrimSpace(raw.Field), Message: strings.TrimSpace(raw.ErrorMessage)}
	if raw.RecordID != nil {
		e.RecordID = strings.TrimSpace(fmt.Sprint(raw.RecordID))
	}
	return nil
}

// String returns one line: record 479625, field CUSTGROUP: the value …
func (e ExecutionError) String() string {
	var where []string
	if e.RecordID != "" {
		where = append(where, "record "+e.RecordID)
	}
	if e.Field != "" {
		where = append(where, "field "+e.Field)
	}
	message := failure.Tidy(cmp.Or(e.Message, "no message"), maxDetail)
	if len(where) == 0 {
		return message
	}
	return strings.Join(where, ", ") + ": " + message
}

// Describe says in words which records failed and why, one line for each. It is empty when there are none.
func Describe(errs []ExecutionError) string {
	lines := make([]string, len(errs))
	for i, e := range errs {
		lines[i] = e.String()
	}
	return strings.Join(lines, "\n")
}

// DescribeWithin is Describe in at most limit bytes: whole lines, and a last one that says how many were left out. A first
// line that alone is too long is cut.
func DescribeWithin(errs []ExecutionError, limit int) string {
	full := Describe(errs)
	if len(full) <= limit {
		return full
	}
	var b strings.Builder
	for i, e := range errs {
		line := e.String()
		note := fmt.Sprintf("… and %d more", len(errs)-i-1)
		if i > 0 && b.Len()+1+len(line)+1+len(note) > limit {
			rest := fmt.Sprintf("\n… and %d more", len(errs)-i)
			if b.Len()+len(rest) <= limit {
				b.WriteString(rest)
			}
			break
		}
		if i == 0 {
			room := limit
			if len(errs) > 1 {
				room = max(0, limit-len(note)-1)
			}
			b.WriteString(failure.Cut(line, room))
			continue
		}
		b.WriteString("\n" + line)
	}
	return failure.Cut(b.String(), limit)
}

// maxDescribed bounds the execution errors in the Detail of an import failure, in bytes. Whoever wants all of them has
// them from ExecutionErrors.
const maxDescribed = 4000

// ImportFailure returns the failure that a final status and its errors mean; nil for a status that is not final or that is
// OK. errs may be empty: F&O has none to show for malformed files and after its staging tables were cleaned.
//
// repeatable says that a second import of the same file does no harm.
func ImportFailure(s Status, errs []ExecutionError, repeatable bool) *failure.Failure {
	r, failed := ruleImport(s.State, errs, repeatable)
	if !failed {
		return nil
	}
	what := DescribeWithin(errs, maxDescribed)
	if what == "" {
		what = "F&O said " + s.Raw + " and named no record: see the execution's summary page and log in F&O"
	}
	return &failure.Failure{
		Verdict: r.verdict,
		Reason:  r.reason,
		Op:      "import",
		Detail:  what,
	}
}
