package dynamics

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestUnknownIDs(t *testing.T) {
	b := begin(t, func(o *Options) { o.StatusLag = time.Second })
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	const nobody = "11111111-0000-0000-0000-000000000000"
	var odata struct {
		Error struct {
			Message    string
			InnerError struct{ Message, Type string }
		}
	}
	for name, r := range map[string]reply{
		"status of nobody":          b.act("GetMessageStatus", "messageId", nobody),
		"status right after":        b.act("GetMessageStatus", "messageId", id),
		"execution right after":     b.act("GetExecutionIdByMessageId", "_messageId", id),
		"parameter without its _":   b.act("GetExecutionIdByMessageId", "messageId", id),
		"summary of nobody":         b.act("GetExecutionSummaryStatus", "executionId", "Groups-1"),
		"summary of a message":      b.act("GetExecutionSummaryStatus", "executionId", id),
		"summary page of a message": b.act("GetExecutionSummaryPageUrl", "executionId", id),
	} {
		if err := json.Unmarshal([]byte(r.body), &odata); err != nil || r.code != 400 ||
			odata.Error.Message != "An error has occurred." || odata.Error.InnerError.Message == "" {
			t.Errorf("%s: %d %s (%v), want 400 with an OData error", name, r.code, r.body, err)
		}
	}
	b.clock.Advance(time.Second)
	if got := b.status(id); got != "Enqueued" {
		t.Errorf("after the lag: %s", got)
	}
	if r := b.act("DeleteEverything", "messageId", id); r.code != 404 {
		t.Errorf("an action that does not exist: %d, want 404", r.code)
	}
	if r := b.do("POST", actionPath+"GetMessageStatus", "not JSON"); r.code != 400 {
		t.Errorf("no JSON: %d, want 400", r.code)
	}
	if r := b.do("GET", actionPath+"GetMessageStatus", ""); r.code != 405 {
		t.Errorf("GET: %d, want 405", r.code)
	}
}

// The classic mistake, and the reasons for which a failed import names no error.
func TestExecutionErrorsAreOftenEmpty(t *testing.T) {
	b := begin(t, func(o *Options) { o.Jobs[3].NoErrors = true })
	bad := "CUSTOMERGROUPID\n\"\"\n"
	id := b.enqueue(groupsJob, "Customer groups", bad)
	execution := b.import1(id).ExecutionID
	if got := b.action("GetExecutionErrors", "executionId", execution); got != "[]" {
		t.Errorf("before the end: %s, want []", got)
	}
	b.clock.Advance(time.Hour)
	if got := b.action("GetExecutionErrors", "executionId", id); got != "[]" {
		t.Errorf("asked with the message ID: %s, want []", got)
	}
	if got := b.action("GetExecutionErrors", "executionId", execution); !strings.HasPrefix(got,
		`[{"RecordId":"1","Field":"CUSTOMERGROUPID"`) {
		t.Errorf("asked with the execution ID: %s, want the error", got)
	}
	cleaned := b.enqueue(orderedJob, "Customer groups", bad)
	b.clock.Advance(time.Hour)
	if got := b.action("GetExecutionErrors", "executionId", b.import1(cleaned).ExecutionID); got != "[]" {
		t.Errorf("after a staging clean-up: %s, want []", got)
	}
}

func TestSummaryStatus(t *testing.T) {
	b := begin(t, nil)
	for body, want := range map[string]string{
		goodGroups:                              "Succeeded",
		"CUSTOMERGROUPID\n1\n\"\"\n":            "PartiallySucceeded",
		"CUSTOMERGROUPID\n\"\"\n":               "Failed",
		"":                                      "Failed",
		"CUSTOMERGROUPID,CREDITLIMIT\n,x\n1,\n": "Failed", // as many errors as records
	} {
		id := b.enqueue(groupsJob, "Customer groups", body)
		b.clock.Advance(2 * time.Second)
		execution := b.import1(id).ExecutionID
		if got := b.action("GetExecutionSummaryStatus", "executionId", execution); got != "Executing" {
			t.Errorf("%q: %s while it runs", body, got)
		}
		b.clock.Advance(time.Hour)
		if got := b.action("GetExecutionSummaryStatus", "executionId", execution); got != want {
			t.Errorf("%q: %s, want %s", body, got, want)
		}
	}
}

