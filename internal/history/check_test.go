package history

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var zero = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// script writes histories: each call is something that happens next.
type script struct {
	History
	clock time.Time
	sent  map[string]int
}

func newScript() *script {
	return &script{clock: zero, sent: map[string]int{}}
}

// tick passes a second.
func (s *script) tick() time.Time {
	s.clock = s.clock.Add(time.Second)
	return s.clock
}

func (s *script) send(session string, ids ...string) {
	for _, id := range ids {
		s.Sent = append(s.Sent, Sent{Session: session, Index: s.sent[session], MessageID: id, Hash: "hash of " + id})
		s.sent[session]++
	}
}

// take is F&O accepting a file; it ends when ended says so.
func (s *script) take(id string) *Recorded {
	n := len(s.Recorded)
	s.Recorded = append(s.Recorded, Recorded{
		ExternalID: id, MessageID: fmt.Sprintf("fno-%d", n), Hash: "hash of " + id, Order: n, Accepted: s.tick(),
	})
	return &s.Recorded[n]
}

// end is F&O ending the last import of a file.
func (s *script) end(id, word string) {
	for i := len(s.Recorded) - 1; i >= 0; i-- {
		if s.Recorded[i].ExternalID == id {
			s.Recorded[i].Ended, s.Recorded[i].Status = s.tick(), word
			return
		}
	}
	panic("nothing to end")
}

func (s *script) say(id string, statuses ...status.Status) {
	for _, st := range statuses {
		s.event(id, st, "")
	}
}

func (s *script) event(id string, st status.Status, reason failure.Reason) {
	session, fno := "", ""
	for _, f := range s.Sent {
		if f.MessageID == id {
			session = f.Session
		}
	}
	if st != status.UnknownOutcome && st != status.DeadLettered {
		for _, r := range s.Recorded {
			if r.ExternalID == id {
				fno = r.MessageID
			}
		}
	}
	n := len(s.Events)
	s.Events = append(s.Events, Event{
		ID: fmt.Sprintf("e%d", n), Session: session, MessageID: id, Status: st, Reason: reason, FnoMessageID: fno, Order: n,
	})
}

// good is a file's life without trouble.
func (s *script) good(id string) {
	s.take(id)
	s.say(id, status.Enqueued, status.Processing)
	s.end(id, "Processed")
	s.say(id, status.Processed)
}

// bad is the life of a file that F&O cannot import.
func (s *script) bad(id string) {
	s.take(id)
	s.say(id, status.Enqueued)
	s.end(id, "ProcessedWithErrors")
	s.say(id, status.ProcessedWithErrors)
	s.bury(id, failure.ProcessedWithErrors)
}

func (s *script) bury(id string, reason failure.Reason) {
	s.event(id, status.DeadLettered, reason)
	s.DeadLettered = append(s.DeadLettered, DeadLettered{id, reason})
}

// row is a history and the counts that must come out of it.
type row struct {
	name  string
	build func(*script)
	want  Report
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newScript()
			row.build(s)
			got := Check(s.History)
			if diff := cmp.Diff(row.want, got, cmpopts.IgnoreFields(Report{}, "Details")); diff != "" {
				t.Errorf("report (-want +got):\n%s%s", diff, got.Error(0))
			}
		})
	}
}

