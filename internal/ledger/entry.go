package ledger

import (
	"fmt"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// An Entry is what the ledger knows of one file. Its phase, and every field that goes with it, is changed by the
// transitions below and by nothing else; Published, Note and Off may also be set while the phase stays.
type Entry struct {
	Seq        int64          `json:"seq"`          // the message's sequence number
	Key        string         `json:"id,omitempty"` // the producer's message ID
	Phase      Phase          `json:"phase"`
	By         string         `json:"by,omitempty"`   // Posting: the process that wrote the intent; "" when nobody's answer counts any more
	FnoID      string         `json:"mid,omitempty"`  // F&O's message ID of the present or, once it failed, of the last import
	ExecID     string         `json:"exec,omitempty"` // F&O's execution ID of the same import
	Published  status.Status  `json:"pub,omitempty"`  // the last transition known to be published
	Attempts   int            `json:"n,omitempty"`    // attempts begun
	Base       int            `json:"base,omitempty"` // attempts before an operator released the file: the bounds count from here
	First      time.Time      `json:"first,omitzero"` // begin of the first attempt
	Last       time.Time      `json:"last,omitzero"`  // begin of the last attempt
	AcceptedAt time.Time      `json:"acc,omitzero"`   // InFno: when F&O took the file; the route's deadline counts from here
	Until      time.Time      `json:"until,omitzero"` // Waiting: F&O asked for no attempt before (Retry-After)
	Reason     failure.Reason `json:"why,omitempty"`  // of the last failed attempt
	Note       string         `json:"note,omitempty"` // what F&O said of a held or dead file, or who released it
	Unknown    bool           `json:"unk,omitempty"`  // an outcome was unknown and the file was posted again

	// Off is the time since First that counts against no bound: the environment was closed, or F&O had the file.
	Off time.Duration `json:"off,omitempty"`

	before time.Time // Last as it was before the present intent, in case that is withdrawn
	wrong  error     // the first transition that the table does not have: such a ledger is not written
}

// Tries returns the attempts that count against the route's bounds.
func (e *Entry) Tries() int { return max(0, e.Attempts-e.Base) }

// Spent returns the time that counts against the route's bounds, at t: F&O's time is not the file's.
func (e *Entry) Spent(t time.Time) time.Duration {
	if e.First.IsZero() {
		return 0
	}
	return max(0, t.Sub(e.First)-e.Off-e.inFno(t))
}

// inFno returns how long F&O has had the file, at t.
func (e *Entry) inFno(t time.Time) time.Duration {
	if e.Phase != InFno {
		return 0
	}
	return max(0, t.Sub(e.AcceptedAt))
}

// Intended notes that a post is about to be made by a process. A crash after it was written leaves Posting behind:
// whoever finds that knows that F&O may have the file.
func (e *Entry) Intended(by string, at time.Time) {
	e.enter(intended, Posting)
	e.before = e.Last
	e.Tried(at)
	e.By, e.FnoID, e.ExecID, e.AcceptedAt, e.Until = by, "", "", time.Time{}, time.Time{}
}

// Tried counts an attempt. Intended does it too; by itself it is for an attempt that ends before the post.
func (e *Entry) Tried(at time.Time) {
	e.Attempts++
	e.Last = at
	if e.First.IsZero() {
		e.First = at
	}
}

// Doubted notes that a file of which nothing is known may have been posted, because the ledger that knew was lost.
func (e *Entry) Doubted(at time.Time) {
	e.enter(doubted, Posting)
	e.Tried(at)
}

// Disowned takes the post away from the process that began it: whatever answer that process still hears counts no more.
func (e *Entry) Disowned() {
	e.enter(disowned, Posting)
	e.By = ""
}

// Withdrawn takes back an intent that was not carried out, or that met an outage: it was no attempt.
func (e *Entry) Withdrawn() {
	e.Attempts, e.By = max(0, e.Attempts-1), ""
	if e.Attempts == 0 && !e.Unknown {
		e.enter(withdrawn, New)
		e.First, e.Last, e.Off = time.Time{}, time.Time{}, 0
		return
	}
	e.enter(withdrawn, Waiting)
	if !e.before.IsZero() {
		e.Last = e.before // what the next try has to wait for is the attempt before this one
	}
}

// Accepted notes that F&O has the file, as its message fnoID.
func (e *Entry) Accepted(fnoID string, at time.Time) {
	e.enter(accepted, InFno)
	e.FnoID, e.AcceptedAt = fnoID, at
	e.By, e.ExecID, e.Reason, e.Published, e.Note = "", "", "", "", ""
}

// BackingOff notes that an attempt failed at the given time and that another one will be made. asked is how long F&O
// wants us to wait, 0 when it did not say: the next owner must know, too.
func (e *Entry) BackingOff(why failure.Reason, at time.Time, asked time.Duration) {
	e.Off += e.inFno(at)
	e.enter(backingOff, Waiting)
	e.Reason, e.Unknown = why, e.Unknown || why == failure.UnknownOutcome
	e.By, e.FnoID, e.ExecID, e.Published, e.AcceptedAt, e.Until = "", "", "", "", time.Time{}, time.Time{}
	if asked > 0 {
		e.Until = at.Add(asked)
	}
}

// Held notes that the file was given up and stays in its queue until an operator decides. Ledger.Hold makes it.
func (e *Entry) Held(why failure.Reason, note string, at time.Time) {
	e.Off += e.inFno(at)
	e.enter(held, Held)
	e.Reason, e.Note, e.By, e.Until = why, Cut(note), "", time.Time{}
}

// Released notes that an operator wants the file tried again: as if anew, but told apart from the attempts before.
func (e *Entry) Released(by string) {
	e.enter(released, Waiting)
	e.Note = "released by " + by
	e.Attempts = max(e.Attempts, 1) // what failed before counts as a try, so that the next one is told apart
	e.Base, e.First, e.Last, e.Off = e.Attempts, time.Time{}, time.Time{}, 0
	e.FnoID, e.ExecID, e.AcceptedAt = "", "", time.Time{}
}

// Dead notes that the file was given up for good. What is known of its last import stays, for the dead letter.
func (e *Entry) Dead(why failure.Reason, note string) {
	e.enter(dead, Dead)
	e.Reason, e.Note, e.By, e.Until = why, Cut(note), "", time.Time{}
}

// Paused notes that the environment was closed for so long while the file waited for it. Before the first attempt there
// is nothing that the time could count against.
func (e *Entry) Paused(d time.Duration) {
	switch {
	case e.Phase == InFno:
		e.AcceptedAt = e.AcceptedAt.Add(d) // the deadline moves
		e.Off += d
	case !e.First.IsZero():
		e.Off += d
	}
}

// settle forgets all of a file that has left its queue but its number.
func (e *Entry) settle(t Transition) {
	wrong := e.wrong
	if !t.allows(e.Phase, Settled) && wrong == nil {
		wrong = e.illegal(t)
	}
	*e = Entry{Seq: e.Seq, Phase: Settled, wrong: wrong}
}

func (e *Entry) enter(t Transition, to Phase) {
	if !t.allows(e.Phase, to) && e.wrong == nil {
		e.wrong = e.illegal(t)
	}
	e.Phase = to
}

func (e *Entry) illegal(t Transition) error {
	return fmt.Errorf("file %d is in phase %q, from which %s leads nowhere: a defect of the bridge", e.Seq, e.Phase, t.Name)
}
