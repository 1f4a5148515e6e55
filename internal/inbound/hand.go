package inbound

import (
	"slices"
	"time"

	"fnobridge/internal/ledger"
)

// A hand is the files that a lane has received and not settled, in the order of the session. It knows whose turn it is.
type hand struct {
	imports []*fileImport
}

// has reports whether the file is in hand.
func (h *hand) has(seq int64) bool {
	return slices.ContainsFunc(h.imports, func(f *fileImport) bool { return f.msg.seq == seq })
}

// drop takes a file out of the hand.
func (h *hand) drop(f *fileImport) {
	h.imports = slices.DeleteFunc(h.imports, func(o *fileImport) bool { return o == f })
}

// inFno counts the imports under way.
func (h *hand) inFno() int {
	n := 0
	for _, f := range h.imports {
		if f.entry.Phase == ledger.InFno {
			n++
		}
	}
	return n
}

// first returns the first file that can go on now. If there is none it returns the earliest time at which one can.
func (h *hand) first(l *ledger.Ledger) (_ *fileImport, soonest time.Time) {
	for i, f := range h.imports {
		if !h.hasTurn(i, l) {
			continue
		}
		if time.Until(f.due) <= 0 {
			return f, time.Time{}
		}
		if soonest.IsZero() || f.due.Before(soonest) {
			soonest = f.due
		}
	}
	return nil, soonest
}

// hasTurn reports whether nothing but time keeps the ith file from its next step. A file that F&O has, or whose end is
// decided, waits for no other; all else happens in order, and not beside files that must be alone in F&O.
func (h *hand) hasTurn(i int, l *ledger.Ledger) bool {
	f := h.imports[i]
	switch f.entry.Phase {
	case ledger.InFno, ledger.Dead, ledger.Settled:
		return true
	case ledger.Held:
		if l.Holds() {
			return l.HeldAt(f.msg.seq) && h.inFno() == 0
		}
	default:
		if l.Holds() {
			return false
		}
	}
	inOrder := !slices.ContainsFunc(h.imports[:i], func(o *fileImport) bool { return o.entry.Phase != ledger.InFno })
	return inOrder && h.fits(f)
}

// fits reports whether f may be begun beside the files in F&O. Files of one session may have different routes: the
// stricter of two neighbours decides.
func (h *hand) fits(f *fileImport) bool {
	n := h.inFno()
	return n == 0 || h.roomBeside() && (f.route == nil || f.route.overlaps() && n < f.route.Window)
}

// roomBeside reports whether the files in F&O allow another one beside them.
func (h *hand) roomBeside() bool {
	n := h.inFno()
	return !slices.ContainsFunc(h.imports, func(f *fileImport) bool {
		return f.entry.Phase == ledger.InFno && (!f.route.overlaps() || n >= f.route.Window)
	})
}

// hasRoom reports whether another message may be received: nothing is in hand, or all that is in hand is in F&O and
// allows another one beside it. A session that stands at a held file needs that file in hand, with those before it, and no
// other.
func (h *hand) hasRoom(l *ledger.Ledger) bool {
	if l.Holds() {
		return !slices.ContainsFunc(h.imports, func(f *fileImport) bool { return f.msg.seq >= l.Park.Seq })
	}
	return len(h.imports) == 0 || h.inFno() == len(h.imports) && h.roomBeside()
}