func TestLegalHistories(t *testing.T) {
	run(t, []row{
		{"nothing", func(*script) {}, Report{}},
		{"good and bad files", func(s *script) {
			s.send("groups", "a", "b", "c")
			s.send("vendors", "v")
			s.good("a")
			s.bad("b")
			s.good("v")
			s.good("c")
		}, Report{Files: 4, Processed: 3, DeadLettered: 1}},
		{"rejected without an import", func(s *script) {
			s.send("groups", "a")
			s.bury("a", failure.NoRoute)
		}, Report{Files: 1, DeadLettered: 1}},
		{"an import that failed in passing is retried", func(s *script) {
			s.Repeatable = true
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "ProcessedWithErrors")
			s.say("a", status.ProcessedWithErrors, status.Retrying)
			s.good("a")
			s.good("b")
		}, Report{Files: 2, Processed: 2}},
		{"unread, retried", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "PreProcessingError")
			s.say("a", status.PreProcessingError, status.Retrying)
			s.good("a")
		}, Report{Files: 1, Processed: 1}},
		{"an operator lets it in again", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "ProcessedWithErrors")
			s.say("a", status.ProcessedWithErrors, status.Held, status.Released)
			s.good("a")
		}, Report{Files: 1, Processed: 1}},
		{"unknown, sent again, imported twice", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.UnknownOutcome)
			s.good("a")
			s.end("a", "Processed")
			s.Recorded[0].Status = "Processed"
			s.good("b")
		}, Report{Files: 2, Processed: 2, Unknown: 1, DuplicatedReported: 1}},
		{"unknown, dead-lettered, yet imported while the next is", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.event("a", status.UnknownOutcome, failure.UnknownOutcome)
			s.bury("a", failure.UnknownOutcome)
			s.good("b")
			s.end("a", "Processed")
		}, Report{Files: 2, Processed: 2, DeadLettered: 1, Unknown: 1}},
		{"unknown, sent again, the import nobody heard of ends late", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.UnknownOutcome)
			s.good("a")
			s.good("b")
			s.Recorded[0].Ended, s.Recorded[0].Status = s.tick(), "Processed"
		}, Report{Files: 2, Processed: 2, Unknown: 1, DuplicatedReported: 1}},
		{"never ends, given up, ends later after all", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.Enqueued, status.NeverEnds)
			s.bury("a", failure.NeverEnds)
			s.good("b")
			s.end("a", "Processed")
		}, Report{Files: 2, Processed: 2, DeadLettered: 1}},
		{"enqueued mode overlaps", func(s *script) {
			s.Mode = Enqueued
			s.send("groups", "a", "b")
			s.take("a")
			s.take("b")
			s.say("a", status.Enqueued)
			s.say("b", status.Enqueued)
			s.end("b", "Processed")
			s.end("a", "Processed")
			s.say("b", status.Processed)
			s.say("a", status.Processed)
		}, Report{Files: 2, Processed: 2}},
		{"held, released, processed", func(s *script) {
			s.send("groups", "a")
			s.say("a", status.Retrying, status.Held, status.Released)
			s.good("a")
		}, Report{Files: 1, Processed: 1}},
		{"posted again after an unknown outcome, and that import failed", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.end("a", "Processed") // nobody heard of it, and the report said so
			s.event("a", status.UnknownOutcome, failure.UnknownOutcome)
			s.bad("a")
		}, Report{Files: 1, Processed: 1, DeadLettered: 1, Unknown: 1, DuplicatedReported: 1}},
		{"still in its queue", func(s *script) {
			s.send("groups", "a", "b")
			s.good("a")
			s.Remaining = []string{"b"}
		}, Report{Files: 2, Processed: 1, Pending: 1}},
		{"events of an environment and of exports", func(s *script) {
			s.Events = append(s.Events, Event{ID: "p", Status: status.Paused, Order: 1},
				Event{ID: "x", MessageID: "job:1", Status: status.Exported, Order: 2}, Event{ID: "y", MessageID: "job:2", Status: status.ExportEmpty, Order: 3})
		}, Report{}},
		{"a word F&O was not known to use", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued, status.Unrecognised, status.Processing)
			s.end("a", "processed")
			s.say("a", status.Processed)
		}, Report{Files: 1, Processed: 1}},
	})
}

