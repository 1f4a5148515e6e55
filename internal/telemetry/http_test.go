package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

// secret stands for a signature of Blob Storage, a file name, a password: whatever must not leave.
const secret = "hunter2"

func client(t *testing.T, rt http.RoundTripper) *http.Client {
	t.Helper()
	c := &http.Client{Transport: rt}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(ctx context.Context, t *testing.T, c *http.Client, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err == nil {
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return resp, err
}

func TestHTTPSpanIsAChildAndHidesTheQuery(t *testing.T) {
	seen := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	defer srv.Close()
	p := newProbe(t)
	ctx, end := p.Process(t.Context(), orders, MessageInfo{})
	url := strings.Replace(srv.URL, "http://", "http://user:"+secret+"@", 1) + "/a%2Fb/c?sig=" + secret + "#" + secret
	resp, err := get(ctx, t, client(t, p.HTTPTransport(&http.Transport{}, Withhold)), url)
	if err != nil {
		t.Fatal(err)
	}
	end(nil)
	r := <-seen
	if r.URL.RequestURI() != "/a%2Fb/c?sig="+secret {
		t.Errorf("the server was asked for %s", r.URL.RequestURI())
	}
	if _, password, _ := r.BasicAuth(); password != secret {
		t.Error("the user part of the URL did not reach the server")
	}
	if r.Header.Get(TraceParent) != "" {
		t.Error("the trace went out although it was to stay here")
	}
	if got := resp.Request.URL.Query().Get("sig"); got != secret {
		t.Errorf("the caller's response belongs to a request with sig=%q", got)
	}
	s := p.span(t, "GET")
	if s.Parent().SpanID() != p.span(t, "process orders").SpanContext().SpanID() || s.SpanKind() != trace.SpanKindClient {
		t.Errorf("a %s span with parent %s", s.SpanKind(), s.Parent().SpanID())
	}
	if got, want := values(s)["url.full"], srv.URL+"/a%2Fb/c"; got != want {
		t.Errorf("url.full is %q, want %q", got, want)
	}
	noSecret(t, p)
}

func TestPropagationIsASwitch(t *testing.T) {
	seen := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get(TraceParent) }))
	defer srv.Close()
	p := newProbe(t)
	if _, err := get(t.Context(), t, client(t, p.HTTPTransport(&http.Transport{}, Propagate)), srv.URL); err != nil {
		t.Fatal(err)
	}
	if got, id := <-seen, p.span(t, "GET").SpanContext().TraceID().String(); !strings.Contains(got, id) {
		t.Errorf("traceparent %q, want one of trace %s", got, id)
	}
}

// Where nobody collects spans, the other side gets the trace all the same, or does not, and the request stays as it was.
func TestPropagationNeedsNoCollector(t *testing.T) {
	plain(t)
	tel, err := Start(t.Context(), Options{Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer srv.Close()
	for name, c := range map[string]struct {
		p             Propagation
		parent, state string // beginning of the traceparent, and the tracestate
	}{
		"propagated":        {Propagate, "00-" + producerTrace, "vendor=1"},
		"kept to ourselves": {Withhold, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, _ := tel.Process(t.Context(), orders, MessageInfo{Properties: map[string]any{TraceParent: producer, TraceState: "vendor=1"}})
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", "text/plain")
			resp, err := client(t, tel.HTTPTransport(&http.Transport{}, c.p)).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if !strings.HasPrefix(got.Get(TraceParent), c.parent) || (got.Get(TraceParent) == "") != (c.parent == "") {
				t.Errorf("traceparent %q, want %q", got.Get(TraceParent), c.parent)
			}
			own, _ := Context(ctx)
			if got.Get(TraceParent) == own {
				t.Error("the request carries the span of the file, not one of its own")
			}
			if got.Get(TraceState) != c.state || got.Get("Accept") != "text/plain" {
				t.Errorf("tracestate %q, want %q; Accept %q", got.Get(TraceState), c.state, got.Get("Accept"))
			}
			if len(r.Header) != 1 {
				t.Errorf("the caller's request was changed: %v", r.Header)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestHTTPErrorReachesTheCallerButNotTheSpan(t *testing.T) {
	p := newProbe(t)
	cause := fmt.Errorf("sign in with %s: %w", secret, errors.New("no"))
	_, err := get(t.Context(), t, client(t, p.HTTPTransport(failing{cause}, Withhold)), "http://fno.invalid/x?q="+secret)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), secret) {
		t.Errorf("the caller got %v, want its own error untouched", err)
	}
	s := p.span(t, "GET")
	if s.Status().Code != codes.Error || values(s)["error.type"] != "*errors.errorString" {
		t.Errorf("status %v, error.type %q", s.Status(), values(s)["error.type"])
	}
	noSecret(t, p)
}

func TestHTTPStatusIsOnTheSpan(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer srv.Close()
	p := newProbe(t)
	if _, err := get(t.Context(), t, client(t, p.HTTPTransport(&http.Transport{}, Withhold)), srv.URL); err != nil {
		t.Fatal(err)
	}
	if v := values(p.span(t, "GET")); v["http.response.status_code"] != "429" || v["error.type"] != "429" {
		t.Errorf("attributes %v", v)
	}
	h := p.metric(t, "http.client.request.duration").Data.(metricdata.Histogram[float64]).DataPoints[0]
	if longest := h.Bounds[len(h.Bounds)-1]; longest < 60 {
		t.Errorf("the histogram ends at %v s; an upload takes longer", longest)
	}
}

// noSecret looks for the secret in everything that spans and metrics say.
func noSecret(t *testing.T, p probe) {
	t.Helper()
	for _, s := range p.spans.Ended() {
		if text := fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events(), s.Links()); strings.Contains(text, secret) {
			t.Errorf("span %s gives the secret away: %s", s.Name(), text)
		}
	}
	var rm metricdata.ResourceMetrics
	if err := p.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%+v", rm), secret) {
		t.Error("a metric gives the secret away")
	}
}
