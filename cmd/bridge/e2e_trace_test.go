package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/internal/config"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// exported is a span as the console exporter writes it.
type exported struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct{ TraceID, SpanID string }
	SpanKind    int // trace.SpanKind
	Attributes  []struct {
		Key   string
		Value struct{ Value any }
	}
	Links []struct {
		SpanContext struct{ TraceID, SpanID string }
	}
}

// Span kinds, as go.opentelemetry.io/otel/trace numbers them.
const (
	kindClient   = 3
	kindConsumer = 5
)

func (s exported) attribute(key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.Value
		}
	}
	return nil
}

// A stderrLog keeps everything that a bridge wrote to stderr: log lines and, from the console exporter, spans.
type stderrLog struct {
	mu    sync.Mutex
	all   bytes.Buffer
	spans []exported
	lines []map[string]any
}

func (o *stderrLog) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(p)
}

// read sorts what was written into spans and log lines.
func (o *stderrLog) read(t *testing.T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(o.all.Bytes()))
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatalf("read what the bridge wrote: %v", err)
		}
		var line map[string]any
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		if line["SpanContext"] == nil {
			o.lines = append(o.lines, line)
			continue
		}
		var s exported
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		o.spans = append(o.spans, s)
	}
}

// trace returns the spans of one trace.
func (o *stderrLog) trace(id string) []exported {
	return slices.DeleteFunc(slices.Clone(o.spans), func(s exported) bool { return s.SpanContext.TraceID != id })
}

const (
	parentTrace = "0af7651916cd43dd8448eb211c80319c"
	parentSpan  = "b7ad6b7169203331"
	diagTrace   = "4bf92f3577b34da6a3ce929d0e0e4736"
	diagSpan    = "00f067aa0ba902b7"
)

