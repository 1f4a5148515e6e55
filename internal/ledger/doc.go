// Package ledger is the session state of the bridge: what it did in F&O for the files of one Service Bus session and has
// not settled yet. Any replica that gets the session goes on from it; there is no other store.
//
// Promised: every change of a file is a named transition of one table (Transitions), which sets and clears all fields that
// belong to it; a ledger in which a transition was made that the table does not have is not written. Bytes that are not a
// ledger, or a newer one, are never guessed at.
//
// Not promised: that a write of it arrives, or is the last one. The lane that owns the session sees to that.
package ledger
