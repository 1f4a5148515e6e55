package history

import (
	"fmt"
	"strings"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// A Mode is what must have happened to a file before the next of its session may be posted.
type Mode string

// The modes, as a route's order names them.
const (
	Processed Mode = "processed" // it has ended
	Enqueued  Mode = "enqueued"  // F&O has taken it
)

// A History is everything that is known about a run, over when it is checked. The lists may be in any order: the
// indices in the records are what counts.
type History struct {
	Sent         []Sent
	Recorded     []Recorded
	Events       []Event
	DeadLettered []DeadLettered
	Remaining    []string        // message IDs still in their queue, or held
	Mode         Mode            // of sessions that Modes does not name; default Processed
	Modes        map[string]Mode // by session
	Repeatable   bool            // the routes say that a second import of a file does no harm
}

// Sent is a file as its producer sent it.
type Sent struct {
	Session   string
	Index     int    // its place among the files of the session; only the order counts
	MessageID string // the key of the file, unique in the history
	Hash      string // of the bytes that F&O should get, as in Recorded; empty: unknown, as with a wrapped file
}

// Recorded is an import as F&O recorded it.
type Recorded struct {
	ExternalID string    // the MessageID of the file
	MessageID  string    // F&O's own ID, by which events name the import
	Hash       string    // empty: not recorded
	Order      int       // acceptance order over all imports
	Accepted   time.Time // by F&O's clock, like Ended
	Ended      time.Time // zero: it never ended
	Status     string    // F&O's word for how it ended
}

// Event is a status event as a subscriber received it. Those of environments and of exports are not checked.
type Event struct {
	ID           string
	Session      string
	MessageID    string // of the file
	Status       status.Status
	Reason       failure.Reason
	FnoMessageID string
	Order        int // order of arrival over all events
}

// FromEvent returns a received status event as the checker takes it.
func FromEvent(e status.Event, order int) Event {
	return Event{
		ID: e.ID(), Session: e.Session, MessageID: e.MessageID, Status: e.Status, Reason: e.Reason,
		FnoMessageID: e.FnoMessageID, Order: order,
	}
}

// DeadLettered is a file found in the dead-letter queue.
type DeadLettered struct {
	MessageID string
	Reason    failure.Reason
}

// A Kind names what a finding is about; it is the JSON name of its count in the report.
type Kind string

// The kinds of findings.
const (
	Lost                  Kind = "lost"
	Duplicated            Kind = "duplicated"
	OutOfOrder            Kind = "outOfOrder"
	Altered               Kind = "altered"
	Contradicted          Kind = "contradicted"
	MissingTransitions    Kind = "missingTransitions"
	TransitionsOutOfOrder Kind = "transitionsOutOfOrder"
	DuplicatedEvents      Kind = "duplicatedEvents"
	Foreign               Kind = "foreign"
	Malformed             Kind = "malformed"
)

// A Finding is one fault, for a person.
type Finding struct {
	Kind      Kind   `json:"kind"`
	Session   string `json:"session,omitempty"`
	MessageID string `json:"messageId,omitempty"`
	What      string `json:"what"`
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: session %q, file %q: %s", f.Kind, f.Session, f.MessageID, f.What)
}

// A Report counts what was found. Every count but the last three should be zero.
type Report struct {
	Files                 int `json:"files"`
	Processed             int `json:"processed"`    // F&O processed it, at least once
	DeadLettered          int `json:"deadLettered"` // files in the dead-letter queue
	Lost                  int `json:"lost"`
	Duplicated            int `json:"duplicated"`
	OutOfOrder            int `json:"outOfOrder"`
	Altered               int `json:"altered"`
	Contradicted          int `json:"contradicted"`
	MissingTransitions    int `json:"missingTransitions"`
	TransitionsOutOfOrder int `json:"transitionsOutOfOrder"`
	DuplicatedEvents      int `json:"duplicatedEvents"`
	Foreign               int `json:"foreign"`
	Malformed             int `json:"malformed"`

	Unknown            int `json:"unknown"`            // files with a reported unknown outcome
	DuplicatedReported int `json:"duplicatedReported"` // imports too many, excused by such a report
	Pending            int `json:"pending"`            // files still in their queue

	Details []Finding `json:"details,omitempty"` // every finding, in the order of the sessions and files sent
}

// OK reports whether every promise was kept.
func (r Report) OK() bool { return len(r.Details) == 0 }

// Error lists the findings, one per line; empty when there are none. At most limit lines, 0 for all.
func (r Report) Error(limit int) string {
	var b strings.Builder
	for i, f := range r.Details {
		if limit > 0 && i == limit {
			fmt.Fprintf(&b, "... and %d more\n", len(r.Details)-i)
			break
		}
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

func (r *Report) add(k Kind, session, id, format string, args ...any) {
	r.Details = append(r.Details, Finding{k, session, id, fmt.Sprintf(format, args...)})
	switch k {
	case Lost:
		r.Lost++
	case Duplicated:
		r.Duplicated++
	case OutOfOrder:
		r.OutOfOrder++
	case Altered:
		r.Altered++
	case Contradicted:
		r.Contradicted++
	case MissingTransitions:
		r.MissingTransitions++
	case TransitionsOutOfOrder:
		r.TransitionsOutOfOrder++
	case DuplicatedEvents:
		r.DuplicatedEvents++
	case Foreign:
		r.Foreign++
	case Malformed:
		r.Malformed++
	}
}
