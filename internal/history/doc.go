// Package history checks what happened against what was promised: from what was sent, what F&O recorded, what the status
// topic received and what lies in the dead-letter queue, it finds what was lost, doubled, out of order or kept silent.
// It knows nothing of how the bridge works; the demo, the fault matrix and the crash tests all end with it.
//
// # What is detected
//
//   - Lost: a file that F&O did not process and that is neither in the dead-letter queue nor still in its own queue.
//   - Duplicated: F&O took a file again although no import of it had failed by then and no event reported an unknown
//     outcome; each reported unknown outcome excuses one import and no more. A file that lies in the dead-letter queue
//     twice counts too.
//   - OutOfOrder: within a session F&O took file k+1 before it had taken file k or, in mode Processed, before every
//     import of file k had ended, or took file k once more after it had taken a later file.
//   - Altered: F&O holds other bytes than were sent, where both hashes are known.
//   - Contradicted: the last word about a file denies what F&O recorded: reported processed but not processed, or
//     dead-lettered for a reason that says F&O did not take it although it did.
//   - MissingTransitions: the event of the acceptance, of the import's end or of the dead-lettering is not there.
//   - TransitionsOutOfOrder: a file's events are in an order that the status diagram does not have, or in mode Processed
//     those of a later file of the session begin before those of an earlier one have ended.
//   - DuplicatedEvents: one event ID received twice.
//   - Foreign: F&O, the topic or the dead-letter queue has a file that nobody sent.
//   - Malformed: the history itself is impossible, as with two sent files of one message ID; nothing else that it says
//     about such a file can be trusted.
//
// Counted but not held against anybody: Unknown (files with a reported unknown outcome), DuplicatedReported (imports that
// such a report excuses) and Pending (files still in their queue).
//
// # What is not detected
//
//   - Intermediate statuses that were never published: F&O may skip any of them, so their absence proves nothing.
//   - A wrong route, environment or company: records name none of these.
//   - How long a file was waited for: when one was reported to never end, or an operator skipped it, the next may come
//     although an import of it was still running.
//   - Order between sessions, and order of files whose unknown outcome was reported and whose import no event names: the
//     sender cannot know when such an import happened, or whether.
//   - Delay: an event or an import may come late by any amount, as long as the order holds.
//   - Two faults that cancel out, as a lost file whose bytes came in under the ID of another with no hash recorded.
package history
