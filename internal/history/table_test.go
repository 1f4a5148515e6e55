package history

import (
	"strings"
	"testing"

	"fnobridge/internal/status"
)

// The checker knows every final status of the table, also one that is added tomorrow.
func TestEveryFinalStatusOfTheTableEndsAnImport(t *testing.T) {
	for _, end := range status.All() {
		if !end.Final() {
			continue
		}
		for _, word := range end.Spellings() {
			rec := Recorded{Status: word}
			if rec.succeeded() != (end == status.Processed) || rec.failed() == rec.succeeded() {
				t.Errorf("%q: succeeded %v, failed %v", word, rec.succeeded(), rec.failed())
			}
		}
		var w walk
		for _, s := range []status.Status{status.Enqueued, end} {
			if k, what := w.step(Event{Status: s}); k != "" {
				t.Errorf("%s: %s: %s", s, k, what)
			}
		}
		if k, _ := w.step(Event{Status: end}); k != TransitionsOutOfOrder {
			t.Errorf("%s twice: %q", end, k)
		}
	}
}

// A file is not dead-lettered for a reason of the table without the status that says so.
func TestEveryReasonOfTheTableIsAnnounced(t *testing.T) {
	for _, end := range status.All() {
		_, reason, failed := end.Failure()
		if !failed {
			continue
		}
		var told, untold walk
		for _, s := range []status.Status{status.Enqueued, end} {
			told.step(Event{Status: s})
		}
		if k, what := told.step(Event{Status: status.DeadLettered, Reason: reason}); k != "" {
			t.Errorf("%s, dead-lettered for %s: %s", end, reason, what)
		}
		untold.step(Event{Status: status.Enqueued})
		if k, what := untold.step(Event{Status: status.DeadLettered, Reason: reason}); k != MissingTransitions || !strings.Contains(what, "how the import ended") {
			t.Errorf("dead-lettered for %s without %s: %q %s", reason, end, k, what)
		}
	}
}
