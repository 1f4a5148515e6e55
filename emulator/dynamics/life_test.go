package dynamics

import (
	"strings"
	"testing"
	"time"
)

func TestImportLivesByTheClock(t *testing.T) {
	b := begin(t, nil)
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	if got := b.action("GetExecutionIdByMessageId", "_messageId", id); got != "00000000-0000-0000-0000-000000000000" {
		t.Errorf("execution before pick-up: %q, want the all-zero GUID", got)
	}
	if r := b.act("GetExecutionSummaryStatus", "executionId", b.import1(id).ExecutionID); r.code != 400 {
		t.Errorf("summary of an execution that has not begun: %d, want 400", r.code)
	}
	for _, step := range []struct {
		at   time.Duration
		want string
	}{
		{0, "Enqueued"}, {1999 * time.Millisecond, "Enqueued"}, {2 * time.Second, "Dequeued"},
		{4 * time.Second, "PreProcessing"},
		{5 * time.Second, "Processing"}, {11999 * time.Millisecond, "Processing"}, {12 * time.Second, "Processed"},
		{time.Hour, "Processed"},
	} {
		b.clock.Advance(start.Add(step.at).Sub(b.clock.Now()))
		if got := b.status(id); got != step.want {
			t.Errorf("after %v: %s, want %s", step.at, got, step.want)
		}
	}
	execution := b.action("GetExecutionIdByMessageId", "_messageId", id)
	if !strings.HasPrefix(execution, "CustGroups-2026-03-02T08:00:02-") {
		t.Errorf("execution %q, want project and time in front", execution)
	}
	if got := b.action("GetExecutionSummaryStatus", "executionId", execution); got != "Succeeded" {
		t.Errorf("summary status %q", got)
	}
	if got := b.action("GetExecutionSummaryPageUrl", "executionId", execution); !strings.HasPrefix(got,
		b.URL()+"/?cmp=DAT&") {
		t.Errorf("summary page %q", got)
	}
	i := b.import1(id)
	if i.ExternalID != "file Customer groups" || i.Company != "DAT" || i.Order != 0 {
		t.Errorf("recorded as %+v", i)
	}
	if !i.AcceptedAt.Equal(start) || !i.EndedAt.Equal(start.Add(12*time.Second)) {
		t.Errorf("recorded from %v to %v", i.AcceptedAt, i.EndedAt)
	}
	if i.Records != 2 || len(i.SHA256) != 64 {
		t.Errorf("recorded content: %+v", i)
	}
}

func TestParallelImportsOfAnEntityDeadlock(t *testing.T) {
	b := begin(t, nil)
	first := b.enqueue(groupsJob, "Customer groups", goodGroups)
	b.clock.Advance(3 * time.Second)
	second := b.enqueue(groupsJob, "Customer groups", goodGroups)
	other := b.enqueue(groupsJob, "Vendors V2", "x")
	b.clock.Advance(13 * time.Second)
	third := b.enqueue(groupsJob, "Customer groups", goodGroups)
	b.clock.Advance(12 * time.Second)
	for id, want := range map[string]string{first: "Processed", second: "ProcessedWithErrors", other: "Processed",
		third: "Processed"} {
		if got := b.status(id); got != want {
			t.Errorf("import %d: %s, want %s", b.import1(id).Order, got, want)
		}
	}
	execution := b.action("GetExecutionIdByMessageId", "_messageId", second)
	if got := b.action("GetExecutionErrors", "executionId", execution); !strings.Contains(got, "DMF1996") ||
		!strings.Contains(got, "deadlock") {
		t.Errorf("errors of the victim: %s", got)
	}
}

// The entity is free when the last of its imports has ended, not when the last one accepted has.
func TestShortImportDoesNotFreeTheEntityOfALongOne(t *testing.T) {
	b := begin(t, func(o *Options) {
		o.Jobs = append(o.Jobs, Job{ID: "1d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e05", ImportTime: time.Second})
	})
	const short = "1d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e05"
	b.enqueue(groupsJob, "Vendors V2", "long")
	b.clock.Advance(2 * time.Second)
	b.enqueue(short, "Vendors V2", "short")
	b.clock.Advance(5 * time.Second)
	b.enqueue(short, "Vendors V2", "short")
	for n, want := range []string{"Processed", "ProcessedWithErrors", "ProcessedWithErrors"} {
		if got := b.Imports()[n].Outcome; got != want {
			t.Errorf("import %d: %s, want %s", n, got, want)
		}
	}
}
