package history

import (
	"fnobridge/internal/status"
)

// stage is where a file stands, by the events seen so far.
//
//	posting --Enqueued--> running --(Dequeued < PreProcessing < Processing, any left out)--> running
//	   |                     +--Requeued, once--> running, of which nothing more is said until it ends
//	   |                     +--Processed--> gone
//	   |                     +--any other final status of F&O | NeverEnds--> ended
//	   +--UnknownOutcome--> unknown --Enqueued--> running
//	ended | unknown | posting --Retrying--> posting        ended | unknown | posting --Held--> held --Released--> posting
//	any but gone --DeadLettered--> gone (from running only for a reason that no status of F&O announces)
type stage int

const (
	posting stage = iota
	running
	ended
	unknown
	held
	gone
)

// walk follows the events of one file through the diagram.
type walk struct {
	at  stage
	fno status.Status // running: the last of F&O's own words, of those that have an order
}

// step takes one event. It returns what is wrong with it: its order, or an event that must have come before it.
func (w *walk) step(e Event) (k Kind, what string) {
	switch kind := e.Status.Kind(); {
	case e.Status == status.Enqueued:
		if w.at != posting && w.at != unknown {
			return TransitionsOutOfOrder, "enqueued again without a retry in between"
		}
		w.at, w.fno = running, e.Status
	case e.Status == status.Unrecognised, e.Status == status.Requeued:
		if w.at != running {
			return TransitionsOutOfOrder, "F&O's status came while no import was running"
		}
	case kind == status.Progress:
		if w.at == posting || w.at == unknown {
			w.at, w.fno = running, e.Status
			return MissingTransitions, "F&O's status came without the event of its acceptance"
		}
		if w.at != running || !w.fno.Before(e.Status) {
			return TransitionsOutOfOrder, "F&O's status came after a later one"
		}
		w.fno = e.Status
	case kind == status.Final, e.Status == status.NeverEnds:
		before := w.at
		w.at = ended
		if e.Status.Ends() {
			w.at = gone
		}
		if before == posting || before == unknown {
			return MissingTransitions, "the import ended without the event of its acceptance"
		}
		if before != running {
			return TransitionsOutOfOrder, "the import ended twice"
		}
	default:
		return w.decide(e)
	}
	return "", ""
}

// decide takes an event by which the bridge, not F&O, says something.
func (w *walk) decide(e Event) (Kind, string) {
	before := w.at
	switch e.Status {
	case status.UnknownOutcome:
		w.at = unknown
		if before != posting && before != unknown {
			return TransitionsOutOfOrder, "an unknown outcome of a post that was not made"
		}
	case status.Retrying:
		w.at = posting
		if before == running || before == held || before == gone {
			return TransitionsOutOfOrder, "a retry of a file that had not failed"
		}
	case status.Held:
		w.at = held
		if before == running || before == gone {
			return TransitionsOutOfOrder, "held, but the file had not failed"
		}
	case status.Released:
		w.at = posting
		if before != held {
			return TransitionsOutOfOrder, "released, but the file was not held"
		}
	case status.DeadLettered:
		w.at = gone
		if before == gone {
			return TransitionsOutOfOrder, "dead-lettered after its end"
		}
		if before == running && status.Announces(e.Reason) {
			return MissingTransitions, "dead-lettered without the event that says how the import ended"
		}
	default:
		return TransitionsOutOfOrder, "a status that no file has"
	}
	return "", ""
}

// checkTransitions follows a file's events and asks for the last one.
func (f *file) checkTransitions(r *Report) {
	var w walk
	for _, e := range f.events {
		if k, what := w.step(e); k != "" {
			r.add(k, f.Session, f.MessageID, "%s: %s", e.Status, what)
		}
	}
	switch {
	case len(f.dead) > 0 && !f.has(status.DeadLettered):
		r.add(MissingTransitions, f.Session, f.MessageID, "dead-lettered without the event")
	case len(f.dead) == 0 && f.processed() && !f.pending && !f.has(status.Processed):
		r.add(MissingTransitions, f.Session, f.MessageID, "processed without the event")
	case len(f.dead) == 0 && !f.pending && f.has(status.DeadLettered):
		r.add(Contradicted, f.Session, f.MessageID, "reported dead-lettered, but it is not in the dead-letter queue")
	}
}
