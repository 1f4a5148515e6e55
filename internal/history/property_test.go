package history

import (
	"fmt"
	"slices"
	"testing"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"

	"pgregory.net/rapid"
)

// lives are the ways a file may go, each in steps between which other sessions' files move.
var lives = map[string]func(id string) []func(*script){
	"good": func(id string) []func(*script) {
		return []func(*script){
			func(s *script) { s.take(id) },
			func(s *script) { s.say(id, status.Enqueued) },
			func(s *script) { s.say(id, status.PreProcessing) },
			func(s *script) { s.end(id, "Processed") },
			func(s *script) { s.say(id, status.Processed) },
		}
	},
	"failed": func(id string) []func(*script) {
		return []func(*script){
			func(s *script) { s.take(id) },
			func(s *script) { s.say(id, status.Enqueued) },
			func(s *script) { s.end(id, "PostProcessingError") },
			func(s *script) { s.say(id, status.PostProcessingFailed) },
			func(s *script) { s.bury(id, failure.PostProcessingFailed) },
		}
	},
	"rejected": func(id string) []func(*script) {
		return []func(*script){func(s *script) { s.bury(id, failure.PayloadTooLarge) }}
	},
	"retried": func(id string) []func(*script) {
		return []func(*script){
			func(s *script) { s.say(id, status.Retrying) },
			func(s *script) { s.take(id) },
			func(s *script) { s.say(id, status.Enqueued) },
			func(s *script) { s.end(id, "ProcessedWithErrors") },
			func(s *script) { s.say(id, status.ProcessedWithErrors, status.Retrying) },
			func(s *script) { s.take(id) },
			func(s *script) { s.say(id, status.Enqueued) },
			func(s *script) { s.end(id, "Processed") },
			func(s *script) { s.say(id, status.Processed) },
		}
	},
	"resent": func(id string) []func(*script) {
		return []func(*script){
			func(s *script) { s.take(id) },
			func(s *script) { s.end(id, "Processed") },
			func(s *script) { s.say(id, status.UnknownOutcome) },
			func(s *script) { s.take(id) },
			func(s *script) { s.say(id, status.Enqueued) },
			func(s *script) { s.end(id, "Processed") },
			func(s *script) { s.say(id, status.Processed) },
		}
	},
	"unknown": func(id string) []func(*script) {
		return []func(*script){
			func(s *script) { s.say(id, status.UnknownOutcome) },
			func(s *script) { s.bury(id, failure.UnknownOutcome) },
		}
	},
}

// play writes a legal history: sessions side by side, the files of each one after the other.
func play(t *rapid.T) (*script, map[string]string) {
	s := newScript()
	lived := map[string]string{}
	names := []string{"failed", "good", "rejected", "resent", "retried", "unknown"}
	var queues [][]func(*script)
	for n := range rapid.IntRange(1, 4).Draw(t, "sessions") {
		session := fmt.Sprint("session ", n)
		var steps []func(*script)
		for k := range rapid.IntRange(2, 6).Draw(t, "files") {
			id := fmt.Sprintf("%d.%d", n, k)
			s.send(session, id)
			life := rapid.SampledFrom(names).Draw(t, "life")
			if k < 2 {
				life = "good" // so that every corruption finds its victims
			}
			lived[id] = life
			steps = append(steps, lives[life](id)...)
		}
		queues = append(queues, steps)
	}
	for len(queues) > 0 {
		i := rapid.IntRange(0, len(queues)-1).Draw(t, "turn")
		queues[i][0](s)
		if queues[i] = queues[i][1:]; len(queues[i]) == 0 {
			queues = slices.Delete(queues, i, i+1)
		}
	}
	// The lists may come in any order: only the indices count.
	s.Sent = rapid.Permutation(s.Sent).Draw(t, "sent")
	s.Recorded = rapid.Permutation(s.Recorded).Draw(t, "recorded")
	s.Repeatable = true
	s.Events = rapid.Permutation(s.Events).Draw(t, "events")
	return s, lived
}

// recorded and said find what a victim left behind.
func (s *script) recorded(id string) *Recorded {
	return &s.Recorded[slices.IndexFunc(s.Recorded, func(r Recorded) bool { return r.ExternalID == id })]
}

