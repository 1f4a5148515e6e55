package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/go-cmp/cmp"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

const (
	exportJob = "06d7e9a2-3b5c-4f18-92ad-c4f7b8e05c19"
	host      = "https://contoso.operations.dynamics.com"
)

// fno plays the three calls of an export job. Every field below mu may be changed by a test before it runs.
type fno struct {
	mu       sync.Mutex
	offered  []string          // correlation IDs, in order
	files    map[string]string // by correlation ID; absent: no file
	acked    map[string]string // by correlation ID, the body of the ack
	calls    []string          // "dequeue", "download ID", "ack ID", in order
	again    map[string]bool   // offered again: LastDequeueDateTime is set
	fail     func(call string, n int) (int, error)
	counts   map[string]int
	asked    []time.Time // when each of the calls came
	after    string      // Retry-After of what fails
	whenIdle func()      // called when there is nothing more to dequeue
	export   *Export     // as play made it
}

func newFno(files ...string) *fno {
	f := &fno{files: map[string]string{}, acked: map[string]string{}, again: map[string]bool{}, counts: map[string]int{}}
	for i, body := range files {
		id := fmt.Sprintf("corr-%d", i+1)
		f.offered = append(f.offered, id)
		if body != "" {
			f.files[id] = body
		}
	}
	return f
}

func answer(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func (f *fno) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	op := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[2]
	call := op
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body) // in memory
	}
	if op == "download" {
		call += " " + r.URL.Query().Get("correlation-id")
	}
	if op == "ack" {
		_, rest, _ := strings.Cut(string(body), `"CorrelationId":"`)
		id, _, _ := strings.Cut(rest, `"`)
		call += " " + id
	}
	f.calls, f.asked = append(f.calls, call), append(f.asked, time.Now())
	f.counts[call]++
	if f.fail != nil {
		if code, err := f.fail(call, f.counts[call]); code != 0 || err != nil {
			if err != nil {
				return nil, err
			}
			a := answer(code, "")
			a.Header.Set("Retry-After", f.after)
			return a, nil
		}
	}
	switch op {
	case "dequeue":
		if len(f.offered) == 0 {
			if f.whenIdle != nil {
				f.whenIdle()
			}
			return answer(http.StatusNoContent, ""), nil
		}
		id := f.offered[0]
		f.offered = f.offered[1:]
		_, has := f.files[id]
		last := "null"
		if f.again[id] {
			last = `"2026-11-21T09:00:00"`
		}
		return answer(http.StatusOK, fmt.Sprintf(
			`{"CorrelationId":%q,"PopReceipt":"r","DownloadLocation":"http://contoso.operations.dynamics.com:80/api/connector/download/x?correlation-id=%s","IsDownLoadFileExist":%t,"FileDownLoadErrorMessage":"zero records","LastDequeueDateTime":%s}`,
			id, id, has, last)), nil
	case "download":
		return answer(http.StatusOK, f.files[r.URL.Query().Get("correlation-id")]), nil
	default:
		_, id, _ := strings.Cut(call, " ")
		f.acked[id] = string(body)
		return answer(http.StatusOK, ""), nil
	}
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "secret-token", ExpiresOn: time.Now().Add(24 * time.Hour)}, nil
}

// outbox records what was sent, and may fail first.
type outbox struct {
	fail func(n int) error
	n    int
	sent []*azservicebus.Message
}

func (o *outbox) Send(_ context.Context, m ...*azservicebus.Message) error {
	o.n++
	if o.fail != nil {
		if err := o.fail(o.n); err != nil {
			return err
		}
	}
	o.sent = append(o.sent, m...)
	return nil
}

func (o *outbox) SendIf(ctx context.Context, may func() error, m ...*azservicebus.Message) error {
	if err := may(); err != nil {
		return err
	}
	return o.Send(ctx, m...)
}

// notices records status events.
type notices struct{ events []status.Event }

func (n *notices) Publish(_ context.Context, e ...status.Event) error {
	n.events = append(n.events, e...)
	return nil
}

// memory is a store that keeps what it is given.
type memory map[string][]byte

func (m memory) Upload(_ context.Context, name string, body io.Reader) (string, error) {
	b, err := io.ReadAll(body)
	m[name] = b
	return "https://acct.blob.core.windows.net/exports/" + name, err
}

