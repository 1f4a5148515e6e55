package deadletter

import "time"

// What was done to a message, or would be.
const (
	ActionResubmit = "resubmit" // a copy was sent, the dead letter completed
	ActionRequeue  = "requeue"  // a newer active message was moved behind resubmitted ones
	ActionPurge    = "purge"
	ActionLift     = "lift" // the hold or drain of the session
)

// How it ended.
const (
	OutcomeDone    = "done"
	OutcomeWould   = "would"   // a dry run
	OutcomeAlready = "already" // its copy was there from an earlier run; the dead letter was completed
	OutcomeGone    = "gone"    // somebody else took it meanwhile
	OutcomeLocked  = "locked"  // somebody else has it
	OutcomeBlocked = "blocked" // not touched: an earlier message of its session could not go, or the session could not
	OutcomeFailed  = "failed"
	OutcomeDoubt   = "in-doubt" // the copy was sent (or may have been), the dead letter is still there
)

// A Record is one line of the audit trail: what was done to one message.
type Record struct {
	Time           time.Time `json:"time"`
	Action         string    `json:"action"`
	Outcome        string    `json:"outcome"`
	By             string    `json:"by,omitempty"`
	Source         string    `json:"source"`
	Target         string    `json:"target,omitempty"`
	SequenceNumber int64     `json:"sequenceNumber,omitempty"`
	Original       int64     `json:"originalSequenceNumber,omitempty"`
	MessageID      string    `json:"messageId,omitempty"`
	CopyID         string    `json:"copyId,omitempty"`
	Session        *string   `json:"session,omitempty"`
	Reason         string    `json:"reason,omitempty"`
	Edited         bool      `json:"edited,omitempty"`
	Error          string    `json:"error,omitempty"`
}
