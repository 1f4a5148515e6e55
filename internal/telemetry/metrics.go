package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"fnobridge/internal/failure"
)

// Bucket boundaries in seconds. They are advice given with each instrument, so that an exporter that is told to use
// exponential histograms (OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION) still does.
var (
	// callBuckets are those the messaging conventions advise for calls to the broker.
	callBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	// uploadBuckets reach to the longest time limit that one HTTP call to F&O is given.
	uploadBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	// importBuckets reach from a file that F&O takes at once to an import that runs through the night.
	importBuckets = []float64{0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400}
	// pickupBuckets tell an idle session's next file (milliseconds) from one that waited behind others (hours).
	pickupBuckets = []float64{0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 60, 300, 1800, 7200, 43200}
)

// An Outcome is how the bridge's work on a file ended.
type Outcome string

// The outcomes. Each is a series of fnobridge.files, there from the start.
const (
	Processed    Outcome = "processed"     // F&O took it, the message is completed
	DeadLettered Outcome = "dead_lettered" // with a reason
	Held         Outcome = "held"          // the session stops at this file until an operator decides
	Duplicate    Outcome = "duplicate"     // settled before: completed without another import
)

func outcomes() []Outcome { return []Outcome{Processed, DeadLettered, Held, Duplicate} }

// metrics holds every instrument.
type metrics struct {
	// of the messaging conventions
	operation messagingconv.ClientOperationDuration
	process   messagingconv.ProcessDuration
	sent      messagingconv.ClientSentMessages
	consumed  messagingconv.ClientConsumedMessages
	// our own
	sessions    metric.Int64UpDownCounter
	inflight    metric.Int64UpDownCounter
	files       metric.Int64Counter
	deadletters metric.Int64Counter
	retries     metric.Int64Counter
	renewals    metric.Int64Counter
	lost        metric.Int64Counter
	gate        metric.Int64Gauge
	endToEnd    metric.Float64Histogram
	pickup      metric.Float64Histogram
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var x metrics
	var errs [14]error
	x.operation, errs[0] = messagingconv.NewClientOperationDuration(m, metric.WithExplicitBucketBoundaries(callBuckets...))
	x.process, errs[1] = messagingconv.NewProcessDuration(m, metric.WithExplicitBucketBoundaries(importBuckets...))
	x.sent, errs[2] = messagingconv.NewClientSentMessages(m)
	x.consumed, errs[3] = messagingconv.NewClientConsumedMessages(m)
	x.sessions, errs[4] = m.Int64UpDownCounter("fnobridge.sessions.active", metric.WithUnit("{session}"),
		metric.WithDescription("Sessions this replica holds."))
	x.inflight, errs[5] = m.Int64UpDownCounter("fnobridge.files.inflight", metric.WithUnit("{file}"),
		metric.WithDescription("Files between their receipt and their settlement."))
	x.files, errs[6] = m.Int64Counter("fnobridge.files", metric.WithUnit("{file}"),
		metric.WithDescription("Files whose processing has ended, by how it ended."))
	x.deadletters, errs[7] = m.Int64Counter("fnobridge.deadletter.messages", metric.WithUnit("{message}"),
		metric.WithDescription("Messages this replica has dead-lettered, by reason."))
	x.retries, errs[8] = m.Int64Counter("fnobridge.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that failed and are repeated, by reason."))
	x.renewals, errs[9] = m.Int64Counter("fnobridge.lock.renewals", metric.WithUnit("{renewal}"),
		metric.WithDescription("Session locks renewed."))
	x.lost, errs[10] = m.Int64Counter("fnobridge.lock.lost", metric.WithUnit("{lock}"),
		metric.WithDescription("Session locks lost while work was in hand."))
	x.gate, errs[11] = m.Int64Gauge("fnobridge.gate.state", metric.WithUnit("1"),
		metric.WithDescription("1 while calls to the environment are held back, 0 while they flow."))
	x.endToEnd, errs[12] = m.Float64Histogram("fnobridge.end_to_end.duration", metric.WithUnit("s"),
		metric.WithDescription("From the file's arrival in Service Bus to its end."), metric.WithExplicitBucketBoundaries(importBuckets...))
	x.pickup, errs[13] = m.Float64Histogram("fnobridge.pickup.duration", metric.WithUnit("s"),
		metric.WithDescription("From the file's arrival in Service Bus to its receipt here."), metric.WithExplicitBucketBoundaries(pickupBuckets...))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	// A series that is there at zero can be alerted on; one that comes into being with its first failure cannot.
	ctx := context.Background()
	for _, r := range failure.Reasons() {
		x.deadletters.Add(ctx, 0, reason(r))
		x.retries.Add(ctx, 0, reason(r))
	}
	x.renewals.Add(ctx, 0)
	x.lost.Add(ctx, 0)
	return &x, nil
}

