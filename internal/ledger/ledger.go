package ledger

import (
	"cmp"
	"slices"
	"time"

	"fnobridge/internal/failure"
)

// A Park stops a session at one file (onFailure: hold) or dead-letters the rest behind it (onFailure: drain).
type Park struct {
	Mode   ParkMode       `json:"mode"`
	Seq    int64          `json:"seq"` // the file that failed; of several held ones the first
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

// recent is how many settled files a ledger remembers by number. Only the last ones can come again, and a session has at
// most a window of them in hand.
const recent = 16

// A Ledger is the session state. Its entries are shared: who finds one may make its transitions.
type Ledger struct {
	Version   int      `json:"v"`
	Watermark int64    `json:"settled,omitempty"` // every file up to this sequence number is settled, but for those in Files
	Files     []*Entry `json:"files,omitempty"`   // in the order of their sequence numbers
	Recent    []int64  `json:"recent,omitempty"`  // the files settled last, so that one that comes again is told from one that comes late
	Park      *Park    `json:"park,omitempty"`
	Doubt     int      `json:"doubt,omitempty"` // so many files more may have been posted under a ledger that was lost
}

// Find returns the entry of a file; nil when there is none.
func (l *Ledger) Find(seq int64) *Entry {
	if i, ok := l.search(seq); ok {
		return l.Files[i]
	}
	return nil
}

// Admit returns the entry of a file that was received; a new one if nothing is known of it. A file that was settled
// before gets an entry that is not the ledger's: there is nothing left to note about it. late reports that a later file
// was begun before this one was ever seen: to import it now would be out of order.
func (l *Ledger) Admit(seq int64, key string) (_ *Entry, late bool) {
	i, ok := l.search(seq)
	if !ok && l.wasSettled(seq) {
		return &Entry{Seq: seq, Key: key, Phase: Settled}, false
	}
	if !ok {
		late = seq <= l.Watermark || slices.ContainsFunc(l.Files[i:], func(e *Entry) bool { return e.Phase != New })
		l.Files = slices.Insert(l.Files, i, &Entry{Seq: seq, Key: key})
	}
	e := l.Files[i]
	if l.HeldAt(seq) && (e.Phase == New || e.Phase == Waiting) { // the mark says more than the entry
		e.Held(l.Park.Reason, l.Park.Detail, l.Park.Since)
	}
	return e, late
}

// wasSettled reports whether a file that has no entry left its queue before. Releases that remembered no numbers went by
// the watermark alone.
func (l *Ledger) wasSettled(seq int64) bool {
	return slices.Contains(l.Recent, seq) || l.Recent == nil && seq <= l.Watermark
}

// Settle notes that a file has left its queue, and moves the watermark over everything that is settled in a row. A file
// that is settled before an earlier one stays in the ledger until the earlier one is.
func (l *Ledger) Settle(seq int64) { l.settle(seq, settled) }

// Passed notes what the arrival of a file proves. A session is delivered in order, so every earlier file that is not in
// hand has left the queue, whatever the ledger says of it. It returns those that F&O has, or may have, all the same: they
// stay until Gone.
func (l *Ledger) Passed(seq int64, inHand func(seq int64) bool) (busy []*Entry) {
	for _, e := range slices.Clone(l.Files) {
		switch {
		case e.Seq >= seq || e.Phase == Settled || inHand(e.Seq):
		case e.Phase == InFno || e.Phase == Posting:
			busy = append(busy, e)
		default:
			l.settle(e.Seq, gone)
		}
	}
	if l.Park != nil && l.Park.Mode == Holding && l.Park.Seq < seq && !inHand(l.Park.Seq) {
		l.Park = nil
	}
	return busy
}

// Gone notes that a file's message has left its queue without this bridge.
func (l *Ledger) Gone(seq int64) { l.settle(seq, gone) }

// Hold gives up a file and stops the session at it. Files of a window may fail in any order: the session stands at the
// first of them, the others get their turn after it.
func (l *Ledger) Hold(e *Entry, why failure.Reason, detail string, at time.Time) {
	if e.Phase != Held {
		e.Held(why, detail, at)
	}
	if p := l.Park; p == nil || p.Mode != Holding || p.Seq > e.Seq {
		l.Park = &Park{Mode: Holding, Seq: e.Seq, Reason: why, Detail: e.Note, Since: at}
	}
}

// Drain dead-letters the rest of the session behind a file, unless the session is parked already.
func (l *Ledger) Drain(e *Entry, why failure.Reason, detail string, at time.Time) {
	if l.Park == nil {
		l.Park = &Park{Mode: Draining, Seq: e.Seq, Reason: why, Detail: Cut(detail), Since: at}
	}
}

// SaysNothing reports whether the ledger says nothing but which files are settled.
func (l *Ledger) SaysNothing() bool { return len(l.Files) == 0 && l.Park == nil && l.Doubt == 0 }

// HeldAt reports whether the session stands at this file.
func (l *Ledger) HeldAt(seq int64) bool { return l.Holds() && l.Park.Seq == seq }

// Holds reports whether the session stands at a file.
func (l *Ledger) Holds() bool { return l.Park != nil && l.Park.Mode == Holding }

// Drains reports whether the session is drained and the file is one of those that go with it.
func (l *Ledger) Drains(seq int64) bool {
	return l.Park != nil && l.Park.Mode == Draining && seq >= l.Park.Seq
}

// Busy returns the files that F&O has, or may have: they must not be sent again behind others.
func (l *Ledger) Busy() []int64 {
	var busy []int64
	for _, e := range l.Files {
		if e.Phase == InFno || e.Phase == Posting {
			busy = append(busy, e.Seq)
		}
	}
	return busy
}

// Lift ends the hold or the draining and forgets the files that were moved elsewhere meanwhile.
func (l *Ledger) Lift(moved []int64) {
	l.Park = nil
	l.Files = slices.DeleteFunc(l.Files, func(e *Entry) bool { return slices.Contains(moved, e.Seq) })
}

func (l *Ledger) settle(seq int64, t Transition) {
	l.Recent = append(l.Recent, seq)
	l.Recent = l.Recent[max(0, len(l.Recent)-recent):]
	if i, ok := l.search(seq); ok {
		l.Files[i].settle(t)
	} else { // nothing was known of it
		l.Files = slices.Insert(l.Files, i, &Entry{Seq: seq, Phase: Settled})
	}
	for len(l.Files) > 0 && l.Files[0].Phase == Settled && l.Files[0].wrong == nil {
		l.Watermark = max(l.Watermark, l.Files[0].Seq)
		l.Files[0] = nil
		l.Files = l.Files[1:]
	}
	if len(l.Files) == 0 {
		l.Files = nil
	}
}

func (l *Ledger) search(seq int64) (int, bool) {
	return slices.BinarySearchFunc(l.Files, seq, func(e *Entry, seq int64) int { return cmp.Compare(e.Seq, seq) })
}
