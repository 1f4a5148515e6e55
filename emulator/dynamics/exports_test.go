package dynamics

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func (b *bench) dequeue() (reply, dequeued) {
	b.t.Helper()
	r := b.do("GET", "/api/connector/dequeue/"+exportJob, "")
	var d dequeued
	if r.code == 200 {
		if err := json.Unmarshal([]byte(r.body), &d); err != nil {
			b.t.Fatal(err)
		}
	}
	return r, d
}

func (b *bench) export(e Export) string {
	b.t.Helper()
	id, err := b.AddExport(exportJob, e)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) ack(body string) int {
	b.t.Helper()
	return b.do("POST", "/api/connector/ack/"+exportJob, body, "Content-Type", "application/json").code
}

// path is a download location without scheme and host, which the client must not believe.
func (b *bench) path(location string) string {
	b.t.Helper()
	_, rest, ok := strings.Cut(location, "://")
	if !ok {
		b.t.Fatalf("download location %q", location)
	}
	return rest[strings.Index(rest, "/"):]
}

func TestExportRound(t *testing.T) {
	for _, secure := range []bool{false, true} {
		b := begin(t, func(o *Options) { o.TLS = secure })
		if r, _ := b.dequeue(); r.code != 204 || r.body != "" {
			t.Fatalf("nothing there: %d %q, want 204", r.code, r.body)
		}
		id := b.export(Export{Body: []byte("a zip")})
		r, d := b.dequeue()
		if d.CorrelationID != id || d.PopReceipt == "" || !d.Exists {
			t.Fatalf("dequeued %s", r.body)
		}
		if d.LastDequeue != nil || !strings.Contains(r.body, `"LastDequeueDateTime":null`) {
			t.Fatalf("dequeued before? %s", r.body)
		}
		if want := "http://" + b.Addr() + "/api/connector/download/%7B"; !strings.HasPrefix(*d.DownloadLocation, want) {
			t.Errorf("location %q, want %q in front: http, whatever the environment", *d.DownloadLocation, want)
		}
		if next, _ := b.dequeue(); next.code != 204 {
			t.Errorf("a message that is out was offered: %d", next.code)
		}
		if f := b.do("GET", b.path(*d.DownloadLocation), ""); f.code != 200 || f.body != "a zip" {
			t.Errorf("download: %d %q", f.code, f.body)
		}
		if code := b.ack(r.body); code != 200 {
			t.Errorf("ack: %d", code)
		}
		b.clock.Advance(24 * time.Hour)
		if r, _ := b.dequeue(); r.code != 204 {
			t.Errorf("an acknowledged message came back: %d %s", r.code, r.body)
		}
		e := b.Exports()[0]
		if e.Dequeued != 1 || e.Downloaded != 1 || e.Acked != 1 {
			t.Errorf("calls recorded: %+v", e)
		}
		if !e.Verbatim || e.Size != 5 {
			t.Errorf("content recorded: %+v", e)
		}
	}
}

func TestUnacknowledgedExportComesBackAfterThirtyMinutes(t *testing.T) {
	b := begin(t, nil)
	id := b.export(Export{Body: []byte("x")})
	first, _ := b.dequeue()
	b.clock.Advance(30*time.Minute - 1)
	if r, _ := b.dequeue(); r.code != 204 {
		t.Errorf("just before 30 minutes: %d, want 204", r.code)
	}
	b.clock.Advance(1)
	if code := b.ack(first.body); code != 500 {
		t.Errorf("receipt whose time is over: %d, want 500", code)
	}
	second, d := b.dequeue()
	if d.CorrelationID != id || d.LastDequeue == nil || !d.LastDequeue.Equal(start) {
		t.Errorf("redelivered %s, want the same message with the time of the last dequeue", second.body)
	}
	if code := b.ack(first.body); code != 500 {
		t.Errorf("receipt of the first dequeue: %d, want 500", code)
	}
	if code := b.ack(second.body); code != 200 {
		t.Errorf("receipt of the second dequeue: %d, want 200", code)
	}
	if code := b.ack(second.body); code != 200 {
		t.Errorf("the same again, as after a lost answer: %d, want 200", code)
	}
}

