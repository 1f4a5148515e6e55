package inbound

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
)

// A SessionView is what a lane is doing, for people and for scaling.
type SessionView struct {
	Source  string          `json:"source"`
	Session string          `json:"session"`
	Since   time.Time       `json:"since"`             // when this worker accepted it
	Files   int             `json:"files"`             // settled since then
	Waiting string          `json:"waiting,omitempty"` // for what
	Until   time.Time       `json:"until,omitzero"`    // at the latest, where that is known
	Parked  ledger.ParkMode `json:"parked,omitempty"`
	Reason  failure.Reason  `json:"reason,omitempty"` // of being parked
	InHand  []FileView      `json:"inHand,omitempty"`
}

// A FileView is one file in a lane's hand.
type FileView struct {
	Sequence  int64        `json:"sequence"`
	MessageID string       `json:"messageId"`
	Entity    string       `json:"entity"`
	Company   string       `json:"company,omitempty"`
	FileName  string       `json:"fileName,omitempty"`
	Phase     ledger.Phase `json:"phase,omitempty"`
	Status    string       `json:"status,omitempty"` // the last one published
	Attempts  int          `json:"attempts,omitempty"`
	First     time.Time    `json:"firstAttempt,omitzero"`
	FnoID     string       `json:"fnoMessageId,omitempty"`
}

// A view is what a lane shows of itself.
type view struct {
	mu  sync.Mutex
	now SessionView
}

func newView(source, session string) *view {
	return &view{now: SessionView{Source: source, Session: session, Since: time.Now()}}
}

func (v *view) snapshot() SessionView {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *view) set(change func(*SessionView)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.now)
}

func (v *view) settled() { v.set(func(s *SessionView) { s.Files++ }) }

// park shows a session that stands still for a reason that no ledger says.
func (v *view) park(mode ledger.ParkMode, reason failure.Reason, why string) {
	v.set(func(s *SessionView) { s.Parked, s.Reason, s.Waiting = mode, reason, why })
}

// Sessions returns what every lane is doing, ordered by source and session.
func (w *Worker) Sessions() []SessionView {
	w.mu.Lock()
	views := make([]SessionView, 0, len(w.views))
	for v := range w.views {
		views = append(views, v.snapshot())
	}
	w.mu.Unlock()
	slices.SortFunc(views, func(a, b SessionView) int {
		return strings.Compare(a.Source+"\x00"+a.Session, b.Source+"\x00"+b.Session)
	})
	return views
}

// show brings the view up to date, with what the lane waits for from now on.
func (l *lane) show(waiting string, until time.Time) {
	files := make([]FileView, 0, len(l.imports)) // a new one: the old one may be somebody's
	for _, f := range l.imports {
		files = append(files, FileView{
			Sequence: f.msg.seq, MessageID: f.msg.Key, Entity: f.msg.Entity, Company: f.msg.Company, FileName: f.msg.File,
			Phase: f.entry.Phase, Status: string(f.last()), Attempts: f.entry.Attempts, First: f.entry.First, FnoID: f.entry.FnoID,
		})
	}
	l.view.set(func(v *SessionView) {
		v.InHand, v.Waiting, v.Until, v.Parked, v.Reason = files, waiting, until, "", ""
		if l.ledger.Park != nil {
			v.Parked, v.Reason = l.ledger.Park.Mode, l.ledger.Park.Reason
		}
	})
}

// showBackoff shows which file waits for its next attempt, if one does.
func (l *lane) showBackoff() {
	for _, f := range l.imports {
		if f.entry.Phase == ledger.Waiting && !f.retryAt.IsZero() {
			l.show("backing off ("+string(f.entry.Reason)+")", f.retryAt)
			return
		}
	}
}

// A Left is one file that a stopping worker had in hand, and why nothing is wrong with that.
type Left struct {
	Source    string       `json:"source"`
	Session   string       `json:"session"`
	Sequence  int64        `json:"sequence"`
	MessageID string       `json:"messageId"`
	Phase     ledger.Phase `json:"phase,omitempty"`
	Why       string       `json:"why"`
}

// remains says for every file in hand where it is and who goes on with it. It goes by what the broker holds of the
// ledger, which is all that the next owner will know.
func (l *lane) remains() []Left {
	var left []Left
	for _, f := range l.imports {
		x := Left{Source: l.src.Name, Session: l.ID(), Sequence: f.msg.seq, MessageID: f.msg.Key}
		e := l.known(f.msg.seq)
		if e == nil {
			e = &ledger.Entry{}
		}
		x.Phase, x.Why = e.Phase, nextOwner(e)
		if l.tried != nil {
			x.Why += " (nobody knows whether the last write of the ledger arrived; if it did, the next owner goes on a step further)"
		}
		left = append(left, x)
	}
	return left
}

// nextOwner says what the next owner of the session does with a file.
func nextOwner(e *ledger.Entry) string {
	switch e.Phase {
	case ledger.InFno:
		return fmt.Sprintf("F&O has it as message %s; the ledger says so, the next owner follows it and never posts it again", e.FnoID)
	case ledger.Dead:
		return fmt.Sprintf("given up for %s; the next owner moves it to the dead-letter queue", e.Reason)
	case ledger.Held:
		return fmt.Sprintf("held for %s; the next owner holds it until an operator decides", e.Reason)
	case ledger.Waiting:
		return fmt.Sprintf("%d attempts were made and none is under way; the next owner goes on counting", e.Attempts)
	case ledger.Posting:
		return "its post was cut short, or its answer could not be written down: the next owner cannot know whether F&O has it; " +
			"the route's unknownOutcome policy decides"
	}
	return "not begun; it is still in its queue, the next owner of the session posts it"
}