// Three files by three producers: one that writes traceparent, an old one that writes Diagnostic-Id, one that writes
// nothing, and a file that F&O cannot read. Everything goes the way it goes in production: a client secret, the
// exporter that the environment names, log lines on stderr.
func TestOneTracePerFileFromTheProducerToTheSettlement(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	const password = "a-client-secret-to-be-kept"
	w := newWorld(t, []string{"in"}, "prod")
	w.cfg.Environments[0].Identity = config.Identity{
		Kind: config.IdentityClientSecret, TenantID: "contoso.onmicrosoft.com", ClientID: testClient, Secret: config.NewSecret(password),
		AuthorityHost: w.fno["prod"].AuthorityHost(), AuthorityCA: w.fno["prod"].CAFile(),
	}
	w.route("all", "prod", fileJob, config.Match{}, nil)
	w.fno["prod"].Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, ExternalID: "bad", Act: fno.ImportEnds, Outcome: "PreProcessingError"})

	var out stderrLog
	tel, err := telemetry.Start(t.Context(), telemetry.Options{Stderr: &out, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	w.observed(tel, func(id config.Identity) (azcore.TokenCredential, error) {
		if id.Kind == config.IdentityDefault {
			return nil, nil // Blob Storage, which is not reached
		}
		return newCredential(id)
	})
	w.send("in", message("One", "w3c", "A\n1\n", map[string]any{
		"traceparent": "00-" + parentTrace + "-" + parentSpan + "-01", "tracestate": "vendor=1", "company": "usmf", "filename": "Gehälter 2026.csv",
	}))
	w.send("in", message("Two", "old", "A\n1\n", map[string]any{"Diagnostic-Id": "00-" + diagTrace + "-" + diagSpan + "-01"}))
	w.send("in", message("Three", "none", "A\n1\n", nil))
	w.send("in", message("Four", "bad", "A\n1\n", nil))
	w.await("four files have left the queue", func() bool { c, _ := w.bus.Counts("in"); return c.Active == 0 })
	w.stop()
	<-w.ran
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	out.read(t)

	traces := map[string]string{} // of each file, by its process span
	for _, s := range out.spans {
		if s.Name != "process in" {
			continue
		}
		id, _ := s.attribute("messaging.message.id").(string)
		if s.SpanKind != kindConsumer || traces[id] != "" {
			t.Errorf("file %q has a second process span, or one of kind %d", id, s.SpanKind)
		}
		traces[id] = s.SpanContext.TraceID
		if id == "w3c" && (s.Parent.SpanID != parentSpan || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID != parentSpan) {
			t.Errorf("the process span of %q hangs under %s and links to %v, want the producer's %s", id, s.Parent.SpanID, s.Links, parentSpan)
		}
	}
	if traces["w3c"] != parentTrace || traces["old"] != diagTrace {
		t.Errorf("traces %v do not go on with those of the producers", traces)
	}
	if ids := []string{traces["w3c"], traces["old"], traces["none"], traces["bad"]}; slices.Contains(ids, "") || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 4 {
		t.Fatalf("traces %v, want one for each file", traces)
	}
	for id, trace := range traces {
		settle := "complete in"
		if id == "bad" {
			settle = "dead_letter in"
		}
		checkTrace(t, id, out.trace(trace), settle)
	}
	checkEvents(t, w, traces)
	checkLines(t, out.lines, traces)
	checkDiscretion(t, out.all.String(), password, keyOf(w.bus.ConnectionString()))
	for _, s := range out.spans {
		for _, key := range []string{"url.full", "url.path", "url.query", "http.url"} {
			if v, ok := s.attribute(key).(string); ok && strings.ContainsAny(v, "?&") {
				t.Errorf("span %s says %s=%s", s.Name, key, v)
			}
		}
	}
}

// checkTrace wants everything that is done for a file in its trace, under the process span.
func checkTrace(t *testing.T, id string, spans []exported, settle string) {
	t.Helper()
	byID, count := map[string]exported{}, map[string]int{}
	calls := map[string]int{}
	root := ""
	for _, s := range spans {
		byID[s.SpanContext.SpanID] = s
		count[s.Name]++
		if s.Name == "process in" {
			root = s.SpanContext.SpanID
		}
		if u, ok := s.attribute("url.full").(string); ok {
			if s.SpanKind != kindClient || s.attribute("http.response.status_code") == nil {
				t.Errorf("%q: the call to %s has kind %d and status %v", id, u, s.SpanKind, s.attribute("http.response.status_code"))
			}
			for _, part := range []string{"/api/connector/enqueue/", "GetMessageStatus", "GetExecutionErrors"} {
				if strings.Contains(u, part) {
					calls[part]++
				}
			}
		}
	}
	for name, least := range map[string]int{
		"receive in": 1, "process in": 1, "set_session_state in": 1, "send fno-status": 2, settle: 1,
	} {
		if count[name] < least {
			t.Errorf("%q: %d spans %q, want %d at least; the trace has %v", id, count[name], name, least, count)
		}
	}
	if count["process in"] != 1 || count[settle] != 1 {
		t.Errorf("%q: processed and settled %d and %d times: %v", id, count["process in"], count[settle], count)
	}
	if calls["/api/connector/enqueue/"] != 1 || calls["GetMessageStatus"] == 0 || (settle == "dead_letter in") != (calls["GetExecutionErrors"] > 0) {
		t.Errorf("%q: calls to F&O in the trace: %v", id, calls)
	}
	for _, s := range spans {
		if s.Name == "receive in" || s.SpanContext.SpanID == root {
			continue
		}
		up := s
		for up.SpanContext.SpanID != root && byID[up.Parent.SpanID].Name != "" {
			up = byID[up.Parent.SpanID]
		}
		if up.SpanContext.SpanID != root {
			t.Errorf("%q: span %q does not hang under the process span", id, s.Name)
		}
	}
}

// checkEvents wants each status event to carry its file's trace, for readers of any age.
func checkEvents(t *testing.T, w *world, traces map[string]string) {
	t.Helper()
	seen := map[string]int{}
	for _, m := range w.bus.Messages("fno-status/Subscriptions/all") {
		e, err := status.Decode(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		seen[e.MessageID]++
		for where, value := range map[string]any{
			"traceparent": m.Properties["traceparent"], "Diagnostic-Id": m.Properties["Diagnostic-Id"], "the body": e.TraceParent,
		} {
			if text, _ := value.(string); !strings.Contains(text, "-"+traces[e.MessageID]+"-") {
				t.Errorf("event %s of %q has the trace %q in %s, want %s", e.Status, e.MessageID, text, where, traces[e.MessageID])
			}
		}
		if e.MessageID == "w3c" && m.Properties["tracestate"] != "vendor=1" {
			t.Errorf("event %s has the tracestate %v", e.Status, m.Properties["tracestate"])
		}
	}
	for id := range traces {
		if seen[id] < 2 {
			t.Errorf("%d events of %q", seen[id], id)
		}
	}
}

// checkLines wants the trace in every line about a file.
func checkLines(t *testing.T, lines []map[string]any, traces map[string]string) {
	t.Helper()
	about := 0
	for _, l := range lines {
		id, _ := l["message"].(string)
		if traces[id] == "" {
			continue
		}
		about++
		if l["trace_id"] != traces[id] || l["span_id"] == nil {
			t.Errorf("the line %q about %q has the trace %v, want %s", l["msg"], id, l["trace_id"], traces[id])
		}
	}
	if about == 0 {
		t.Error("no line is about a file")
	}
}

// checkDiscretion wants no secret in spans and lines, and no query of a request.
func checkDiscretion(t *testing.T, all string, secrets ...string) {
	t.Helper()
	for _, s := range append(secrets, "eyJ", "Bearer", "SharedAccessSignature", "?entity=", "&company=", "client_secret") {
		if i := strings.Index(all, s); i >= 0 {
			t.Errorf("spans and log lines give %q away: …%s…", s, all[max(0, i-120):min(len(all), i+60)])
		}
	}
}

// keyOf returns the key in a connection string.
func keyOf(connection string) string {
	for part := range strings.SplitSeq(connection, ";") {
		if key, ok := strings.CutPrefix(part, "SharedAccessKey="); ok {
			return key
		}
	}
	return connection
}
