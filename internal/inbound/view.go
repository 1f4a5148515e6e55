package inbound

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fnobridge/internal/failure"
)

// A SessionView is what a lane is doing, for people and for scaling.
type SessionView struct {
	Source  string         `json:"source"`
	Session string         `json:"session"`
	Since   time.Time      `json:"since"`             // when this worker accepted it
	Files   int            `json:"files"`             // settled since then
	Waiting string         `json:"waiting,omitempty"` // for what
	Until   time.Time      `json:"until,omitzero"`    // at the latest, where that is known
	Parked  ParkMode       `json:"parked,omitempty"`
	Reason  failure.Reason `json:"reason,omitempty"` // of being parked
	InHand  []FileView     `json:"inHand,omitempty"`
}

// A FileView is one file in a lane's hand.
type FileView struct {
	Sequence  int64     `json:"sequence"`
	MessageID string    `json:"messageId"`
	Entity    string    `json:"entity"`
	Company   string    `json:"company,omitempty"`
	FileName  string    `json:"fileName,omitempty"`
	Phase     Phase     `json:"phase,omitempty"`
	Status    string    `json:"status,omitempty"` // the last one published
	Attempts  int       `json:"attempts,omitempty"`
	First     time.Time `json:"firstAttempt,omitzero"`
	FnoID     string    `json:"fnoMessageId,omitempty"`
}

// Sessions gives what every lane is doing, ordered by source and session.
func (w *Worker) Sessions() []SessionView {
	w.mu.Lock()
	lanes := make([]*lane, 0, len(w.lanes))
	for l := range w.lanes {
		lanes = append(lanes, l)
	}
	w.mu.Unlock()
	views := make([]SessionView, 0, len(lanes))
	for _, l := range lanes {
		l.mu.Lock()
		views = append(views, l.view)
		l.mu.Unlock()
	}
	slices.SortFunc(views, func(a, b SessionView) int {
		return strings.Compare(a.Source+"\x00"+a.Session, b.Source+"\x00"+b.Session)
	})
	return views
}

// show brings the view up to date. A nil change only clears what the lane was waiting for.
func (l *lane) show(change func(*SessionView)) {
	files := make([]FileView, 0, 2)
	for _, f := range l.inHand() {
		files = append(files, FileView{
			Sequence: f.seq, MessageID: f.key, Entity: f.entity, Company: f.company, FileName: f.place.file,
			Phase: f.entry.Phase, Status: string(f.last()), Attempts: f.entry.Attempts, First: f.entry.First, FnoID: f.entry.FnoID,
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.InHand, l.view.Waiting, l.view.Until = files, "", time.Time{}
	if l.ledger != nil && l.ledger.Park != nil {
		l.view.Parked, l.view.Reason = l.ledger.Park.Mode, l.ledger.Park.Reason
	} else {
		l.view.Parked, l.view.Reason = "", ""
	}
	if change != nil {
		change(&l.view)
	}
}

// A Left is one file that a stopping worker had in hand, and why nothing is wrong with that.
type Left struct {
	Source    string `json:"source"`
	Session   string `json:"session"`
	Sequence  int64  `json:"sequence"`
	MessageID string `json:"messageId"`
	Phase     Phase  `json:"phase,omitempty"`
	Why       string `json:"why"`
}

// remains says for every file in hand where it is and who goes on with it. It goes by what the broker holds of the
// ledger, which is all that the next owner will know.
func (l *lane) remains() []Left {
	var left []Left
	for _, f := range l.inHand() {
		why := "not begun; it is still in its queue, the next owner of the session posts it"
		e, held := l.recorded(f.seq)
		switch {
		case e == nil:
		case e.Phase == InFno:
			why = fmt.Sprintf("F&O has it as message %s; the ledger says so, the next owner follows it and never posts it again", e.FnoID)
		case e.Phase == Dead:
			why = fmt.Sprintf("given up for %s; the next owner moves it to the dead-letter queue", e.Reason)
		case held:
			why = fmt.Sprintf("held for %s; the next owner holds it until an operator decides", e.Reason)
		case e.Phase == Waiting:
			why = fmt.Sprintf("%d attempts were made and none is under way; the next owner goes on counting", e.Attempts)
		case e.Phase == Posting:
			why = "its post was cut short, or its answer could not be written down: the next owner cannot know whether F&O has it; " +
				"the route's unknownOutcome policy decides"
		}
		if l.tried != nil {
			why += " (nobody knows whether the last write of the ledger arrived; if it did, the next owner goes on a step further)"
		}
		x := Left{Source: l.src.Name, Session: l.s.ID(), Sequence: f.seq, MessageID: f.key, Why: why}
		if e != nil {
			x.Phase = e.Phase
		}
		left = append(left, x)
	}
	return left
}

// recorded gives what the broker is known to hold of a file, nil when that is nothing; held says that the session stands
// at this file, or will. A post that the last write may have announced counts, whether the write arrived or not.
func (l *lane) recorded(seq int64) (found *Entry, held bool) {
	for _, state := range [][]byte{l.stored, l.tried} {
		ledger, err := DecodeLedger(state)
		if err != nil {
			continue // an unreadable one stays where it is, and so do its files
		}
		e := ledger.find(seq)
		switch {
		case e == nil:
		case e.Phase == Posting && !l.keeps(e.After): // else an intent that is void while the file before it is in the queue
			return e, false
		case e.Phase != Posting && found == nil:
			p := ledger.Park
			found, held = e, e.Phase == HeldBack || e.Phase == Waiting && p != nil && p.Mode == Holding && p.Seq == seq
		}
	}
	return found, held
}

// keeps reports whether the message with this sequence number is in the lane's hand and was not asked to leave its queue.
func (l *lane) keeps(seq int64) bool {
	return slices.ContainsFunc(l.inHand(), func(f *file) bool { return f.seq == seq && !f.leaving })
}
