package deadletter

import (
	"slices"
	"strings"
	"time"
)

// A Filter selects dead letters. Every field that is set must match; names are compared without regard to case. The
// zero Filter selects all of them.
type Filter struct {
	Reasons      []string // any of these
	Entity       string   // the data entity of F&O
	Company      string
	Session      *string // this session exactly; session IDs differ by case
	MessageID    string  // the current or the original one
	Since, Until time.Time
	From, To     int64 // sequence numbers, both included; To 0 is no bound
}

// Match reports whether the filter selects m.
func (f Filter) Match(m Message) bool {
	isReason := func(r string) bool { return strings.EqualFold(r, m.Reason) }
	switch {
	case len(f.Reasons) > 0 && !slices.ContainsFunc(f.Reasons, isReason):
	case f.Entity != "" && !strings.EqualFold(f.Entity, m.Entity):
	case f.Company != "" && !strings.EqualFold(f.Company, m.Company):
	case f.Session != nil && (m.Session == nil || *m.Session != *f.Session):
	case f.MessageID != "" && f.MessageID != m.MessageID && f.MessageID != m.Key:
	case !f.Since.IsZero() && m.Time().Before(f.Since):
	case !f.Until.IsZero() && m.Time().After(f.Until):
	case m.SequenceNumber < f.From:
	case f.To > 0 && m.SequenceNumber > f.To:
	default:
		return true
	}
	return false
}

// Everything reports whether the filter selects all dead letters there are.
func (f Filter) Everything() bool {
	return len(f.Reasons) == 0 && f.Entity == "" && f.Company == "" && f.Session == nil && f.MessageID == "" &&
		f.Since.IsZero() && f.Until.IsZero() && f.From == 0 && f.To == 0
}
