package inbound

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// inflight returns what fnobridge.files.inflight says, all routes together.
func inflight(t *testing.T, r metric.Reader) (sum int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if d, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "fnobridge.files.inflight" {
				for _, p := range d.DataPoints {
					sum += p.Value
				}
			}
		}
	}
	return sum
}

// However files end, and whoever ends them, what is in flight is what a worker has in hand.
func TestFilesInFlightAreThoseInHand(t *testing.T) {
	for _, p := range policies {
		t.Run(p.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world) {
				p.set(w)
				reader := metric.NewManualReader()
				w.meter = metric.NewMeterProvider(metric.WithReader(reader))
				most := int64(0)
				w.o.At = func(point string) {
					if point == "posted" {
						n := inflight(t, reader)
						w.b.mu.Lock()
						most = max(most, n)
						w.b.mu.Unlock()
					}
				}
				w.fill(2, 4, mixed)
				r := w.start()
				w.waitFor("the first file", func() bool { return w.b.left() < 8 })
				w.stop(r)
				if n := inflight(t, reader); n != 0 {
					t.Errorf("%d files in flight of a worker that has stopped", n)
				}
				w.start()
				w.drained()
				w.check()
				if n := inflight(t, reader); n != 0 {
					t.Errorf("%d files in flight, and all have ended", n)
				}
				if window := int64(2 * w.route.Window); most < 1 || most > window {
					t.Errorf("%d files in flight at most, with %d to be posted at once", most, window)
				}
			})
		})
	}
}
