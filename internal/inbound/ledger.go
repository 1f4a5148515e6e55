package inbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// LedgerVersion is the version this bridge writes and the newest it reads.
const LedgerVersion = 1

// MaxLedgerBytes bounds an encoded ledger. Service Bus takes one message's worth (256 KB on Standard); a ledger holds a
// few entries of some hundred bytes, so anything near this bound is a defect that must not grow.
const MaxLedgerBytes = 64 << 10

// ErrNewerLedger says that a newer bridge wrote the session state. It is left as it is: a replica of that release can
// go on with it.
var ErrNewerLedger = errors.New("the session state was written by a newer bridge")

// ErrCorruptLedger says that the session state is not a ledger. It is left as it is: nobody guesses what was posted.
var ErrCorruptLedger = errors.New("the session state is not a ledger of this bridge")

// A Phase is how far one file is.
//
//	(none) --> posting --> enqueued --> (gone: settled)
//	              |  ^        |
//	              v  |        v
//	            waiting <-----+   a failed attempt that will be made again
//	              ^           |
//	              |           v
//	              +--------- held    given up while an earlier file holds the session; held in its turn
//
//	any --> dead --> (gone: settled)    given up for good
type Phase string

// The phases.
const (
	Posting   Phase = "posting"  // about to be posted, or posted and not yet answered: after a crash the outcome is unknown
	InFno     Phase = "enqueued" // F&O answered with its message ID: never post again, follow
	Waiting   Phase = "waiting"  // attempts were made, none is under way
	HeldBack  Phase = "held"     // given up behind another held file: held again when its turn comes
	Dead      Phase = "dead"     // given up for good, on its way to the dead-letter queue: never looked at otherwise again
	SettledIn Phase = "settled"  // settled while an earlier file of the window was not; dropped when the watermark passes it
)

// An Entry is what the ledger knows of one file.
type Entry struct {
	Seq       int64          `json:"seq"`
	Key       string         `json:"id,omitempty"` // the producer's message ID
	Phase     Phase          `json:"phase"`
	After     int64          `json:"after,omitempty"` // the intent is void while this sequence number is still in the queue
	By        string         `json:"by,omitempty"`    // the process that wrote the intent
	FnoID     string         `json:"mid,omitempty"`   // F&O's message ID
	ExecID    string         `json:"exec,omitempty"`  // F&O's execution ID
	Published status.Status  `json:"pub,omitempty"`   // the last transition known to be published
	Attempts  int            `json:"n,omitempty"`     // attempts begun
	Base      int            `json:"base,omitempty"`  // attempts before an operator released the file: the bounds count from here
	First     time.Time      `json:"first,omitzero"`  // begin of the first attempt
	Last      time.Time      `json:"last,omitzero"`   // begin of the last attempt
	Accepted  time.Time      `json:"acc,omitzero"`    // when F&O took the file; the route's deadline counts from here
	Reason    failure.Reason `json:"why,omitempty"`   // of the last failed attempt
	Note      string         `json:"note,omitempty"`  // what F&O said of a held or dead file, or who released it
	Unknown   bool           `json:"unk,omitempty"`   // an outcome was unknown and the file was posted again

	// Off is the time since First that counts against no bound: the environment was closed, or F&O had the file.
	Off time.Duration `json:"off,omitempty"`
}

// tries gives the attempts that count against the route's bounds.
func (e Entry) tries() int { return max(0, e.Attempts-e.Base) }

// spent gives the time that counts against the route's bounds, at t.
func (e Entry) spent(t time.Time) time.Duration {
	if e.First.IsZero() {
		return 0
	}
	return max(0, t.Sub(e.First)-e.Off)
}

// accepted notes that F&O has the file.
func (e *Entry) accepted(fnoID string, at time.Time) {
	e.Phase, e.FnoID, e.Accepted = InFno, fnoID, at
	e.By, e.After, e.Reason, e.ExecID, e.Published, e.Note = "", 0, "", "", "", ""
}

// back takes an attempt back that was counted and not made.
func (e *Entry) back() {
	e.Phase, e.By, e.After, e.Attempts = Waiting, "", 0, max(0, e.Attempts-1)
	if e.Attempts == 0 {
		e.First, e.Last, e.Off = time.Time{}, time.Time{}, 0
	}
}

// A Park stops a session at one file (onFailure: hold) or dead-letters the rest behind it (onFailure: drain).
type Park struct {
	Mode   ParkMode       `json:"mode"`
	Seq    int64          `json:"seq"` // the file that failed
	Reason failure.Reason `json:"reason"`
	Detail string         `json:"detail,omitempty"`
	Since  time.Time      `json:"since"`
}

// ParkMode is what a parked session does with its files.
type ParkMode string

