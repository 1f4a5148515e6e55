package dynamics

import (
	"strings"

	"fnobridge/internal/status"
)

// A Status is what F&O says about a message.
type Status struct {
	State status.Status // Unrecognised when this version does not know Raw; empty while F&O does not know the message yet
	Raw   string        // F&O's own word
}

// ParseStatus reads F&O's word. A word that this version does not know is kept in Raw and is not final: it is reported,
// never guessed.
func ParseStatus(raw string) Status {
	raw = strings.TrimSpace(raw)
	return Status{State: status.OfFno(raw), Raw: raw}
}

// Final reports whether the import has ended.
func (s Status) Final() bool { return s.State.Final() }

// OK reports whether the import has ended well.
func (s Status) OK() bool { return s.State == status.Processed }
