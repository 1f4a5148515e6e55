package dynamics

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// What F&O and its gateways are known to do besides breaking connections.

func TestARefusalComesBeforeTheBody(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: Refuse, Status: 503, Times: 1})
	body := &counting{r: strings.NewReader(goodGroups)}
	if code := b.askFirst(body, int64(len(goodGroups))); code != 503 || body.n != 0 {
		t.Errorf("answered %d after %d bytes, want 503 after none", code, body.n)
	}
	if n := len(b.Imports()); n != 0 {
		t.Errorf("%d imports", n)
	}
}

func TestAnAnswerAfterTheDeedHidesIt(t *testing.T) {
	b := begin(t, nil)
	for n, status := range []int{500, 502, 503, 504, 200} {
		b.Faults().MustAdd(Fault{Operation: Enqueue, Act: AnswerAfter, Status: status, Body: "<html>sorry</html>", Times: 1})
		r, err := b.groups(t.Context())
		if err != nil || r.code != status || r.body != "<html>sorry</html>" || len(b.Imports()) != n+1 {
			t.Errorf("%d %q (%v), %d imports; want %d after import %d", r.code, r.body, err, len(b.Imports()), status, n+1)
		}
	}
}

func TestALongListOfErrorsIsNoJSON(t *testing.T) {
	b := begin(t, nil)
	var errs []ExecutionError
	for range 3506 {
		errs = append(errs, ExecutionError{"1", "CUSTGROUP", "The value \"10\"\nis not found"})
	}
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: ImportEnds, Outcome: "ProcessedWithErrors", Errors: errs, Broken: true})
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	b.clock.Advance(time.Hour)
	got := b.action("GetExecutionErrors", "executionId", b.import1(id).ExecutionID)
	if json.Valid([]byte(got)) || strings.Count(got, `{"RecordId":"1","Field":"CUSTGROUP","ErrorMessage":"The value "10"`) != 3506 {
		t.Errorf("%.300s", got)
	}
}

func TestAnImportGoesBackIntoTheQueueOnce(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{
		Operation: Enqueue, Act: ImportEnds, Outcome: "Processed", Requeue: Duration(4 * time.Second),
	})
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	var words []string
	for range 14 {
		if w := b.status(id); len(words) == 0 || words[len(words)-1] != w {
			words = append(words, w)
		}
		b.clock.Advance(time.Second)
	}
	want := []string{"Enqueued", "Dequeued", "PreProcessing", "Processing", "Enqueued", "Processing", "Processed"}
	if !slices.Equal(words, want) {
		t.Errorf("%v, want %v", words, want)
	}
}

// A token that is good for nothing any more is challenged; a job that does not name the client only refuses.
func TestOnlyABadTokenIsChallenged(t *testing.T) {
	b := begin(t, func(o *Options) { o.Jobs[0].Clients = []string{"somebody else"} })
	r := b.do("POST", enqueuePath(groupsJob, "Customer groups"), goodGroups)
	if c := r.header.Get("WWW-Authenticate"); r.code != 401 || c == "" || strings.Contains(c, "claims=") {
		t.Errorf("%d %q", r.code, c)
	}
	b.RevokeTokens()
	r = b.do("POST", enqueuePath(packageJob, ""), "PK")
	if c := r.header.Get("WWW-Authenticate"); r.code != 401 || !strings.Contains(c, `claims="`) {
		t.Errorf("%d %q", r.code, c)
	}
}
