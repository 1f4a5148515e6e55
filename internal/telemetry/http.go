package telemetry

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A Propagation says whether calls carry the trace to the other side.
type Propagation bool

// Whether to write traceparent into requests. F&O makes nothing of it; a gateway in front of it may.
const (
	Propagate Propagation = true
	Withhold  Propagation = false
)

// HTTPTransport returns a transport that makes a client span and the standard metrics of each request. Everything else
// about a request, a response or an error is as base has it; base must not be nil.
//
// The library writes url.full with its query and an error with its text. Here the query is where file names are, and
// the signatures of Blob Storage, so the library sees neither: it gets the URL without user and query, and in place
// of an error one that says no more than its type.
func (t *Telemetry) HTTPTransport(base http.RoundTripper, p Propagation) http.RoundTripper {
	if !t.collected && !t.measured {
		return &unobserved{base, t.tracer, p}
	}
	carrier := propagation.NewCompositeTextMapPropagator()
	if p == Propagate {
		carrier = w3c
	}
	traced := otelhttp.NewTransport(&candid{base},
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.meters), otelhttp.WithPropagators(carrier),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
	return &discreet{traced, base}
}

type whole struct{} // context key of the request as the caller made it

// discreet hides from next what must not be recorded; candid, behind it, puts it back.
type discreet struct{ next, base http.RoundTripper }

func (d *discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	hidden := r.WithContext(context.WithValue(r.Context(), whole{}, r))
	hidden.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}
	resp, err := d.next.RoundTrip(hidden)
	if e, ok := err.(*unnamed); ok { //nolint:errorlint // exactly the value candid made, nothing wrapped
		err = e.err
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through to the connections' owner.
func (d *discreet) CloseIdleConnections() { closeIdle(d.base) }

type candid struct{ next http.RoundTripper }

func (c *candid) RoundTrip(r *http.Request) (*http.Response, error) {
	full := r.WithContext(r.Context()) // a copy: a RoundTripper does not change what it is given
	if orig, ok := r.Context().Value(whole{}).(*http.Request); ok {
		full.URL = orig.URL
	}
	resp, err := c.next.RoundTrip(full)
	if err != nil {
		return resp, &unnamed{err: err, kind: errorType(r.Context(), err)}
	}
	return resp, nil
}

// An unnamed error stands for one whose text is not to be recorded.
type unnamed struct {
	err  error
	kind string
}

func (e *unnamed) Error() string     { return e.kind }
func (e *unnamed) ErrorType() string { return e.kind }

// unobserved is the transport for when nobody collects spans or reads metrics: the other side gets the trace all the same.
type unobserved struct {
	base   http.RoundTripper
	tracer trace.Tracer
	p      Propagation
}

func (u *unobserved) RoundTrip(r *http.Request) (*http.Response, error) {
	if u.p == Withhold {
		return u.base.RoundTrip(r)
	}
	ctx, _ := u.tracer.Start(r.Context(), r.Method)
	parent, state := Context(ctx)
	if parent == "" {
		return u.base.RoundTrip(r)
	}
	told := r.WithContext(r.Context()) // a copy: a RoundTripper does not change what it is given
	told.Header = maps.Clone(r.Header) // no value of it is written to
	told.Header.Set(TraceParent, parent)
	if state != "" {
		told.Header.Set(TraceState, state)
	}
	return u.base.RoundTrip(told)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through to the connections' owner.
func (u *unobserved) CloseIdleConnections() { closeIdle(u.base) }

func closeIdle(rt http.RoundTripper) {
	if c, ok := rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
