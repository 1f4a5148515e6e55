// Package deadletter brings dead letters to people, and back to their queue.
//
// It is the engine behind `bridge deadletter` and `bridge sessions`: listing, showing, exporting, resubmitting and
// purging dead letters of queues and subscriptions. What the bridge writes into a dead letter is package letter's.
//
// Promised: a resubmit sends first and completes after, so an interruption at any point leaves every message in at
// least one place; a repeated resubmit sends the same MessageID for the same message, and another one for every other
// message, so a queue with duplicate detection keeps one of each. The messages of one session go back in the order they
// were first enqueued in.
//
// Not promised: that a resubmit which was cut between the send and the completion leaves no second copy in a queue
// without duplicate detection. That window is one message wide.
//
// How it reads: resubmit.go and purge.go are the two runs; plan.go and item.go what they work through, run.go how;
// parked.go is for sessions that are held or draining, arrange.go for the order in them; report.go tells what became
// of each message.
package deadletter
