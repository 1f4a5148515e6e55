package inbound

import (
	"time"

	"fnobridge/internal/ledger"
)

// fairTurn is how long a lane may keep its session while others wait for one and this worker may own no more.
const fairTurn = time.Minute

// awaitTurn waits for the slot that a lane needs to begin a file. It reports whether the lane has it; without, another
// file is to be asked about, or waiting is over.
func (l *lane) awaitTurn(f *fileImport) bool {
	if !l.access.slot.Has() {
		l.show("for its turn", time.Time{})
	}
	return l.access.slot.AwaitTurn(l.waiting, f.msg.seq, l.nextQuestion())
}

// givesWay reports whether the lane gives its session back, so that others are not kept waiting by one that always has
// work. It does so between two files.
func (l *lane) givesWay() bool { return len(l.imports) == 0 && l.highest > 0 && l.turnIsOver() }

// turnIsOver reports whether others wait for a session while this worker may own no more, and this lane has had its turn.
func (l *lane) turnIsOver() bool { return time.Since(l.began) > fairTurn && l.w.slots.Crowded() }

// nextQuestion returns when the next question about a file in F&O is due; zero when there is none.
func (h *hand) nextQuestion() (soonest time.Time) {
	for _, f := range h.imports {
		if f.entry.Phase == ledger.InFno && (soonest.IsZero() || f.due.Before(soonest)) {
			soonest = f.due
		}
	}
	return soonest
}