func TestBadHistories(t *testing.T) {
	run(t, []row{
		{"lost without a trace", func(s *script) {
			s.send("groups", "a", "b")
			s.good("b")
		}, Report{Files: 2, Processed: 1, Lost: 1}},
		{"lost after a failed import", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "PreProcessingError")
			s.say("a", status.PreProcessingError)
		}, Report{Files: 1, Lost: 1}},
		{"lost, though dead-lettering was announced", func(s *script) {
			s.send("groups", "a")
			s.event("a", status.DeadLettered, failure.NoRoute)
		}, Report{Files: 1, Lost: 1, Contradicted: 1}},
		{"imported twice", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.take("a")
			s.end("a", "Processed")
		}, Report{Files: 1, Processed: 1, Duplicated: 1}},
		{"retried before the failed import had ended", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued, status.ProcessedWithErrors, status.Retrying)
			s.good("a")
			s.Recorded[0].Ended, s.Recorded[0].Status = s.tick(), "ProcessedWithErrors"
		}, Report{Files: 1, Processed: 1, Duplicated: 1}},
		{"dead-lettered as not taken, though an event names the import", func(s *script) {
			s.send("groups", "a")
			s.event("a", status.UnknownOutcome, failure.UnknownOutcome)
			s.take("a")
			s.say("a", status.Enqueued, status.ProcessedWithErrors)
			s.end("a", "Processed")
			s.bury("a", failure.ProcessedWithErrors)
		}, Report{Files: 1, Processed: 1, DeadLettered: 1, Unknown: 1, Contradicted: 1}},
		{"one unknown outcome excuses one import", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.end("a", "Processed")
			s.say("a", status.UnknownOutcome)
			s.take("a")
			s.end("a", "Processed")
			s.good("a")
		}, Report{Files: 1, Processed: 1, Unknown: 1, DuplicatedReported: 1, Duplicated: 1}},
		{"twice in the dead-letter queue", func(s *script) {
			s.send("groups", "a")
			s.bad("a")
			s.DeadLettered = append(s.DeadLettered, s.DeadLettered[0])
		}, Report{Files: 1, DeadLettered: 1, Duplicated: 1}},
		{"swapped", func(s *script) {
			s.Mode = Enqueued
			s.send("groups", "a", "b")
			s.good("b")
			s.good("a")
		}, Report{Files: 2, Processed: 2, OutOfOrder: 1}},
		{"swapped in processed mode", func(s *script) {
			s.send("groups", "a", "b")
			s.good("b")
			s.good("a")
		}, Report{Files: 2, Processed: 2, OutOfOrder: 1, TransitionsOutOfOrder: 1}},
		{"overlapping in processed mode", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.Enqueued, status.Processed)
			s.take("b")
			s.say("b", status.Enqueued)
			s.end("a", "Processed")
			s.end("b", "Processed")
			s.say("b", status.Processed)
		}, Report{Files: 2, Processed: 2, OutOfOrder: 1}},
		{"overlapping where only this session must not", func(s *script) {
			s.Mode, s.Modes = Enqueued, map[string]Mode{"groups": Processed}
			s.send("groups", "a", "b")
			s.take("a")
			s.take("b")
			s.end("a", "Processed")
			s.end("b", "Processed")
			s.say("a", status.Enqueued, status.Processed)
			s.say("b", status.Enqueued, status.Processed)
		}, Report{Files: 2, Processed: 2, OutOfOrder: 1}},
		{"retried although some records are in", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "ProcessedWithErrors")
			s.say("a", status.ProcessedWithErrors, status.Retrying)
			s.good("a")
		}, Report{Files: 1, Processed: 1, Duplicated: 1}},
		{"retried although all records are in", func(s *script) {
			s.Repeatable = true
			s.send("groups", "a")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "PostProcessingError")
			s.say("a", status.PostProcessingFailed, status.Retrying)
			s.good("a")
		}, Report{Files: 1, Processed: 1, Duplicated: 1}},
		{"retried after a later file", func(s *script) {
			s.Repeatable = true
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "ProcessedWithErrors")
			s.say("a", status.ProcessedWithErrors, status.Retrying)
			s.good("b")
			s.good("a")
		}, Report{Files: 2, Processed: 2, OutOfOrder: 1, TransitionsOutOfOrder: 1}},
		{"other bytes", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.Recorded[0].Hash = "something else"
		}, Report{Files: 1, Processed: 1, Altered: 1}},
		{"reported processed, but it failed", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.Recorded[0].Status = "ProcessedWithErrors"
		}, Report{Files: 1, Lost: 1, Contradicted: 1}},
		{"dead-lettered, but it was processed", func(s *script) {
			s.send("groups", "a")
			s.bad("a")
			s.Recorded[0].Status = "Processed"
		}, Report{Files: 1, Processed: 1, DeadLettered: 1, Contradicted: 1}},
		{"no event of the end", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.Events = s.Events[:2]
		}, Report{Files: 1, Processed: 1, MissingTransitions: 1}},
		{"no event of the acceptance", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.Events = s.Events[1:]
		}, Report{Files: 1, Processed: 1, MissingTransitions: 1}},
		{"no event of the dead-lettering", func(s *script) {
			s.send("groups", "a")
			s.bad("a")
			s.Events = s.Events[:2]
		}, Report{Files: 1, DeadLettered: 1, MissingTransitions: 1}},
		{"no event of why it was dead-lettered", func(s *script) {
			s.send("groups", "a")
			s.bad("a")
			s.Events = append(s.Events[:1], s.Events[2])
		}, Report{Files: 1, DeadLettered: 1, MissingTransitions: 1}},
		{"events of a file swapped", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.end("a", "Processed")
			s.say("a", status.Enqueued, status.Processing, status.Dequeued, status.Processed)
		}, Report{Files: 1, Processed: 1, TransitionsOutOfOrder: 1}},
		{"a status said twice under two IDs", func(s *script) {
			s.send("groups", "a")
			s.take("a")
			s.end("a", "Processed")
			s.say("a", status.Enqueued, status.Processing, status.Processing, status.Processed)
		}, Report{Files: 1, Processed: 1, TransitionsOutOfOrder: 1}},
		{"events of two files mixed", func(s *script) {
			s.send("groups", "a", "b")
			s.take("a")
			s.say("a", status.Enqueued)
			s.end("a", "Processed")
			s.take("b")
			s.say("b", status.Enqueued)
			s.say("a", status.Processed)
			s.end("b", "Processed")
			s.say("b", status.Processed)
		}, Report{Files: 2, Processed: 2, TransitionsOutOfOrder: 1}},
		{"one event twice", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			twice := s.Events[1]
			twice.Order = 9
			s.Events = append(s.Events, twice)
		}, Report{Files: 1, Processed: 1, DuplicatedEvents: 1}},
		{"an import nobody sent", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.take("ghost")
		}, Report{Files: 1, Processed: 1, Foreign: 1}},
		{"an event nobody sent a file for", func(s *script) {
			s.say("ghost", status.Enqueued)
		}, Report{Foreign: 1}},
		{"an event in the wrong session", func(s *script) {
			s.send("groups", "a")
			s.good("a")
			s.Events[0].Session = "vendors"
		}, Report{Files: 1, Processed: 1, Foreign: 1}},
		{"a dead letter nobody sent", func(s *script) {
			s.DeadLettered = append(s.DeadLettered, DeadLettered{"ghost", failure.NoRoute})
			s.Remaining = []string{"spook"}
		}, Report{Foreign: 2}},
		{"one message ID for two files", func(s *script) {
			s.send("groups", "a", "a")
			s.good("a")
		}, Report{Files: 1, Processed: 1, Malformed: 1}},
		{"one place for two files, one for two imports", func(s *script) {
			s.send("groups", "a", "b")
			s.good("a")
			s.good("b")
			s.Sent[1].Index = 0
			s.Recorded[1].Order = 0
		}, Report{Files: 2, Processed: 2, Malformed: 2}},
	})
}

