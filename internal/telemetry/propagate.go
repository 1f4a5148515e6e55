package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The application properties that carry a trace. Diagnostic-Id is what the Azure SDKs wrote before W3C Trace Context
// and what some still read alone; its value is that of traceparent. Source: Azure SDK for .NET, MessagingClientDiagnostics.
const (
	TraceParent  = "traceparent"
	TraceState   = "tracestate"
	DiagnosticID = "Diagnostic-Id"
)

// w3c reads and writes trace context. Baggage is left alone: messages are no place for it.
var w3c propagation.TraceContext

// Inject writes the context's trace into the application properties of a message, under all the names that readers
// look for. A message that carries a trace already, valid or not, is left as it is: the first producer's holds.
func Inject(ctx context.Context, props map[string]any) {
	if carries(props) {
		return
	}
	parent, state := Context(ctx)
	if parent == "" {
		return
	}
	props[TraceParent], props[DiagnosticID] = parent, parent
	if state != "" {
		props[TraceState] = state
	}
}

// carries reports whether a producer has put a trace into a message.
func carries(props map[string]any) bool {
	_, parent := props[TraceParent]
	_, old := props[DiagnosticID]
	return parent || old
}

// Extract returns a context whose parent span is the one that the message's producer wrote: traceparent, or else
// Diagnostic-Id. It returns ctx itself where there is none, or none that is W3C Trace Context: other types, broken
// values and the hierarchical IDs ("|4bf9.1.") of old .NET libraries are ignored.
func Extract(ctx context.Context, props map[string]any) context.Context {
	for _, key := range []string{TraceParent, DiagnosticID} {
		parent, ok := props[key].(string)
		if !ok {
			continue
		}
		state, _ := props[TraceState].(string) // without one, or with something else, the trace goes on all the same
		// A fresh context: Extract leaves an ambient span in place where the value is broken, and that is no answer.
		if sc := trace.SpanContextFromContext(w3c.Extract(context.Background(), &written{parent, state})); sc.IsValid() {
			return trace.ContextWithRemoteSpanContext(ctx, sc)
		}
	}
	return ctx
}

// Context returns the traceparent and tracestate of the span in ctx, both empty without one: for places other than the
// properties of a message, as the CloudEvents extension of a status event.
func Context(ctx context.Context) (parent, state string) {
	var w written
	w3c.Inject(ctx, &w)
	return w.parent, w.state
}

// A written is a trace context as text. It is what propagation.MapCarrier is, without the map.
type written struct{ parent, state string }

func (w *written) Get(key string) string {
	switch key {
	case TraceParent:
		return w.parent
	case TraceState:
		return w.state
	}
	return ""
}

func (w *written) Set(key, value string) {
	switch key {
	case TraceParent:
		w.parent = value
	case TraceState:
		w.state = value
	}
}

func (w *written) Keys() []string { return []string{TraceParent, TraceState} }
