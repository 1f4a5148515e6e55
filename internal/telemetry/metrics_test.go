package telemetry

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"fnobridge/internal/failure"
)

func TestEveryReasonIsThereAtZero(t *testing.T) {
	p := newProbe(t)
	want := map[string]int64{}
	for _, r := range failure.Reasons() {
		want[string(r)] = 0
	}
	for _, name := range []string{"fnobridge.deadletter.messages", "fnobridge.retries"} {
		if diff := cmp.Diff(want, p.sums(t, name, reasonKey)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"fnobridge.lock.renewals", "fnobridge.lock.lost"} {
		if got := p.sums(t, name, ""); len(got) != 1 {
			t.Errorf("%s has %d series before anything happened, want 1", name, len(got))
		}
	}
}

func TestDeclaredRoutesAndEnvironmentsAreThereAtZero(t *testing.T) {
	p := newProbe(t)
	p.Declare(t.Context(), []string{"customers", "vendors"}, []string{"prod"})
	if got := p.sums(t, "fnobridge.files", outcomeKey); len(got) != len(outcomes()) {
		t.Errorf("outcomes %v, want all of %v", got, outcomes())
	}
	if diff := cmp.Diff(map[string]int64{"customers": 0, "vendors": 0}, p.sums(t, "fnobridge.files", routeKey)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"prod": 0}, p.sums(t, "fnobridge.gate.state", environmentKey)); diff != "" {
		t.Errorf("gates (-want +got):\n%s", diff)
	}
}

func TestTypedMethodsCount(t *testing.T) {
	p, ctx := newProbe(t), t.Context()
	p.SessionOwned(ctx, orders, 1)
	p.SessionOwned(ctx, orders, 1)
	p.SessionOwned(ctx, orders, -1)
	for range 4 {
		p.FileBegan(ctx, "customers")
	}
	p.FileEnded(ctx, "customers", Processed, enqueued)
	p.FileEnded(ctx, "customers", DeadLettered, enqueued)
	for range 3 { // ended or not
		p.FileLeft(ctx, "customers")
	}
	p.DeadLettered(ctx, failure.NoRoute)
	p.Retried(ctx, failure.Throttled)
	p.LockRenewed(ctx)
	p.LockLost(ctx)
	p.GateChanged(ctx, "prod", true)
	for _, c := range []struct {
		name string
		by   attribute.Key
		key  string
		want int64
	}{
		{"fnobridge.sessions.active", semconv.MessagingDestinationNameKey, "orders", 1},
		{"fnobridge.files.inflight", routeKey, "customers", 1},
		{"fnobridge.files", outcomeKey, "processed", 1},
		{"fnobridge.files", outcomeKey, "dead_lettered", 1},
		{"fnobridge.files", routeKey, "customers", 2},
		{"fnobridge.deadletter.messages", reasonKey, "NoRoute", 1},
		{"fnobridge.retries", reasonKey, "Throttled", 1},
		{"fnobridge.lock.renewals", "", "", 1},
		{"fnobridge.lock.lost", "", "", 1},
		{"fnobridge.gate.state", environmentKey, "prod", 1},
	} {
		got := p.sums(t, c.name, c.by)
		if c.by == "" {
			got = map[string]int64{"": got[slices.Collect(maps.Keys(got))[0]]}
		}
		if got[c.key] != c.want {
			t.Errorf("%s by %q: %v, want %s = %d", c.name, c.by, got, c.key, c.want)
		}
	}
	p.GateChanged(ctx, "prod", false)
	if got := p.sums(t, "fnobridge.gate.state", environmentKey); got["prod"] != 0 {
		t.Errorf("the gate is open, the gauge says %v", got)
	}
}

