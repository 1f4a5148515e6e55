package dynamics

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"

	"github.com/google/go-cmp/cmp"
)

// odata serves one action and notes what it was asked.
func odata(t *testing.T, status int, body string, asked *map[string]string, path *string) *Environment {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		*path = r.Method + " " + r.URL.Path
		*asked = nil
		if err := json.NewDecoder(r.Body).Decode(asked); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") == "" {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestActionsAskInFnOsWords(t *testing.T) {
	var asked map[string]string
	var path string
	const base = "POST /data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
	e := odata(t, 200, `{"@odata.context":"x","value":"[]"}`, &asked, &path)
	const odd = `Import "1"/é:+`
	calls := []struct {
		path  string
		asked map[string]string
		call  func() error
	}{
		{"GetMessageStatus", map[string]string{"messageId": aMessageID}, func() error { _, err := e.MessageStatus(t.Context(), aMessageID); return err }},
		{"GetExecutionIdByMessageId", map[string]string{"_messageId": aMessageID}, func() error { _, err := e.ExecutionID(t.Context(), aMessageID); return err }},
		{"GetExecutionErrors", map[string]string{"executionId": odd}, func() error { _, err := e.ExecutionErrors(t.Context(), odd); return err }},
		{"GetExecutionSummaryPageUrl", map[string]string{"executionId": odd}, func() error { _, err := e.ExecutionSummaryURL(t.Context(), odd); return err }},
	}
	for _, c := range calls {
		if err := c.call(); err != nil {
			t.Error(err)
		}
		if path != base+c.path || !cmp.Equal(asked, c.asked) {
			t.Errorf("asked %s for %v", path, asked)
		}
	}
}

func TestMessageStatus(t *testing.T) {
	rows := []struct {
		status int
		body   string
		want   Status
	}{
		{200, `{"@odata.context":"https://x/data/$metadata#Edm.String","value":"Processed"}`, Status{status.Processed, "Processed"}},
		{200, `{"value":"PreProcessError"}`, Status{status.PreProcessingError, "PreProcessError"}},
		{200, `{"value":" inprocess "}`, Status{status.Processing, "inprocess"}},
		{200, `{"value":"InQuarantine"}`, Status{status.Unrecognised, "InQuarantine"}},
		{200, `{"value":""}`, Status{}},
		{200, `{"value":null}`, Status{}},
		{200, `{"value":5}`, Status{status.Unrecognised, "5"}},
		{400, `{"error":{"message":"An error has occurred."}}`, Status{}},
	}
	for _, r := range rows {
		var asked map[string]string
		var path string
		got, err := odata(t, r.status, r.body, &asked, &path).MessageStatus(t.Context(), aMessageID)
		if err != nil || got != r.want {
			t.Errorf("HTTP %d %s: %+v, %v", r.status, r.body, got, err)
		}
	}
	for body, reason := range map[string]failure.Reason{"": failure.BadAnswer, "<html></html>": failure.BadAnswer, `{}`: failure.BadAnswer, `[]`: failure.BadAnswer} {
		var asked map[string]string
		var path string
		_, err := odata(t, 200, body, &asked, &path).MessageStatus(t.Context(), aMessageID)
		failed(t, err, failure.Retry, reason)
	}
}

func TestEverySpellingOfAStatus(t *testing.T) {
	final := map[status.Status]bool{
		status.Processed: true, status.ProcessedWithErrors: true, status.PreProcessingError: true, status.PostProcessingFailed: true,
	}
	documented := []string{
		"Enqueued", "Dequeued", "Preprocessing", "PreProcessing", "Processing", "InProcess", "Processed", "ProcessedWithErrors",
		"PreProcessingError", "PreProcessError", "PostProcessingFailed", "PostProcessingError", "PostProcessError",
	}
	for _, word := range documented {
		for _, spelling := range []string{word, strings.ToLower(word), strings.ToUpper(word), " " + word + "\r\n"} {
			s := ParseStatus(spelling)
			if s.State == status.Unrecognised || s.State == "" || s.Raw != strings.TrimSpace(spelling) {
				t.Errorf("%q: %+v", spelling, s)
			}
			if s.Final() != final[s.State] || s.OK() != (s.State == status.Processed) {
				t.Errorf("%q: final %v, well %v", spelling, s.Final(), s.OK())
			}
		}
	}
	for _, word := range []string{"PartiallySucceeded", "Failed", "Processed?", "InQuarantine", "Downloaded", "Acked", "NeverEnds"} {
		if s := ParseStatus(word); s != (Status{status.Unrecognised, word}) || s.Final() || s.OK() {
			t.Errorf("%q: %+v", word, s)
		}
	}
	if s := ParseStatus("  "); s != (Status{}) || s.Final() || s.OK() {
		t.Errorf("no word: %+v", s)
	}
}