// play runs an export against f until f has nothing more for a whole poll, with fake time.
func play(t *testing.T, f *fno, o *outbox, change func(*ExportOptions)) *notices {
	t.Helper()
	n := &notices{}
	synctest.Test(t, func(t *testing.T) {
		env, err := dynamics.New(dynamics.Options{Name: "prod", URL: host, Credential: token{}, Transport: f})
		if err != nil {
			t.Fatal(err)
		}
		options := ExportOptions{
			Name: "customers", Environment: env, Activity: exportJob, Entity: "Customers V3", Company: "usmf", Sender: o,
			To: telemetry.Destination{Name: "fno-exports"}, MaxInline: 100, Events: n, Poll: time.Minute, Telemetry: telemetry.Discard(),
		}
		if change != nil {
			change(&options)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		f.whenIdle = func() {
			if len(f.offered) == 0 {
				stop()
			}
		}
		f.export = NewExport(options)
		f.export.Run(ctx, t.Context())
	})
	return n
}

func TestExportPublishesBeforeItAcknowledgesOneAtATime(t *testing.T) {
	f, o := newFno("first", "PK\x03\x04second"), &outbox{}
	n := play(t, f, o, nil)
	want := []string{"dequeue", "download corr-1", "ack corr-1", "dequeue", "download corr-2", "ack corr-2", "dequeue"}
	if d := cmp.Diff(want, f.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
	if len(o.sent) != 2 || string(o.sent[0].Body) != "first" || *o.sent[0].MessageID != exportJob+":corr-1" || *o.sent[0].SessionID != "Customers V3" {
		t.Fatalf("sent %+v", o.sent)
	}
	if *o.sent[0].ContentType != "application/octet-stream" || *o.sent[1].ContentType != "application/zip" {
		t.Errorf("content types %q, %q", *o.sent[0].ContentType, *o.sent[1].ContentType)
	}
	for name, want := range map[string]any{
		"entity": "Customers V3", "company": "usmf", "redelivered": false, "size": int64(5),
		"sha256": "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e",
	} {
		if got := o.sent[0].ApplicationProperties[name]; got != want {
			t.Errorf("property %s is %v, want %v", name, got, want)
		}
	}
	if len(n.events) != 2 || n.events[0].Status != status.Exported {
		t.Errorf("events %+v", n.events)
	}
	if !strings.Contains(f.acked["corr-1"], `http://contoso.operations.dynamics.com:80/`) {
		t.Errorf("the ack is not the dequeue answer verbatim: %s", f.acked["corr-1"])
	}
}

func TestExportIsNotAcknowledgedBeforeTheBrokerHasIt(t *testing.T) {
	f := newFno("file")
	o := &outbox{fail: func(n int) error {
		if n < 4 {
			return errors.New("the broker is away")
		}
		if len(f.acked) > 0 {
			t.Error("acknowledged before it was published")
		}
		return nil
	}}
	play(t, f, o, nil)
	if len(o.sent) != 1 || len(f.acked) != 1 || o.n != 4 {
		t.Errorf("%d sends, %d sent, %d acked", o.n, len(o.sent), len(f.acked))
	}
}

func TestExportWhoseAcknowledgementFailedIsNotPublishedTwice(t *testing.T) {
	f, o := newFno("file"), &outbox{}
	f.fail = func(call string, n int) (int, error) {
		if call != "ack corr-1" || n > ackTries {
			return 0, nil
		}
		if n == ackTries { // given up: F&O offers it again
			f.offered, f.again["corr-1"] = append(f.offered, "corr-1"), true
		}
		return http.StatusInternalServerError, nil
	}
	play(t, f, o, nil)
	if len(o.sent) != 1 || len(f.acked) != 1 {
		t.Errorf("%d sent, %d acked; calls %v", len(o.sent), len(f.acked), f.calls)
	}
	if f.counts["download corr-1"] != 1 {
		t.Errorf("downloaded %d times", f.counts["download corr-1"])
	}
}

func TestExportAfterACrashCarriesTheSameMessageID(t *testing.T) {
	first, second := newFno("file"), newFno("file")
	first.fail = func(call string, _ int) (int, error) {
		if strings.HasPrefix(call, "ack") {
			return http.StatusInternalServerError, nil
		}
		return 0, nil
	}
	a, b := &outbox{}, &outbox{}
	play(t, first, a, nil)
	second.again["corr-1"] = true
	play(t, second, b, nil) // a new process that knows nothing
	if len(a.sent) != 1 || len(b.sent) != 1 || *a.sent[0].MessageID != *b.sent[0].MessageID {
		t.Fatal("duplicate detection could not tell that the two are one")
	}
	if b.sent[0].ApplicationProperties["redelivered"] != true {
		t.Error("a redelivery does not say so")
	}
}

func TestExportWithoutAFileIsAcknowledgedAndTold(t *testing.T) {
	f, o := newFno(""), &outbox{}
	n := play(t, f, o, nil)
	if len(o.sent) != 0 || len(f.acked) != 1 {
		t.Errorf("%d sent, %d acked", len(o.sent), len(f.acked))
	}
	if len(n.events) != 1 || n.events[0].Status != status.ExportEmpty || n.events[0].Detail != "zero records" {
		t.Errorf("events %+v", n.events)
	}
}

func TestExportDownloadIsTriedAgain(t *testing.T) {
	f, o := newFno("file"), &outbox{}
	f.fail = func(call string, n int) (int, error) {
		if strings.HasPrefix(call, "download") && n < downloadTries {
			return http.StatusInternalServerError, nil
		}
		return 0, nil
	}
	play(t, f, o, nil)
	if len(o.sent) != 1 || f.counts["download corr-1"] != downloadTries {
		t.Errorf("%d sent after %d downloads", len(o.sent), f.counts["download corr-1"])
	}
}

func TestExportTooLargeForAMessageBecomesAClaimCheck(t *testing.T) {
	large := strings.Repeat("x", 1000)
	store := memory{}
	f, o := newFno(large), &outbox{}
	play(t, f, o, func(x *ExportOptions) { x.Store = store })
	if len(o.sent) != 1 || len(o.sent[0].Body) != 0 || o.sent[0].ApplicationProperties["dataref"] != "https://acct.blob.core.windows.net/exports/customers/corr-1" {
		t.Fatalf("sent %+v", o.sent)
	}
	if !bytes.Equal(store["customers/corr-1"], []byte(large)) || o.sent[0].ApplicationProperties["size"] != int64(len(large)) {
		t.Error("the stored file is not the exported one")
	}
}

func TestExportTooLargeWithoutAStoreStaysInFno(t *testing.T) {
	f, o := newFno(strings.Repeat("x", 1000)), &outbox{}
	play(t, f, o, nil)
	if len(o.sent) != 0 || len(f.acked) != 0 {
		t.Error("an export that could not be published was acknowledged")
	}
	if n := f.counts["download corr-1"]; n != 1 {
		t.Errorf("downloaded %d times, although it can never fit", n)
	}
}

// F&O says when it wants to be asked again, whatever it is asked.
func TestExportWaitsAsLongAsFnoAsks(t *testing.T) {
	for _, call := range []string{"dequeue", "download corr-1", "ack corr-1"} {
		f, o := newFno("file"), &outbox{}
		f.after = "100"
		f.fail = func(c string, n int) (int, error) {
			if c == call && n == 1 {
				return http.StatusInternalServerError, nil
			}
			return 0, nil
		}
		play(t, f, o, nil)
		i := slices.Index(f.calls, call)
		if len(o.sent) != 1 || f.calls[i+1] != call {
			t.Fatalf("%s: %d sent, calls %v", call, len(o.sent), f.calls)
		}
		if d := f.asked[i+1].Sub(f.asked[i]); d < 100*time.Second || d > 101*time.Second {
			t.Errorf("%s: asked again after %v", call, d)
		}
	}
}

// What is remembered of an export goes with its acknowledgement: a process lives for months.
func TestExportForgetsWhatIsAcknowledged(t *testing.T) {
	f := newFno("first", "second")
	play(t, f, &outbox{}, nil)
	if len(f.acked) != 2 || len(f.export.published) != 0 {
		t.Errorf("%d acknowledged, and of %v it is remembered that they are published", len(f.acked), f.export.published)
	}
}

// A turn ends in time also where there is nothing to fetch: the broker detaches a link that is idle for ten minutes.
func TestExportGivesItsTurnBackInTimeWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, err := dynamics.New(dynamics.Options{Name: "prod", URL: host, Credential: token{}, Transport: newFno()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		turns := 0
		NewExport(ExportOptions{
			Name: "customers", Environment: env, Activity: exportJob, Sender: &outbox{}, MaxInline: 100, Poll: time.Hour,
			Telemetry: telemetry.Discard(),
			Turn: func(ctx context.Context) (context.Context, func(), error) {
				began := time.Now()
				return ctx, func() {
					if d := time.Since(began); d > turnTime {
						t.Errorf("a turn was kept for %v", d)
					}
					if turns++; turns == 3 {
						stop()
					}
				}, nil
			},
		}).Run(ctx, t.Context())
	})
}

func TestExportWaitsForItsTurnAndStopsWhenItEnds(t *testing.T) {
	f, o := newFno("first", "second"), &outbox{}
	turns, released := 0, 0
	play(t, f, o, func(x *ExportOptions) {
		x.Turn = func(ctx context.Context) (context.Context, func(), error) {
			turns++
			if turns < 3 {
				return nil, nil, errors.New("another replica has it")
			}
			if len(f.calls) > 0 && turns == 3 {
				t.Error("fetched without the turn")
			}
			held, end := context.WithCancel(ctx)
			if turns == 3 { // lost right after the first file was published
				o.fail = func(n int) error {
					if n == 1 {
						end()
					}
					return nil
				}
			}
			return held, func() { released++; end() }, nil
		}
	})
	if turns < 4 || released != turns-2 {
		t.Errorf("%d turns, %d released", turns, released)
	}
	if len(o.sent) != 2 {
		t.Errorf("sent %d", len(o.sent))
	}
}

func TestExportThatTheBrokerFindsTooLargeStaysInFno(t *testing.T) {
	f := newFno("file")
	o := &outbox{fail: func(n int) error {
		if n > 1 {
			t.Error("sent again, although it can never fit")
			return nil
		}
		return azservicebus.ErrMessageTooLarge
	}}
	play(t, f, o, nil)
	if len(o.sent) != 0 || len(f.acked) != 0 {
		t.Errorf("%d sent, %d acked", len(o.sent), len(f.acked))
	}
}
