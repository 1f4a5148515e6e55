package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// plain takes away what the machine's own environment says about OpenTelemetry. An empty variable counts as unset,
// says the specification.
func plain(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "OTEL_") {
			t.Setenv(k, "")
		}
	}
}

func TestAllSignalsReachACollectorNamedByTheEnvironment(t *testing.T) {
	plain(t)
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+c.addr)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.namespace=erp")
	var stderr bytes.Buffer
	tel, err := Start(t.Context(), Options{Service: "fnobridge", Version: "1.2.3", Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := tel.Process(t.Context(), orders, MessageInfo{ID: "m-1", Properties: map[string]any{TraceParent: producer}})
	tel.Logger().WarnContext(ctx, "posted", "route", "customers")
	tel.Logger().DebugContext(ctx, "below the level")
	end(nil)

	stopped, stop := context.WithCancel(t.Context())
	stop() // as after a signal: what is buffered must get out all the same
	if err := tel.Shutdown(stopped); err != nil {
		t.Fatal(err)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != 1 || len(c.metrics) == 0 || len(c.logs) != 1 {
		t.Fatalf("received spans %d, metrics %d, logs %d", len(c.spans), len(c.metrics), len(c.logs))
	}
	want := map[string]string{"service.name": "fnobridge", "service.namespace": "erp", "service.version": "1.2.3", "deployment.environment.name": "test"}
	for signal, attrs := range map[string][]*commonpb.KeyValue{
		"traces": c.spans[0].GetResource().GetAttributes(), "metrics": c.metrics[0].GetResource().GetAttributes(),
		"logs": c.logs[0].GetResource().GetAttributes(),
	} {
		got := map[string]string{}
		for _, kv := range attrs {
			if _, ok := want[kv.GetKey()]; ok {
				got[kv.GetKey()] = kv.GetValue().GetStringValue()
			}
			if kv.GetKey() == "service.instance.id" && kv.GetValue().GetStringValue() == "" {
				t.Errorf("%s: no service.instance.id", signal)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resource of %s (-want +got):\n%s", signal, diff)
		}
	}
	span := c.spans[0].GetScopeSpans()[0].GetSpans()[0]
	if span.GetName() != "process orders" || hex.EncodeToString(span.GetTraceId()) != producerTrace {
		t.Errorf("span %v", span)
	}
	records := c.logs[0].GetScopeLogs()[0].GetLogRecords()
	if len(records) != 1 || records[0].GetBody().GetStringValue() != "posted" || !bytes.Equal(records[0].GetSpanId(), span.GetSpanId()) {
		t.Errorf("log records %v, want the one at warn, inside the span", records)
	}
	names := map[string]bool{}
	for _, rm := range c.metrics {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				names[m.GetName()] = true
			}
		}
	}
	for _, name := range []string{"messaging.process.duration", "fnobridge.deadletter.messages", "go.goroutine.count"} {
		if !names[name] {
			t.Errorf("no metric %s in %v", name, names)
		}
	}
	if strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), producerTrace) {
		t.Errorf("stderr:\n%s", stderr.String())
	}
}

// A doorstep listens where OpenTelemetry expects a collector by default and counts who comes.
type doorstep struct{ visits atomic.Int32 }

func newDoorstep(t *testing.T) *doorstep {
	t.Helper()
	d := &doorstep{}
	for _, addr := range []string{"127.0.0.1:4317", "127.0.0.1:4318"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skipf("the default ports of OTLP are in use on this machine: %v", err)
		}
		srv := &http.Server{
			Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					d.visits.Add(1)
				}
			},
		}
		var served sync.WaitGroup
		served.Go(func() { _ = srv.Serve(l) }) // always http.ErrServerClosed
		t.Cleanup(func() { _ = srv.Close(); served.Wait() })
	}
	return d
}