func (s *script) said(id string, st status.Status) int {
	return slices.IndexFunc(s.Events, func(e Event) bool { return e.MessageID == id && e.Status == st })
}

// corruptions each break one promise about the good files a (first of its session) and b (second), and name the kind
// that must be found.
var corruptions = map[string]struct {
	want Kind
	do   func(s *script, a, b string)
}{
	"the import vanishes": {Lost, func(s *script, a, _ string) {
		s.Recorded = slices.DeleteFunc(s.Recorded, func(r Recorded) bool { return r.ExternalID == a })
	}},
	"the import fails unseen": {Lost, func(s *script, a, _ string) { s.recorded(a).Status = "PreProcessError" }},
	"a second import": {Duplicated, func(s *script, a, _ string) {
		twice := *s.recorded(a)
		twice.MessageID, twice.Order = "twice", len(s.Recorded)
		s.Recorded = append(s.Recorded, twice)
	}},
	"taken in the wrong order": {OutOfOrder, func(s *script, a, b string) {
		x, y := s.recorded(a), s.recorded(b)
		x.Order, y.Order = y.Order, x.Order
	}},
	"taken too early": {OutOfOrder, func(s *script, a, b string) { s.recorded(b).Accepted = s.recorded(a).Ended.Add(-1) }},
	"other bytes":     {Altered, func(s *script, a, _ string) { s.recorded(a).Hash = "other" }},
	"a false success": {Contradicted, func(s *script, a, _ string) { s.recorded(a).Status = "ProcessedWithErrors" }},
	"a false burial": {Contradicted, func(s *script, a, _ string) {
		s.DeadLettered = append(s.DeadLettered, DeadLettered{a, failure.ProcessedWithErrors})
	}},
	"no Enqueued": {MissingTransitions, func(s *script, a, _ string) {
		i := s.said(a, status.Enqueued)
		s.Events = slices.Delete(s.Events, i, i+1)
	}},
	"no Processed": {MissingTransitions, func(s *script, a, _ string) {
		i := s.said(a, status.Processed)
		s.Events = slices.Delete(s.Events, i, i+1)
	}},
	"events swapped": {TransitionsOutOfOrder, func(s *script, a, _ string) {
		x, y := &s.Events[s.said(a, status.Enqueued)], &s.Events[s.said(a, status.PreProcessing)]
		x.Order, y.Order = y.Order, x.Order
	}},
	"the next file speaks first": {TransitionsOutOfOrder, func(s *script, a, b string) {
		x, y := &s.Events[s.said(a, status.Processed)], &s.Events[s.said(b, status.Enqueued)]
		x.Order, y.Order = y.Order, x.Order
	}},
	"an event comes twice": {DuplicatedEvents, func(s *script, a, _ string) {
		again := s.Events[s.said(a, status.PreProcessing)]
		again.Order = len(s.Events)
		s.Events = append(s.Events, again)
	}},
	"an import from nowhere": {Foreign, func(s *script, _, _ string) { s.take("ghost") }},
	"an index twice": {Malformed, func(s *script, a, b string) {
		s.recorded(b).Order = s.recorded(a).Order
	}},
}

func TestLegalHistoriesPassAndEveryCorruptionIsFound(t *testing.T) {
	var names []string
	for name := range corruptions {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		s, lived := play(t)
		if r := Check(s.History); !r.OK() {
			t.Fatalf("a legal history is refused:\n%s", r.Error(0))
		}
		want := Report{Files: len(lived)}
		for _, life := range lived {
			switch life {
			case "good", "retried":
				want.Processed++
			case "failed", "rejected":
				want.DeadLettered++
			case "unknown":
				want.DeadLettered++
				want.Unknown++
			case "resent":
				want.Processed++
				want.Unknown++
				want.DuplicatedReported++
			}
		}
		got := Check(s.History)
		if got.Details = nil; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("counted %+v, want %+v", got, want)
		}
		name := rapid.SampledFrom(names).Draw(t, "corruption")
		corruptions[name].do(s, "0.0", "0.1")
		r := Check(s.History)
		if !slices.ContainsFunc(r.Details, func(f Finding) bool { return f.Kind == corruptions[name].want }) {
			t.Fatalf("%s was not found as %s; found:\n%s", name, corruptions[name].want, r.Error(0))
		}
	})
}
