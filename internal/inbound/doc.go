// Package inbound brings files from Service Bus sessions into F&O: in order, bounded, and so that any process can die at
// any line.
//
//	Worker       takes sessions: several long accepts in parallel, at most so many lanes
//	lane         one session, one goroutine: the life of one file after the other
//	message      what Service Bus handed out, to be settled
//	fileImport   what the message brings into F&O; its entry in the ledger says how far it is
//	flights      the posts of this process whose answers are not in a ledger yet
//
// To read the life of a file, begin with lane.advance: it asks the file's entry for its phase, of which package ledger
// draws the table, and does the next thing. post.go, follow.go and settle.go are the way of a good file; recover.go is
// what a crash or a hand-over leaves behind, operator.go is what waits for a person.
//
// Promised, for every session:
//
//   - A message leaves its queue only by complete, after F&O reported success and that was published, or by dead-letter,
//     with the reason, after that was published.
//   - File k+1 is not posted before file k has ended (order: processed) or was accepted (order: enqueued).
//   - A file whose F&O message ID is in the ledger is not posted again, unless that import failed for a passing reason with
//     nothing of it in, or the route says partialImport: repeat. The intent to post is in the ledger right before
//     the post; who finds an intent without an answer applies the route's unknownOutcome policy and says so.
//   - Nothing is posted, published or settled without lease, and nothing that cannot be called back begins without
//     enough of it.
//   - Attempts are bounded in number and time by the route; waiting for an environment or a job whose gate is closed is
//     neither. An outage leaves in doubt at most the posts that were on their way when it began, whatever it looks like.
//   - A stop writes down or finishes what is in hand, and tells what was left.
//
// Not promised: that an event is published once (its ID tells the repetition), and that F&O imports once where its
// answer was lost and the route says resend.
package inbound