// knock makes one visit, so that any earlier one has been counted: connections are accepted in order.
func knock(t *testing.T) {
	t.Helper()
	for _, url := range []string{"http://127.0.0.1:4317", "http://127.0.0.1:4318"} {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if _, err := get(t.Context(), t, c, url); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingIsDialledWithoutAnExporter(t *testing.T) {
	for name, c := range map[string]struct {
		env   map[string]string
		knows bool // whether it is to come
	}{
		"nothing set":           {nil, false},
		"none":                  {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}, false},
		"none beats endpoint":   {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
		"disabled":              {map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
		"the endpoint, for one": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, true},
		"otlp, no endpoint":     {map[string]string{"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			plain(t)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			d := newDoorstep(t)
			var stderr bytes.Buffer
			tel, err := Start(t.Context(), Options{Stderr: &stderr})
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := tel.Process(t.Context(), orders, MessageInfo{Properties: map[string]any{TraceParent: producer}})
			tel.FileBegan(ctx, "customers")
			end(nil)
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			knock(t)
			if came := d.visits.Load() > 2; came != c.knows {
				t.Errorf("%d connections, two of them the test's own; want more: %t", d.visits.Load(), c.knows)
			}
			if stderr.Len() > 0 {
				t.Errorf("not silent:\n%s", stderr.String())
			}
		})
	}
}

func TestWithoutAnExporterTracesGoOnButNoneIsPretended(t *testing.T) {
	for _, exporter := range []string{"", "none"} {
		plain(t)
		t.Setenv("OTEL_TRACES_EXPORTER", exporter)
		tel, err := Start(t.Context(), Options{Stderr: new(bytes.Buffer)})
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			props map[string]any
			flags string
		}{
			"sampled by the producer": {map[string]any{TraceParent: producer}, "-01"},
			"begun here":              {nil, "-00"},
		} {
			ctx, end := tel.Process(t.Context(), orders, MessageInfo{Properties: c.props})
			if got, _ := Context(ctx); !strings.HasSuffix(got, c.flags) {
				t.Errorf("exporter %q, %s: traceparent %q, want flags %s", exporter, name, got, c.flags)
			}
			end(nil)
		}
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConsoleExporterLeavesStdoutAlone(t *testing.T) {
	plain(t)
	for _, s := range []signal{traceSignal, metricSignal, logSignal} {
		t.Setenv("OTEL_"+string(s)+"_EXPORTER", "console")
	}
	var stderr bytes.Buffer
	tel, err := Start(t.Context(), Options{Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	_, end := tel.Process(t.Context(), orders, MessageInfo{})
	end(nil)
	tel.Logger().Info("hello")
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"process orders"`, `"fnobridge.deadletter.messages"`, `"hello"`} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %s on stderr", want)
		}
	}
}

func TestUnusableEnvironmentIsNamed(t *testing.T) {
	for variable, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "carrier-pigeon", "OTEL_METRICS_EXPORTER": "carrier-pigeon", "OTEL_LOGS_EXPORTER": "carrier-pigeon",
	} {
		t.Run(variable, func(t *testing.T) {
			plain(t)
			t.Setenv(variable, value)
			if _, err := Start(t.Context(), Options{Stderr: new(bytes.Buffer)}); err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("error %v, want one that names %s", err, variable)
			}
		})
	}
}

func TestAbsentCollectorIsLoggedOnceAndBoundsTheStop(t *testing.T) {
	plain(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+l.Addr().String()+"/v1/traces")
	if err := l.Close(); err != nil { // nobody is there any more
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	tel, err := Start(t.Context(), Options{Stderr: &stderr})
	if err != nil {
		t.Fatalf("an absent collector stops the bridge: %v", err)
	}
	_, end := tel.Process(t.Context(), orders, MessageInfo{})
	end(nil)
	err = tel.Shutdown(t.Context())
	if again := tel.Shutdown(t.Context()); (err == nil) != (again == nil) {
		t.Errorf("first %v, then %v", err, again)
	}
	if err == nil && !strings.Contains(stderr.String(), "telemetry is not delivered") {
		t.Errorf("lost spans are neither in an error nor in the log:\n%s", stderr.String())
	}
}

func TestDiscardTakesEverything(t *testing.T) {
	tel := Discard()
	oneFile(t, probe{Telemetry: tel}, map[string]any{TraceParent: producer})
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
