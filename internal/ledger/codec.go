package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Version is the version this bridge writes and the newest it reads.
const Version = 1

// MaxBytes bounds an encoded ledger. Service Bus takes one message's worth (256 KB on Standard); a ledger holds a few
// entries of some hundred bytes, so anything near this bound is a defect that must not grow.
const MaxBytes = 64 << 10

// ErrNewer says that a newer bridge wrote the session state. It is left as it is: a replica of that release can go on
// with it.
var ErrNewer = errors.New("the session state was written by a newer bridge")

// ErrCorrupt says that the session state is not a ledger. It is left as it is: nobody guesses what was posted.
var ErrCorrupt = errors.New("the session state is not a ledger of this bridge")

// Encode returns the bytes to store; nil for a ledger that says nothing. It refuses one that is too large, or in which a
// transition was made that the table does not have.
func (l *Ledger) Encode() ([]byte, error) {
	known := *l
	known.Version, known.Files = Version, nil
	for _, e := range l.Files {
		if e.wrong != nil {
			return nil, fmt.Errorf("write ledger: %w", e.wrong)
		}
		if e.Phase != New {
			known.Files = append(known.Files, e)
		}
	}
	if known.Watermark == 0 && len(known.Files) == 0 && known.Park == nil && known.Doubt == 0 {
		return nil, nil
	}
	b, err := json.Marshal(&known)
	if err != nil {
		return nil, fmt.Errorf("write ledger: %w", err)
	}
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("write ledger: %d bytes for %d files is over the bound of %d", len(b), len(known.Files), MaxBytes)
	}
	return b, nil
}

// Decode reads session state. No bytes are an empty ledger. Errors wrap ErrNewer or ErrCorrupt.
func Decode(state []byte) (*Ledger, error) {
	if len(state) == 0 {
		return &Ledger{Version: Version}, nil
	}
	var v struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(state, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if v.Version > Version {
		return nil, fmt.Errorf("%w: version %d, this one reads up to %d", ErrNewer, v.Version, Version)
	}
	var l Ledger
	if err := json.Unmarshal(state, &l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return &l, nil
}

// check refuses what no bridge would have written.
func (l *Ledger) check() error {
	switch {
	case l.Version < 1:
		return errors.New("no version")
	case l.Watermark < 0 || l.Doubt < 0:
		return errors.New("a count below zero")
	}
	last := int64(-1)
	for _, e := range l.Files {
		if e == nil {
			return errors.New("a file that is null")
		}
		if e.Seq <= last {
			return fmt.Errorf("file %d after file %d", e.Seq, last)
		}
		last = e.Seq
		switch e.Phase {
		case Posting, Waiting, Held, Dead, Settled:
		case InFno:
			if e.FnoID == "" {
				return fmt.Errorf("file %d is enqueued without a message ID", e.Seq)
			}
		default:
			return fmt.Errorf("file %d is in phase %q", e.Seq, e.Phase)
		}
	}
	if l.Park != nil && l.Park.Mode != Holding && l.Park.Mode != Draining {
		return fmt.Errorf("park mode %q", l.Park.Mode)
	}
	return nil
}

// Cut keeps a text short enough for the ledger, on a rune boundary and without control characters, each of which JSON
// would write as six bytes.
func Cut(s string) string {
	const most = 500
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}
