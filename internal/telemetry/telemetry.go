// Package telemetry sets up OpenTelemetry for the bridge and holds the only functions that create its spans, its
// metrics and the trace context in its messages.
//
// Promised: without an exporter in the environment nothing is dialled and nothing is printed. One trace per file,
// continued from the producer's context. No free text reaches a span or a metric: an error is recorded by its type or
// reason, a URL without its query, so a secret in an error message cannot leave by this way. Metric labels are names
// from the configuration, names from closed sets, or the conventions' own; a session is never a label.
//
// Not promised: stability of the messaging names. The messaging conventions are in development; this package follows
// version 1.43 of them, in current names only. Nor exact
// times between machines: pickup and end-to-end durations are as good as the clocks of the broker and of this host.
//
// What is read from the environment: OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_{TRACES,METRICS,LOGS}_EXPORTER, OTEL_EXPORTER_OTLP_*, OTEL_TRACES_SAMPLER*, OTEL_BSP_*, OTEL_BLRP_*,
// OTEL_METRIC_EXPORT_*. Source: OpenTelemetry environment variable specification.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/runtime"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// scope names the instrumentation in every signal.
const scope = "fnobridge/internal/telemetry"

// flushTime bounds Shutdown. A replica that stops has a grace of some 25 seconds for its files; the flush comes after
// them and must not take the rest of it when a collector is away.
const flushTime = 5 * time.Second

// Options of Start. The zero value works.
type Options struct {
	Service   string       // service.name; default "fnobridge"
	Namespace string       // service.namespace; default "integration"; Application Insights shows "namespace.name" as the role
	Version   string       // service.version; left out when empty
	Level     slog.Leveler // lowest level logged, on stderr and over OTLP; default info
	Format    string       // of the log lines on stderr: "text" (default) or "json"
	Stderr    io.Writer    // where log lines and console exporters write; default os.Stderr, never stdout: that is for data
}

// A Telemetry is what the parts of the bridge get to be observable by. It is safe for concurrent use. The zero value
// is not usable: see Start, New and Discard.
type Telemetry struct {
	logger  *slog.Logger
	traces  trace.TracerProvider
	meters  metric.MeterProvider
	tracer  trace.Tracer
	metrics *metrics
	labels  labelSets

	collected bool // somebody may look at the spans
	measured  bool // somebody reads the metrics

	once  sync.Once
	stops []stop
	err   error
}

// A stop is one named thing that Shutdown ends.
type stop struct {
	name string
	do   func(context.Context) error
}

// Start sets up all three signals from the standard environment variables. It fails when a variable has a value that
// nothing can be made of; an unreachable collector is not an error, here or later: it is logged.
//
// The only global state it touches is the error handler of OpenTelemetry, which exists nowhere else.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	o.Stderr = &serial{w: o.Stderr}
	console, err := consoleHandler(o)
	if err != nil {
		return nil, err
	}
	if disabled() {
		return New(slog.New(console), nil, nil)
	}
	handleErrors(slog.New(console))

	res, err := describe(ctx, o)
	if err != nil {
		return nil, err
	}
	p, err := providers(ctx, res, o.Stderr)
	if err != nil {
		return nil, err
	}
	handler := console
	if p.logs != nil {
		bridge := otelslog.NewHandler(scope, otelslog.WithLoggerProvider(p.logs), otelslog.WithVersion(o.Version))
		handler = slog.NewMultiHandler(console, leveled{bridge, level(o)})
	}
	t, err := New(slog.New(handler), p.tracerProvider(), p.meters)
	if err != nil {
		return nil, errors.Join(err, p.stop(ctx))
	}
	t.stops = p.stops()
	if p.metered {
		if err := runtime.Start(runtime.WithMeterProvider(p.meters)); err != nil {
			return nil, errors.Join(fmt.Errorf("start runtime metrics: %w", err), p.stop(ctx))
		}
	}
	return t, nil
}

// New makes a Telemetry of providers that the caller owns and shuts down: for tests, and for programs that have their
// own. A nil logger or provider discards.
func New(logger *slog.Logger, traces trace.TracerProvider, meters metric.MeterProvider) (*Telemetry, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if traces == nil {
		traces = nooptrace.NewTracerProvider()
	}
	if meters == nil {
		meters = noopmetric.NewMeterProvider()
	}
	m, err := newMetrics(meters.Meter(scope))
	if err != nil {
		return nil, err
	}
	return &Telemetry{
		logger: logger, traces: traces, meters: meters, tracer: traces.Tracer(scope), metrics: m,
		collected: collected(traces), measured: m.lost.Enabled(context.Background()),
	}, nil
}

// Discard returns a Telemetry that records nothing.
func Discard() *Telemetry {
	t, err := New(nil, nil, nil)
	if err != nil { // the no-op meter makes every instrument
		panic(err)
	}
	return t
}

// Logger returns the logger: to stderr with trace_id and span_id of the context, and over OTLP where that is set up.
func (t *Telemetry) Logger() *slog.Logger { return t.logger }

// TracerProvider returns the provider of spans, for instrumentation libraries.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// MeterProvider returns the provider of metrics, for instrumentation libraries.
func (t *Telemetry) MeterProvider() metric.MeterProvider { return t.meters }

// Shutdown sends what is still buffered and ends the exporters, all of them side by side and within flushTime, also
// when ctx has ended already, as it has after a signal. It returns every error there was. Further calls wait for the
// first and give its error.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		t.err = stopAll(ctx, t.stops)
	})
	return t.err
}

// stopAll runs the stops side by side, so that one dead collector cannot use up the time of the others.
func stopAll(ctx context.Context, stops []stop) error {
	errs := make([]error, len(stops))
	var wg sync.WaitGroup
	for i, s := range stops {
		wg.Go(func() {
			if err := s.do(ctx); err != nil {
				errs[i] = fmt.Errorf("shut down %s: %w", s.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
