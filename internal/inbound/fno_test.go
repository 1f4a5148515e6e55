package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fnobridge/internal/history"
	"fnobridge/internal/retry"
)

// A fakeFno plays F&O behind an http.RoundTripper. Imports of one entity at the same time end in a deadlock, unless
// parallel is set. What a file says decides how its import ends: "bad" in it fails its records, "deadlock" collides the
// first time, "never" does not end. "mended" passes from the second time on, whatever else it says.
type fakeFno struct {
	plan     *faultPlan
	b        *fakeBroker
	call     time.Duration // of every call
	post     time.Duration // of a post, if it is another one
	takes    time.Duration // of an import
	parallel bool
	words    []string                             // what an import says before it ends, evenly spread
	outage   func(host, op string) *http.Response // answers instead of F&O; nil for no answer of its own

	mu      sync.Mutex
	order   int
	imports []*fakeImport
	asked   map[string]int // status questions by message ID
}

type fakeImport struct {
	history.Recorded
	entity  string
	process string
	ends    time.Time
	errors  string
}

type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "a-token", ExpiresOn: time.Now().Add(1000 * time.Hour)}, nil
}

// A fakeRoad is F&O as one process reaches it.
type fakeRoad struct {
	f *fakeFno
	p *process
}

var errReset = errors.New("connection reset by peer")

func (r fakeRoad) RoundTrip(req *http.Request) (*http.Response, error) {
	f := r.f
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	op := "post"
	if !strings.Contains(req.URL.Path, "/enqueue/") {
		op = req.URL.Path[strings.LastIndex(req.URL.Path, ".")+1:]
	}
	session := req.URL.Query().Get("entity")
	if !r.p.Alive() {
		return nil, errKilled
	}
	if op == "post" && !f.b.owned(r.p, session) {
		if !r.p.Alive() { // killed and cut since the question above
			return nil, errKilled
		}
		f.b.wrong("%s posted %s of session %q without its lock", r.p.name, req.Header.Get("x-ms-dyn-externalidentifier"), session)
	}
	kind := f.plan.at(op)
	if f.outage != nil {
		f.mu.Lock()
		resp := f.outage(req.URL.Host, op)
		f.mu.Unlock()
		if resp != nil {
			return resp, nil
		}
	}
	switch kind {
	case failsBefore:
		return nil, errReset
	case lockLost:
		if op == "post" {
			f.b.steal(session)
		} else {
			r.p.StealAll(theFiles)
		}
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	if kind == hangs {
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	}
	d := f.call
	if op == "post" && f.post > 0 {
		d = f.post
	}
	if !retry.Wait(req.Context(), d) {
		return nil, context.Cause(req.Context())
	}
	if !r.p.Alive() && kind != replyLost {
		return nil, errKilled
	}
	if op == "post" && f.b.ownedByAnother(r.p, session) {
		f.b.wrong("%s's post of %s took effect when another process held session %q", r.p.name, req.Header.Get("x-ms-dyn-externalidentifier"), session)
	}
	answer, code := f.answer(op, req, body, r.p)
	if kind == replyLost || !r.p.Alive() {
		return nil, errReset
	}
	return reply(code, answer), nil
}

func reply(code int, answer string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer))}
}

func (f *fakeFno) answer(op string, req *http.Request, body []byte, p *process) (string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op == "post" {
		id := f.take(req.URL.Query().Get("entity"), req.Header.Get("x-ms-dyn-externalidentifier"), body, p)
		return `"` + id + `"`, http.StatusOK
	}
	var in map[string]string
	if err := json.Unmarshal(body, &in); err != nil {
		return "{}", http.StatusBadRequest
	}
	i := f.find(in["messageId"] + in["_messageId"] + in["executionId"])
	if i == nil {
		return `{"error":{"message":"unknown"}}`, http.StatusBadRequest
	}
	value := ""
	switch op {
	case "GetMessageStatus":
		f.asked[i.MessageID]++
		value = f.word(i)
	case "GetExecutionIdByMessageId":
		value = i.MessageID
	case "GetExecutionErrors":
		value = i.errors
	case "GetExecutionSummaryPageUrl":
		value = "https://fno.example/summary/" + i.MessageID
	default:
		return "{}", http.StatusNotFound
	}
	out, _ := json.Marshal(map[string]string{"value": value})
	return string(out), http.StatusOK
}

// take records an import; mu is held.
func (f *fakeFno) take(entity, key string, body []byte, p *process) string {
	now := time.Now()
	f.order++
	sum := sha256.Sum256(body)
	i := &fakeImport{entity: entity, process: p.name, ends: now.Add(f.takes)}
	i.Recorded = history.Recorded{
		ExternalID: key, MessageID: fmt.Sprintf("00000000-0000-0000-0000-%012d", f.order), Hash: hex.EncodeToString(sum[:]),
		Order: f.order, Accepted: now, Status: "Processed",
	}
	seen := false
	for _, o := range f.imports {
		seen = seen || o.ExternalID == key
		if !f.parallel && o.entity == entity && !o.ends.IsZero() && o.ends.After(now) {
			i.Status, i.errors = "ProcessedWithErrors", `[{"RecordId":"1","Field":"","ErrorMessage":"deadlock with another import"}]`
		}
	}
	text := string(body)
	if _, after, ok := strings.Cut(text, "takes="); ok {
		var seconds int
		_, _ = fmt.Sscan(after, &seconds)
		i.ends = now.Add(time.Duration(seconds) * time.Second)
	}
	switch {
	case strings.Contains(text, "never"):
		i.ends = time.Time{}
	case strings.Contains(text, "mended") && seen:
	case strings.Contains(text, "bad"):
		i.Status, i.errors = "ProcessedWithErrors", `[{"RecordId":"7","Field":"NAME","ErrorMessage":"the value is not valid"}]`
	case strings.Contains(text, "deadlock") && !seen:
		i.Status, i.errors = "ProcessedWithErrors", `[{"RecordId":"1","Field":"","ErrorMessage":"deadlock with another import"}]`
	}
	f.imports = append(f.imports, i)
	return i.MessageID
}

func (f *fakeFno) find(id string) *fakeImport {
	for _, i := range f.imports {
		if i.MessageID == id {
			return i
		}
	}
	return nil
}

// word returns the status of an import now; mu is held.
func (f *fakeFno) word(i *fakeImport) string {
	now := time.Now()
	if !i.ends.IsZero() && !now.Before(i.ends) {
		return i.Status
	}
	words := f.words
	if len(words) == 0 {
		words = []string{"Enqueued", "Processing"}
	}
	n := 0
	if f.takes > 0 {
		n = min(int(int64(now.Sub(i.Accepted))*int64(len(words))/int64(f.takes)), len(words)-1)
	}
	return words[n]
}

func (f *fakeFno) recorded() []history.Recorded {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []history.Recorded
	for _, i := range f.imports {
		r := i.Recorded
		if r.Ended = i.ends; i.ends.IsZero() {
			r.Status = "Processing"
		}
		all = append(all, r)
	}
	return all
}