func TestSpelling(t *testing.T) {
	b := begin(t, func(o *Options) {
		o.Spelling = map[string]string{"Processing": "InProcess", "PreProcessing": "Preprocessing"}
	})
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	b.clock.Advance(4 * time.Second)
	first := b.status(id)
	b.clock.Advance(4 * time.Second)
	if second := b.status(id); first != "Preprocessing" || second != "InProcess" {
		t.Errorf("%s, %s", first, second)
	}
}

func TestJobStatus(t *testing.T) {
	b := begin(t, nil)
	id := b.enqueue(groupsJob, "Customer groups", "CUSTOMERGROUPID\n1\n\"\"\n")
	ask := func() (state int, execution string, details int) {
		t.Helper()
		var v struct {
			DataJobStatus struct {
				DataProject, DataJobIdentifier, ExternalIdentifier, ExecutionIdentifier string
				DataJobState                                                            int
			}
			ExecutionDetail []map[string]any
		}
		r := b.do("GET", "/api/connector/jobstatus/"+groupsJob+"?jobId="+id, "")
		if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.code != 200 ||
			v.DataJobStatus.ExternalIdentifier != "file Customer groups" || v.DataJobStatus.DataProject != "CustGroups" {
			t.Fatalf("%d %s (%v)", r.code, r.body, err)
		}
		return v.DataJobStatus.DataJobState, v.DataJobStatus.ExecutionIdentifier, len(v.ExecutionDetail)
	}
	if state, execution, _ := ask(); state != 0 || execution != "" {
		t.Errorf("state %d, execution %q; want 0 and none", state, execution)
	}
	b.clock.Advance(8 * time.Second)
	if state, execution, _ := ask(); state != 4 || execution == "" {
		t.Errorf("state %d, execution %q; want 4 and one", state, execution)
	}
	b.clock.Advance(8 * time.Second)
	if state, _, details := ask(); state != 6 || details != 1 {
		t.Errorf("state %d, %d details; want 6 and 1", state, details)
	}
	for path, want := range map[string]int{groupsJob + "?jobId=nobody": 400, orderedJob + "?jobId=" + id: 400,
		"x?jobId=" + id: 404} {
		if r := b.do("GET", "/api/connector/jobstatus/"+path, ""); r.code != want {
			t.Errorf("%s: %d, want %d", path, r.code, want)
		}
	}
}

func TestAffinityCookieIsNoticed(t *testing.T) {
	b := begin(t, nil)
	r := b.do("POST", enqueuePath(groupsJob, "Vendors V2"), "x")
	if b.Cookies() != 0 || r.header.Get("Set-Cookie") == "" {
		t.Errorf("%d cookies came, Set-Cookie %q", b.Cookies(), r.header.Get("Set-Cookie"))
	}
	b.do("POST", enqueuePath(groupsJob, "Vendors V2"), "x", "Cookie", r.header.Get("Set-Cookie"))
	if b.Cookies() != 1 {
		t.Error("the cookie that was sent back went unnoticed")
	}
}

func TestDataJobState(t *testing.T) {
	for status, want := range map[string]int{
		"Enqueued": 0, "Dequeued": 1, "PreProcessing": 4, "Processing": 4, "InProcess": 4, "Processed": 5,
		"ProcessedWithErrors": 6, "PostProcessingError": 7, "PreProcessingError": 8,
	} {
		if got := dataJobState(status); got != want {
			t.Errorf("%s: %d, want %d", status, got, want)
		}
	}
}