func TestExportsWithoutAFile(t *testing.T) {
	b := begin(t, nil)
	b.export(Export{Missing: true, Message: "No records"})
	b.export(Export{NoURL: true})
	r, d := b.dequeue()
	if d.Exists || d.Message != "No records" ||
		!strings.Contains(r.body, `"IsDownLoadFileExist":false,"FileDownLoadErrorMessage":"No records"`) {
		t.Errorf("no file: %s", r.body)
	}
	if f := b.do("GET", b.path(*d.DownloadLocation), ""); f.code != 500 {
		t.Errorf("download of no file: %d, want 500", f.code)
	}
	if code := b.ack(r.body); code != 200 {
		t.Errorf("ack of no file: %d", code)
	}
	if r, _ := b.dequeue(); r.code != 200 || !strings.Contains(r.body, `"DownloadLocation":null`) {
		t.Errorf("null location: %d %s", r.code, r.body)
	}
}

func TestAckNeedsTheDequeueAnswer(t *testing.T) {
	b := begin(t, nil)
	b.export(Export{Body: []byte("x")})
	r, d := b.dequeue()
	for name, row := range map[string]struct {
		body string
		want int
	}{
		"nothing":         {"", 400},
		"no JSON":         {"ok", 400},
		"empty":           {"{}", 500},
		"other message":   {strings.Replace(r.body, d.CorrelationID, exportJob, 1), 500},
		"other receipt":   {strings.Replace(r.body, d.PopReceipt, "AgAA", 1), 500},
		"without receipt": {`{"CorrelationId":"` + d.CorrelationID + `"}`, 500},
	} {
		if code := b.ack(row.body); code != row.want {
			t.Errorf("%s: %d, want %d", name, code, row.want)
		}
	}
	// The three fields that the Recurring Integrations Scheduler sends are enough; they are not verbatim.
	if code := b.ack(`{"CorrelationId":"` + d.CorrelationID + `","PopReceipt":"` + d.PopReceipt +
		`","DownloadLocation":"https://x"}`); code != 200 {
		t.Errorf("three fields: %d, want 200", code)
	}
	if b.Exports()[0].Verbatim {
		t.Error("three fields count as verbatim")
	}
}

func TestLocationWithPort80(t *testing.T) {
	for location, want := range map[Location]string{HTTP80: "http://127.0.0.1:80/api/", HTTPS: "https://127.0.0.1:"} {
		b := begin(t, func(o *Options) { o.Location = location })
		b.export(Export{})
		if _, d := b.dequeue(); !strings.HasPrefix(*d.DownloadLocation, want) {
			t.Errorf("location %q, want %q in front", *d.DownloadLocation, want)
		}
	}
}

func TestAddExportRefuses(t *testing.T) {
	b := begin(t, nil)
	for _, activity := range []string{"x", groupsJob, "11111111-0000-0000-0000-000000000000"} {
		if _, err := b.AddExport(activity, Export{}); err == nil {
			t.Errorf("%s was taken", activity)
		}
	}
	if r := b.do("GET", "/api/connector/download/%7B11111111-0000-0000-0000-000000000000%7D", ""); r.code != 404 {
		t.Errorf("download of nothing: %d, want 404", r.code)
	}
}

func TestBrokenAnswersToADequeue(t *testing.T) {
	b := begin(t, nil)
	for range 2 { // nothing to dequeue, then something
		b.Faults().MustAdd(Fault{Operation: Dequeue, Act: Truncate, Times: 1})
		if r, err := b.send(t.Context(), "GET", "/api/connector/dequeue/"+exportJob, ""); err == nil {
			t.Errorf("answered %d %q, want a broken connection", r.code, r.body)
		}
		b.export(Export{Body: []byte("x")})
	}
	if e := b.Exports()[0]; e.Dequeued != 1 {
		t.Errorf("dequeued %d times, want once although nobody heard of it", e.Dequeued)
	}
}
