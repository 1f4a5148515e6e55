package ledger

import "slices"

// A Phase is how far one file is. It says all there is to know about what comes next.
//
//	           Intended              Accepted             Settled
//	New ------------------> Posting ----------> InFno ----------------> Settled
//	 |                       ^   |                |                        ^
//	 |              Intended |   | Withdrawn,     | BackingOff             |
//	 |                       |   v BackingOff     |                        |
//	 +---- BackingOff ----> Waiting <-------------+                        |
//	                           ^                                           |
//	                           | Released                                  |
//	  any of these -- Held --> Held                                        |
//	  any of these -- Dead --> Dead ------------- Settled -----------------+
//
// The drawing is Transitions for people, without the rare ones; a test holds the documents against the table.
type Phase string

// The phases. New is never written: a file nothing was done for needs no entry.
const (
	New     Phase = ""         // received, nothing was done for it yet
	Posting Phase = "posting"  // about to be posted, or posted and not yet answered: after a crash the outcome is unknown
	InFno   Phase = "enqueued" // F&O answered with its message ID: never post again, follow
	Waiting Phase = "waiting"  // attempts were made, none is under way
	Held    Phase = "held"     // given up, first in its queue, until an operator decides
	Dead    Phase = "dead"     // given up for good, on its way to the dead-letter queue: nobody decides otherwise any more
	Settled Phase = "settled"  // left its queue while an earlier file of the window has not; dropped when the watermark passes it
)

// A Transition is a named way from one phase to another. The method of Entry that has its name makes it.
type Transition struct {
	Name string
	From []Phase
	To   []Phase // one, but for Withdrawn
}

var (
	intended   = Transition{"Intended", []Phase{New, Waiting}, []Phase{Posting}}
	doubted    = Transition{"Doubted", []Phase{New}, []Phase{Posting}}
	disowned   = Transition{"Disowned", []Phase{Posting}, []Phase{Posting}}
	withdrawn  = Transition{"Withdrawn", []Phase{Posting}, []Phase{Waiting, New}}
	accepted   = Transition{"Accepted", []Phase{Posting}, []Phase{InFno}}
	backingOff = Transition{"BackingOff", []Phase{New, Posting, InFno, Waiting}, []Phase{Waiting}}
	held       = Transition{"Held", []Phase{New, Posting, InFno, Waiting}, []Phase{Held}}
	released   = Transition{"Released", []Phase{Held}, []Phase{Waiting}}
	dead       = Transition{"Dead", []Phase{New, Posting, InFno, Waiting, Held}, []Phase{Dead}}
	settled    = Transition{"Settled", []Phase{InFno, Dead}, []Phase{Settled}}
	// gone is the only one without a method of its own: the message was seen to have left its queue, whatever was known of it.
	gone = Transition{"Gone", []Phase{New, Posting, InFno, Waiting, Held, Dead}, []Phase{Settled}}
)

// Transitions returns the table: every way in which the phase of a file can change.
func Transitions() []Transition {
	return []Transition{
		intended, doubted, disowned, withdrawn, accepted, backingOff, held, released, dead, settled, gone,
	}
}

// allows reports whether the transition leads from one phase to the other.
func (t Transition) allows(from, to Phase) bool {
	return slices.Contains(t.From, from) && slices.Contains(t.To, to)
}