func TestDurationsReachToHours(t *testing.T) {
	p, ctx := newProbe(t), t.Context()
	p.FileEnded(ctx, "customers", Processed, time.Now().Add(-3*time.Hour))
	p.PickedUp(ctx, orders, time.Now().Add(time.Hour)) // a broker whose clock is ahead
	if got := histogram(t, p, "fnobridge.end_to_end.duration"); got.Sum < 3*3600 || got.Bounds[len(got.Bounds)-1] < 24*3600 {
		t.Errorf("sum %v s, bounds %v", got.Sum, got.Bounds)
	}
	if got := histogram(t, p, "fnobridge.pickup.duration"); got.Count != 1 || got.Sum != 0 {
		t.Errorf("%d waits of %v s in all, want one of 0", got.Count, got.Sum)
	}
}

func TestMessagingMetricsFollowTheConventions(t *testing.T) {
	p := newProbe(t)
	oneFile(t, p, nil)
	_, end := p.Send(t.Context(), topic, MessageInfo{})
	end(&failure.Failure{Reason: failure.Timeout})
	p.Receive(t.Context(), orders, time.Now(), MessageInfo{}, &failure.Failure{Reason: failure.ConnectionBroken})

	if diff := cmp.Diff(map[string]int64{"orders": 1}, p.sums(t, "messaging.client.consumed.messages", semconv.MessagingDestinationNameKey)); diff != "" {
		t.Errorf("consumed, the failed receive not counted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"": 1, "Timeout": 1}, p.sums(t, "messaging.client.sent.messages", semconv.ErrorTypeKey)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if got := histogram(t, p, "messaging.process.duration"); got.Count != 1 {
		t.Errorf("%d files processed, want 1", got.Count)
	}
	operations := map[string]uint64{}
	for _, dp := range p.metric(t, "messaging.client.operation.duration").Data.(metricdata.Histogram[float64]).DataPoints {
		v, _ := dp.Attributes.Value(semconv.MessagingOperationNameKey)
		operations[v.AsString()] += dp.Count
		if dp.Attributes.HasValue(sessionKey) || dp.Attributes.HasValue(semconv.MessagingMessageIDKey) {
			t.Errorf("a label without bounds in %v", dp.Attributes.ToSlice())
		}
	}
	// "process" must not be among them: the conventions have a metric of its own for it.
	if diff := cmp.Diff(map[string]uint64{"receive": 2, "get_session_state": 1, "send": 2, "complete": 1}, operations); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

// Label sets are kept, each for its own series.
func TestASeriesKeepsItsLabels(t *testing.T) {
	p := newProbe(t)
	for range 2 {
		for _, d := range []Destination{orders, topic} {
			_, good := p.Send(t.Context(), d, MessageInfo{})
			good(nil)
			_, bad := p.Send(t.Context(), d, MessageInfo{})
			bad(&failure.Failure{Reason: failure.Timeout})
			_, read := p.Generic(t.Context(), d, GetSessionState, "")
			read(nil)
		}
	}
	for key, want := range map[attribute.Key]map[string]int64{
		semconv.ErrorTypeKey:                {"": 4, "Timeout": 4},
		semconv.MessagingDestinationNameKey: {"orders": 4, "fno-status": 4},
		semconv.MessagingOperationNameKey:   {"send": 8},
	} {
		if diff := cmp.Diff(want, p.sums(t, "messaging.client.sent.messages", key)); diff != "" {
			t.Errorf("sent by %s (-want +got):\n%s", key, diff)
		}
	}
	got := map[string]uint64{}
	for _, dp := range p.metric(t, "messaging.client.operation.duration").Data.(metricdata.Histogram[float64]).DataPoints {
		operation, _ := dp.Attributes.Value(semconv.MessagingOperationNameKey)
		kind, _ := dp.Attributes.Value(semconv.MessagingOperationTypeKey)
		got[operation.AsString()+" "+kind.AsString()] += dp.Count
	}
	if diff := cmp.Diff(map[string]uint64{"send send": 8, "get_session_state ": 4}, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

// histogram returns the one series of a histogram.
func histogram(t *testing.T, p probe, name string) metricdata.HistogramDataPoint[float64] {
	t.Helper()
	h, ok := p.metric(t, name).Data.(metricdata.Histogram[float64])
	if !ok || len(h.DataPoints) != 1 {
		t.Fatalf("%s: %#v", name, p.metric(t, name).Data)
	}
	return h.DataPoints[0]
}
