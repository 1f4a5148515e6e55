package deadletter

import (
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
)

// An item is one message of a plan: what is needed to find it again and to know its copy, not the message itself. Fifty
// thousand of them are some megabytes.
type item struct {
	position
	id     string
	reason string
	size   int // bytes of its body
	place  place

	copyID   string
	formerID string // how earlier releases named the copy: without its place, so that two messages could share a name

	stage stage
	wrong error // the first transition that the table does not have
}

// A place is where a message waits.
type place uint8

const (
	dead     place = iota // in the dead-letter queue
	deferred              // there too, but it has to be asked for by its number
	waiting               // in its session: it is not dead, but has to go behind one that is
)

// A stage is how far an item is. It says what is left to do, and how the item is counted.
//
//	             begun              taken              ended
//	planned ----------> sending ----------> copied -----------> over
//	 | |  ^                |  |                                  ^ ^ ^
//	 | |  +--- refused ----+  +------- ended (in doubt) ---------+ | |
//	 | +--- recognised -----> found ---------- ended --------------+ |
//	 +------------- ended (gone, refused, blocked) -----------------+
type stage uint8

const (
	planned stage = iota // nothing was done
	sending              // its copy may be there: the answer is missing
	copied               // its copy is there: only the completion is missing
	found                // its copy was there before this run: only the completion is missing
	over                 // counted, with its line in the audit trail
)

// moves has every way from one stage to another.
var moves = map[stage][]stage{
	planned: {sending, found, over},
	sending: {copied, planned, over},
	copied:  {over},
	found:   {over},
}

func (it *item) enter(s stage) {
	if !slices.Contains(moves[it.stage], s) && it.wrong == nil {
		it.wrong = fmt.Errorf("message %d went from stage %d to %d, which must not be", it.seq, it.stage, s)
	}
	it.stage = s
}

func (it *item) begun()      { it.enter(sending) }
func (it *item) taken()      { it.enter(copied) }
func (it *item) refused()    { it.enter(planned) } // the broker said no: there is no copy
func (it *item) recognised() { it.enter(found) }
func (it *item) ended()      { it.enter(over) }

// hasCopy reports whether only the completion is missing.
func (it *item) hasCopy() bool { return it.stage == copied || it.stage == found }

// completed returns the outcome of an item whose message was taken away.
func (it *item) completed() string {
	if it.stage == found {
		return OutcomeAlready
	}
	return OutcomeDone
}

// missing returns the outcome of an item whose message is not there any more.
func (it *item) missing() string {
	if it.stage == planned {
		return OutcomeGone
	}
	return OutcomeDone // the completion did arrive, its answer did not
}

// A copyName is what a copy is recognised by. The ID alone is not enough: producers give one to several files, and the
// copies of earlier releases were named by it.
type copyName struct {
	id  string
	key int64
}

func (it *item) name() copyName { return copyName{it.id, it.key} }

// copyNames returns the names that a copy of the item can have.
func (it *item) copyNames() []copyName { return []copyName{{it.copyID, it.key}, {it.formerID, it.key}} }

func newItem(s contract.Source, to string, rm *azservicebus.ReceivedMessage, m Message) *item {
	it := &item{position: positionOf(s, rm), id: m.MessageID, reason: m.Reason, size: m.Bytes}
	if m.Deferred {
		it.place = deferred
	}
	key := contract.Key(s.String(), rm)
	it.copyID = copyID(key, resubmitted(s, to, m.Resubmits+1, it.key))
	it.formerID = copyID(key, formerly(m.Resubmits+1))
	return it
}

func newWaiting(s contract.Source, rm *azservicebus.ReceivedMessage) *item {
	id := copyID(contract.Key(s.String(), rm), moved(seqOf(rm)))
	return &item{position: positionOf(s, rm), id: rm.MessageID, size: bodySize(rm), place: waiting, copyID: id, formerID: id}
}