func TestExecutionID(t *testing.T) {
	const id = "MyImport-2024-05-03T10:11:12-319F6ED28C6D4756AC9F4D4E312DC4F9"
	rows := []struct {
		status     int
		body, want string
	}{
		{200, `{"value":"` + id + `"}`, id},
		{200, `{"value":"` + zeroGUID + `"}`, ""},
		{200, `{"value":"{` + zeroGUID + `}"}`, ""},
		{200, `{"value":""}`, ""},
		{200, `{"value":null}`, ""},
		{400, `{"error":{}}`, ""},
	}
	for _, r := range rows {
		var asked map[string]string
		var path string
		if got, err := odata(t, r.status, r.body, &asked, &path).ExecutionID(t.Context(), aMessageID); err != nil || got != r.want {
			t.Errorf("HTTP %d %s: %q %v", r.status, r.body, got, err)
		}
	}
}

func TestExecutionErrorsAreJSONInAString(t *testing.T) {
	two := `[{"RecordId":"479625","Field":"","ErrorMessage":"The value 'X' in field 'Y' is not found…\r\n"},{"RecordId":7,"Field":"CUSTGROUP","ErrorMessage":null}]`
	wrap := func(s string) string { b, _ := json.Marshal(map[string]string{"value": s}); return string(b) }
	rows := map[string][]ExecutionError{
		wrap(two):               {{"479625", "", "The value 'X' in field 'Y' is not found…"}, {"7", "CUSTGROUP", ""}},
		wrap("[]"):              nil,
		wrap("no list"):         {{"", "", "no list"}},
		wrap(brokenList):        parseExecutionErrors(brokenList),
		wrap(""):                nil,
		`{"value":null}`:        nil,
		`{"value":` + two + `}`: {{"479625", "", "The value 'X' in field 'Y' is not found…"}, {"7", "CUSTGROUP", ""}}, // not double-encoded
	}
	for body, want := range rows {
		var asked map[string]string
		var path string
		got, err := odata(t, 200, body, &asked, &path).ExecutionErrors(t.Context(), "e")
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %v %v", body, got, err)
		}
	}
	var asked map[string]string
	var path string
	_, err := odata(t, 400, `{"error":{"message":"Execution details were not found"}}`, &asked, &path).ExecutionErrors(t.Context(), "e")
	failed(t, err, failure.Retry, failure.BadRequest)
}

func TestAnAnswerWithoutEndIsNotReadToItsEnd(t *testing.T) {
	e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(endless{})}, nil
	})})
	_, err := e.MessageStatus(t.Context(), aMessageID)
	failed(t, err, failure.Retry, failure.BadAnswer)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestStatusCallsOfAllCallersShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		e := newEnvironment(t, Options{StatusCalls: 10, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			calls.Add(1)
			return answer(200, `{"value":"Processing"}`), nil
		})})
		begin := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := e.Budget().AwaitTurn(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := e.MessageStatus(t.Context(), aMessageID); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(begin); d < 3900*time.Millisecond || d > 4100*time.Millisecond || calls.Load() != 50 {
			t.Errorf("%d calls in %v, want 50 in 4 s: a burst of 10, then 10 a second", calls.Load(), d)
		}
		f, _ := aFile("x")
		begin = time.Now()
		_, _ = e.Enqueue(t.Context(), f)
		if time.Since(begin) != 0 {
			t.Error("an upload waited for the budget of status calls")
		}
	})
}