// The diagram of transitions.go, every pair of statuses in it.
func TestTransitionTable(t *testing.T) {
	const ok = Kind("")
	fail, final := status.ProcessedWithErrors, status.Processed
	for _, row := range []struct {
		path []status.Status
		want Kind // of the last step
	}{
		{[]status.Status{status.Enqueued}, ok},
		{[]status.Status{status.Enqueued, status.Enqueued}, TransitionsOutOfOrder},
		{[]status.Status{status.UnknownOutcome, status.Enqueued}, ok},
		{[]status.Status{status.UnknownOutcome, status.UnknownOutcome}, ok},
		{[]status.Status{status.UnknownOutcome, status.Retrying}, ok},
		{[]status.Status{status.Enqueued, status.UnknownOutcome}, TransitionsOutOfOrder},
		{[]status.Status{status.Dequeued}, MissingTransitions},
		{[]status.Status{status.Enqueued, status.Processing, status.PreProcessing}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, fail, status.Processing}, TransitionsOutOfOrder},
		{[]status.Status{status.Unrecognised}, TransitionsOutOfOrder},
		{[]status.Status{final}, MissingTransitions},
		{[]status.Status{status.Enqueued, final, final}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, final, status.Retrying}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, status.Retrying}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, status.NeverEnds, status.DeadLettered}, ok},
		{[]status.Status{status.Enqueued, fail, status.Retrying, status.Enqueued}, ok},
		{[]status.Status{status.Enqueued, fail, status.Enqueued}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, status.Held}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, fail, status.Held, status.Released, status.DeadLettered}, ok},
		{[]status.Status{status.Released}, TransitionsOutOfOrder},
		{[]status.Status{status.DeadLettered, status.DeadLettered}, TransitionsOutOfOrder},
		{[]status.Status{status.Enqueued, status.DeadLettered}, ok},
		{[]status.Status{status.Paused}, TransitionsOutOfOrder},
	} {
		var w walk
		var got Kind
		for _, s := range row.path {
			got, _ = w.step(Event{Status: s})
		}
		if got != row.want {
			t.Errorf("%v: %q, want %q", row.path, got, row.want)
		}
	}
}

func TestReportListsFindings(t *testing.T) {
	s := newScript()
	s.send("groups", "a", "b", "c")
	r := Check(s.History)
	if r.OK() || len(r.Details) != 3 {
		t.Fatalf("%+v, want three findings", r)
	}
	if got := r.Error(2); !strings.Contains(got, `session "groups", file "a"`) || !strings.HasSuffix(got, "... and 1 more\n") {
		t.Errorf("listed:\n%s", got)
	}
	if !Check(History{}).OK() {
		t.Error("an empty history is not in order")
	}
}

func TestFromEvent(t *testing.T) {
	e := status.Event{Status: status.DeadLettered, Reason: failure.NoRoute, Session: "groups", MessageID: "a", FnoMessageID: "f"}
	want := Event{ID: e.ID(), Session: "groups", MessageID: "a", Status: status.DeadLettered, Reason: failure.NoRoute, FnoMessageID: "f", Order: 7}
	if diff := cmp.Diff(want, FromEvent(e, 7)); diff != "" {
		t.Error(diff)
	}
}