func reason(r failure.Reason) metric.MeasurementOption {
	return metric.WithAttributes(reasonKey.String(string(r)))
}

func labels(kv ...attribute.KeyValue) metric.MeasurementOption { return metric.WithAttributes(kv...) }

// Declare brings the series of the configured routes and environments into being at zero. Call it once, at the start.
func (t *Telemetry) Declare(ctx context.Context, routes, environments []string) {
	for _, r := range routes {
		for _, o := range outcomes() {
			t.metrics.files.Add(ctx, 0, labels(routeKey.String(r), outcomeKey.String(string(o))))
		}
		t.metrics.inflight.Add(ctx, 0, labels(routeKey.String(r)))
	}
	for _, e := range environments {
		t.metrics.gate.Record(ctx, 0, labels(environmentKey.String(e)))
	}
}

// SessionOwned notes a session taken (+1) or given back (-1).
func (t *Telemetry) SessionOwned(ctx context.Context, d Destination, delta int64) {
	if t.measured {
		t.metrics.sessions.Add(ctx, delta, metric.WithAttributeSet(t.labels.of(labelled{at: d})))
	}
}

// FileBegan notes a file received and routed. Every call is followed by one of FileLeft.
func (t *Telemetry) FileBegan(ctx context.Context, route string) {
	if t.measured {
		t.metrics.inflight.Add(ctx, 1, labels(routeKey.String(route)))
	}
}

// FileLeft notes that this replica no longer works on a file: it has ended, or the lane has.
func (t *Telemetry) FileLeft(ctx context.Context, route string) {
	if t.measured {
		t.metrics.inflight.Add(ctx, -1, labels(routeKey.String(route)))
	}
}

// FileEnded notes how a file ended, and how long after its arrival in Service Bus. The route is a configured name, or
// empty for a message that no route takes.
func (t *Telemetry) FileEnded(ctx context.Context, route string, o Outcome, enqueued time.Time) {
	if !t.measured {
		return
	}
	r, end := routeKey.String(route), outcomeKey.String(string(o))
	t.metrics.files.Add(ctx, 1, labels(r, end))
	if !enqueued.IsZero() {
		t.metrics.endToEnd.Record(ctx, since(enqueued), labels(r, end))
	}
}

// PickedUp notes how long a message waited in d.
func (t *Telemetry) PickedUp(ctx context.Context, d Destination, enqueued time.Time) {
	if t.measured && !enqueued.IsZero() {
		t.metrics.pickup.Record(ctx, since(enqueued), metric.WithAttributeSet(t.labels.of(labelled{at: d})))
	}
}

// since never returns a negative duration: the broker's clock may be ahead of ours.
func since(t time.Time) float64 { return max(0, time.Since(t).Seconds()) }

// DeadLettered counts a message moved to the dead-letter queue.
func (t *Telemetry) DeadLettered(ctx context.Context, r failure.Reason) {
	t.metrics.deadletters.Add(ctx, 1, reason(r))
}

// Retried counts a failed attempt that will be repeated.
func (t *Telemetry) Retried(ctx context.Context, r failure.Reason) {
	t.metrics.retries.Add(ctx, 1, reason(r))
}

// LockRenewed counts a renewed session lock.
func (t *Telemetry) LockRenewed(ctx context.Context) { t.metrics.renewals.Add(ctx, 1) }

// LockLost counts a session lock lost while work was in hand.
func (t *Telemetry) LockLost(ctx context.Context) { t.metrics.lost.Add(ctx, 1) }

// GateChanged notes whether calls to an environment are held back.
func (t *Telemetry) GateChanged(ctx context.Context, environment string, closed bool) {
	var v int64
	if closed {
		v = 1
	}
	t.metrics.gate.Record(ctx, v, labels(environmentKey.String(environment)))
}

// views widens the histogram of the HTTP library, whose advice ends at ten seconds where an upload may take minutes.
// A view rules over the environment, so there is none where that asks for exponential histograms, which need none.
func views() []sdkmetric.View {
	if os.Getenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION") == "base2_exponential_bucket_histogram" {
		return nil
	}
	return []sdkmetric.View{sdkmetric.NewView(
		sdkmetric.Instrument{Name: "http.client.request.duration"},
		sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: uploadBuckets}},
	)}
}
