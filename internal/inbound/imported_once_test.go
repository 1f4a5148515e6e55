package inbound

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// value is an answer of an OData action.
func value(s string) *http.Response {
	b, _ := json.Marshal(map[string]string{"value": s}) // strings always marshal
	return reply(http.StatusOK, string(b))
}

// A gateway that lost the connection to F&O, or gave up, after it had passed the whole file on.
func TestAServerErrorAfterFnoTookTheFileIsSaidAndNotRepeated(t *testing.T) {
	for _, code := range []int{500, 502, 503, 504} {
		for _, resend := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, resend %v", code, resend), func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.fno.parallel, w.route.ResendUnknown = true, resend
					n := 0
					w.fno.after = func(op string) *http.Response {
						if op != "post" || n == 3 {
							return nil
						}
						n++
						return reply(code, "bad gateway")
					}
					w.send("Entity 0", "journal", "good")
					w.start()
					w.drained()
					r := w.check()
					posts, said := w.posts("journal"), w.topic.of("journal")
					if !resend && (posts != 1 || !slices.Equal(said, []status.Status{status.UnknownOutcome, status.DeadLettered})) {
						t.Errorf("imported %d times, said %v", posts, said)
					}
					if resend && (posts != 4 || r.Processed != 1 || !slices.Contains(said, status.UnknownOutcome)) {
						t.Errorf("imported %d times, said %v", posts, said)
					}
				})
			})
		}
	}
}

// Imported once is imported: what a second import would double is not posted again, whatever the errors say.
func TestWhatIsInIsNotImportedAgain(t *testing.T) {
	const deadlock = `[{"RecordId":"1","Field":"","ErrorMessage":"Posting of journal 00042: chosen as the deadlock victim"}]`
	for _, row := range []struct {
		ends   string
		repeat bool // partialImport: repeat
		posts  int
		reason failure.Reason
	}{
		{"PostProcessingFailed", false, 1, failure.PostProcessingFailed},
		{"PostProcessingFailed", true, 1, failure.PostProcessingFailed},
		{"ProcessedWithErrors", false, 1, failure.ImportDeadlock},
		{"ProcessedWithErrors", true, 8, failure.ImportDeadlock},
		{"PreProcessingError", false, 8, failure.ImportDeadlock}, // nothing is in
	} {
		t.Run(fmt.Sprintf("%s, repeat %v", row.ends, row.repeat), func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fno.parallel, w.route.RepeatPartial = true, row.repeat
				w.fno.shape = func(op string, _ *http.Request) (*http.Response, error) {
					switch op {
					case "GetMessageStatus":
						return value(row.ends), nil
					case "GetExecutionErrors":
						return value(deadlock), nil
					}
					return nil, nil
				}
				w.send("Entity 0", "journal", "good")
				w.start()
				w.drained()
				w.end()
				l, _ := w.letter("journal")
				if got := w.posts("journal"); got != row.posts || failure.Reason(l.reason) != row.reason {
					t.Errorf("imported %d times, dead-lettered for %s; want %d times, %s", got, l.reason, row.posts, row.reason)
				}
			})
		})
	}
}

// Why an import failed is worth a question, not the session: a client that may not ask, a page, or silence ends it.
func TestErrorsThatCannotBeReadHoldNobody(t *testing.T) {
	page := saying(http.StatusOK, "<html></html>")
	for name, shape := range map[string]wireShape{
		"401": saying(401, "no"), "403": saying(403, "no rights to this action"), "404": saying(404, ""), "302": saying(302, ""), "407": saying(407, ""),
		"429": saying(429, ""), "503": saying(503, ""), "500": saying(500, ""), "a page": page, "silence": silence, "a reset": breaking(errReset),
	} {
		for _, action := range []string{"GetExecutionIdByMessageId", "GetExecutionErrors", "GetExecutionSummaryPageUrl"} {
			t.Run(name+"/"+action, func(t *testing.T) {
				in(t, func(t *testing.T, w *world) {
					w.b.lock = 5 * time.Minute
					asked := 0
					w.fno.shape = func(op string, req *http.Request) (*http.Response, error) {
						if op != action {
							return nil, nil
						}
						asked++
						return shape(op, req)
					}
					w.send("Entity 0", "bad one", "bad")
					w.send("Entity 0", "next", "good")
					w.fill(3, 5, nil)
					r := w.start()
					var env announced
					env.watch(r.env.Gate())
					began := time.Now()
					w.drained()
					if took := time.Since(began); took > 10*time.Minute || asked > explainTries {
						t.Errorf("it took %s and %d questions", took, asked)
					}
					if throttled := name == "429" || name == "503"; env.paused > 0 && !throttled {
						t.Errorf("the environment was closed: %+v", env)
					}
					if report := w.check(); report.Processed != 16 || report.DeadLettered != 1 {
						t.Errorf("%+v", report)
					}
				})
			})
		}
	}
}

// The list of errors that F&O writes is broken by what it quotes. Record, field and words reach the dead letter all the same,
// of thousands of rows as many as it has room for; and a collision is found in it.
func TestABrokenListOfErrorsIsUnderstood(t *testing.T) {
	row := func(n int, words string) string {
		return fmt.Sprintf(`{"RecordId":"%d","Field":"CUSTGROUP","ErrorMessage":"%s"}`, n, words)
	}
	var rows []string
	for n := range 3506 {
		rows = append(rows, row(n+1, "The value \"10\" in field \"Customer group\"\nis not found"))
	}
	for name, c := range map[string]struct {
		list  string
		posts int
		says  string
	}{
		"bad data":    {"[" + strings.Join(rows, ",") + "]", 1, `record 1, field CUSTGROUP: The value "10" in field "Customer group" is not found`},
		"a collision": {"[" + row(1, `Transaction "71" was deadlocked on lock resources`) + "]", 8, "deadlocked"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				w.fno.parallel = true
				w.fno.shape = func(op string, _ *http.Request) (*http.Response, error) {
					switch op {
					case "GetMessageStatus":
						return value("ProcessedWithErrors"), nil
					case "GetExecutionErrors":
						return value(c.list), nil
					}
					return nil, nil
				}
				w.send("Entity 0", "file", "good")
				w.start()
				w.drained()
				w.end()
				l, _ := w.letter("file")
				if w.posts("file") != c.posts || !strings.Contains(l.detail, c.says) {
					t.Errorf("imported %d times: %.300s", w.posts("file"), l.detail)
				}
			})
		})
	}
}

// F&O takes an import back into its queue (without Skip reprocessing), and begins it anew: that is said once, and followed.
func TestAnImportThatGoesBackIntoTheQueueIsSaid(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.fno.takes = 10 * time.Minute
		w.fno.words = []string{"Enqueued", "Dequeued", "Processing", "Enqueued", "Dequeued", "Processing", "Enqueued", "Processing"}
		w.send("Entity 0", "a", "good")
		w.start()
		w.drained()
		want := []status.Status{status.Enqueued, status.Dequeued, status.Processing, status.Requeued, status.Processed}
		if got := w.topic.of("a"); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if r := w.check(); r.Processed != 1 {
			t.Errorf("%+v", r)
		}
	})
}
