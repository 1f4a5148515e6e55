package telemetry

import (
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A probe is a Telemetry whose spans and metrics a test can read.
type probe struct {
	*Telemetry
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
}

func newProbe(t *testing.T) probe {
	t.Helper()
	p := probe{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(p.reader), sdkmetric.WithView(views()...))
	var err error
	if p.Telemetry, err = New(slog.New(slog.NewTextHandler(t.Output(), nil)), traces, meters); err != nil {
		t.Fatal(err)
	}
	return p
}

// span returns the one ended span of that name.
func (p probe) span(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	var names []string
	for _, s := range p.spans.Ended() {
		names = append(names, s.Name())
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %q, want one; ended: %q", len(found), name, names)
	}
	return found[0]
}

// metric returns what was recorded under a name.
func (p probe) metric(t *testing.T, name string) metricdata.Metrics {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := p.reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name == name {
				return m
			}
		}
	}
	t.Fatalf("no metric %q", name)
	return metricdata.Metrics{}
}

// sums returns a counter's or gauge's values by one of its attributes.
func (p probe) sums(t *testing.T, name string, by attribute.Key) map[string]int64 {
	t.Helper()
	var points []metricdata.DataPoint[int64]
	switch d := p.metric(t, name).Data.(type) {
	case metricdata.Sum[int64]:
		points = d.DataPoints
	case metricdata.Gauge[int64]:
		points = d.DataPoints
	default:
		t.Fatalf("%s is a %T", name, d)
	}
	out := map[string]int64{}
	for _, dp := range points {
		v, _ := dp.Attributes.Value(by)
		out[v.String()] += dp.Value
	}
	return out
}

// values returns a span's attributes as text.
func values(s sdktrace.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, a := range s.Attributes() {
		out[string(a.Key)] = a.Value.String()
	}
	return out
}

var (
	orders   = Destination{Name: "orders", Server: "contoso.servicebus.windows.net"}
	topic    = Destination{Name: "fno-status", Server: "contoso.servicebus.windows.net"}
	enqueued = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const (
	producerTrace = "0af7651916cd43dd8448eb211c80319c"
	producerSpan  = "b7ad6b7169203331"
	producer      = "00-" + producerTrace + "-" + producerSpan + "-01"
)
