// Package deadletter brings dead letters to people, and back to their queue.
//
// It is the engine behind `bridge deadletter` and `bridge sessions`: listing, showing, exporting, resubmitting and
// purging dead letters of queues and subscriptions. What the bridge writes into a dead letter is package letter's.
//
// Promised: a resubmit sends first and completes after, so an interruption at any point leaves every message in at
// least one place; a repeated resubmit sends the same MessageID for the same message, so an entity with duplicate
// detection keeps one. The messages of one session go back in the order they were first enqueued in.
//
// Not promised: that a resubmit which was cut between the send and the completion leaves no second copy on an entity
// without duplicate detection. That window is one message wide; the lane looks at the original MessageID as well.
package deadletter