// The park modes.
const (
	Holding  ParkMode = "hold"
	Draining ParkMode = "drain"
)

// A Ledger is the session state: what this session did with F&O and has not settled yet. Any replica can go on from it.
type Ledger struct {
	Version int     `json:"v"`
	Settled int64   `json:"settled,omitempty"` // every file up to this sequence number is settled
	Files   []Entry `json:"files,omitempty"`   // in sequence order
	Park    *Park   `json:"park,omitempty"`
	Doubt   int     `json:"doubt,omitempty"` // so many files more may have been posted under a ledger that was lost
}

// Encode gives the bytes to store; nil for a ledger that says nothing.
func (l *Ledger) Encode() ([]byte, error) {
	if l.Settled == 0 && len(l.Files) == 0 && l.Park == nil && l.Doubt == 0 {
		return nil, nil
	}
	l.Version = LedgerVersion
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("write ledger: %w", err)
	}
	if len(b) > MaxLedgerBytes {
		return nil, fmt.Errorf("write ledger: %d bytes for %d files is over the bound of %d", len(b), len(l.Files), MaxLedgerBytes)
	}
	return b, nil
}

// DecodeLedger reads session state. No bytes are an empty ledger. Errors wrap ErrNewerLedger or ErrCorruptLedger.
func DecodeLedger(state []byte) (*Ledger, error) {
	if len(state) == 0 {
		return &Ledger{Version: LedgerVersion}, nil
	}
	var v struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(state, &v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorruptLedger, err)
	}
	if v.Version > LedgerVersion {
		return nil, fmt.Errorf("%w: version %d, this one reads up to %d", ErrNewerLedger, v.Version, LedgerVersion)
	}
	var l Ledger
	if err := json.Unmarshal(state, &l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorruptLedger, err)
	}
	if err := l.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorruptLedger, err)
	}
	return &l, nil
}

// check refuses what no bridge would have written.
func (l *Ledger) check() error {
	switch {
	case l.Version < 1:
		return errors.New("no version")
	case l.Settled < 0 || l.Doubt < 0:
		return errors.New("a count below zero")
	}
	last := int64(-1)
	for _, e := range l.Files {
		if e.Seq <= last {
			return fmt.Errorf("file %d after file %d", e.Seq, last)
		}
		last = e.Seq
		switch e.Phase {
		case Posting, Waiting, HeldBack, Dead, SettledIn:
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

// find gives the entry of a file, nil when there is none. The pointer is good until the next put or settle.
func (l *Ledger) find(seq int64) *Entry {
	i, ok := slices.BinarySearchFunc(l.Files, seq, func(e Entry, seq int64) int { return cmpInt(e.Seq, seq) })
	if !ok {
		return nil
	}
	return &l.Files[i]
}

// put stores the entry in its place.
func (l *Ledger) put(e Entry) {
	i, ok := slices.BinarySearchFunc(l.Files, e.Seq, func(e Entry, seq int64) int { return cmpInt(e.Seq, seq) })
	if ok {
		l.Files[i] = e
		return
	}
	l.Files = slices.Insert(l.Files, i, e)
}

// drop forgets a file that was never posted.
func (l *Ledger) drop(seq int64) {
	l.Files = slices.DeleteFunc(l.Files, func(e Entry) bool { return e.Seq == seq })
}

// settle notes that a file has left its queue, and moves the watermark over everything that is settled in a row. A
// file that is settled before an earlier one is kept as such until the earlier one is.
func (l *Ledger) settle(seq int64) {
	if e := l.find(seq); e != nil {
		*e = Entry{Seq: seq, Phase: SettledIn}
	} else {
		l.put(Entry{Seq: seq, Phase: SettledIn})
	}
	for len(l.Files) > 0 && l.Files[0].Phase == SettledIn {
		l.Settled = max(l.Settled, l.Files[0].Seq)
		l.Files = l.Files[1:]
	}
	if len(l.Files) == 0 {
		l.Files = nil
	}
}

// settled reports whether the file has left its queue before: a redelivery of it only needs completing.
func (l *Ledger) settled(seq int64) bool {
	if e := l.find(seq); e != nil {
		return e.Phase == SettledIn
	}
	return seq <= l.Settled && !l.openBelow(seq)
}

// openBelow reports whether the ledger still holds an unsettled file at or before seq. Files are admitted in order, so
// the watermark only speaks of what lies below all open files.
func (l *Ledger) openBelow(seq int64) bool {
	return len(l.Files) > 0 && l.Files[0].Phase != SettledIn && l.Files[0].Seq <= seq
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// cutDetail keeps texts in the ledger short, on a rune boundary and without control characters, each of which JSON
// would write as six.
func cutDetail(s string) string {
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
