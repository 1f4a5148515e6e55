package telemetry

import (
	"context"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
)

func TestExtractReadsWhatProducersWrite(t *testing.T) {
	const otherTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	old := "00-" + otherTrace + "-00f067aa0ba902b7-01"
	for name, c := range map[string]struct {
		props map[string]any
		want  string // trace ID, empty for none
		state string
	}{
		"traceparent":                  {map[string]any{TraceParent: producer}, producerTrace, ""},
		"traceparent and tracestate":   {map[string]any{TraceParent: producer, TraceState: "a=b"}, producerTrace, "a=b"},
		"Diagnostic-Id alone":          {map[string]any{DiagnosticID: old}, otherTrace, ""},
		"both, traceparent first":      {map[string]any{TraceParent: producer, DiagnosticID: old}, producerTrace, ""},
		"broken traceparent":           {map[string]any{TraceParent: "00-zz", DiagnosticID: old}, otherTrace, ""},
		"hierarchical Diagnostic-Id":   {map[string]any{DiagnosticID: "|4bf9.1."}, "", ""},
		"all-zero trace":               {map[string]any{TraceParent: "00-00000000000000000000000000000000-b7ad6b7169203331-01"}, "", ""},
		"not a string":                 {map[string]any{TraceParent: 7, DiagnosticID: []byte(old), TraceState: true}, "", ""},
		"tracestate of the wrong type": {map[string]any{TraceParent: producer, TraceState: 1.5}, producerTrace, ""},
		"other properties":             {map[string]any{"entity": "Customers"}, "", ""},
		"none":                         {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			sc := trace.SpanContextFromContext(Extract(t.Context(), c.props))
			if c.want == "" {
				if sc.IsValid() {
					t.Fatalf("a trace out of nothing: %v", sc.TraceID())
				}
				return
			}
			if got := sc.TraceID().String(); got != c.want || !sc.IsRemote() || sc.TraceState().String() != c.state {
				t.Errorf("trace %s remote %t state %q, want %s true %q", got, sc.IsRemote(), sc.TraceState(), c.want, c.state)
			}
		})
	}
}

func TestExtractKeepsTheAmbientSpanWhereTheMessageHasNone(t *testing.T) {
	ctx := Extract(t.Context(), map[string]any{TraceParent: producer})
	if got := Extract(ctx, map[string]any{DiagnosticID: "|abc.1."}); trace.SpanContextFromContext(got).TraceID().String() != producerTrace {
		t.Error("an unusable property displaced the ambient span")
	}
}

func TestInjectWritesAllThreeNamesOnce(t *testing.T) {
	ctx := Extract(t.Context(), map[string]any{TraceParent: producer, TraceState: "a=b"})
	for name, c := range map[string]struct {
		ctx         context.Context
		props, want map[string]any
	}{
		"an empty message": {ctx, map[string]any{}, map[string]any{TraceParent: producer, DiagnosticID: producer, TraceState: "a=b"}},
		"a traced message": {ctx, map[string]any{TraceParent: "x"}, map[string]any{TraceParent: "x"}},
		"an old producer":  {ctx, map[string]any{DiagnosticID: "|a.1."}, map[string]any{DiagnosticID: "|a.1."}},
		"no span":          {t.Context(), map[string]any{"k": 1}, map[string]any{"k": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got := maps.Clone(c.props)
			Inject(c.ctx, got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("properties (-want +got):\n%s", diff)
			}
		})
	}
}
