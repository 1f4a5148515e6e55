package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutlog"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A signal is the part of the names of environment variables that differs between traces, metrics and logs.
type signal string

const (
	traceSignal  signal = "TRACES"
	metricSignal signal = "METRICS"
	logSignal    signal = "LOGS"
)

// exporter says what the environment asks for: "" for nothing, else a name that autoexport knows. The specification
// has "otlp" as the default, to a collector on this machine; a bridge without one would then log a failure every few
// seconds, so the default holds only once an endpoint is named.
func (s signal) exporter() string {
	if name := os.Getenv("OTEL_" + string(s) + "_EXPORTER"); name != "" {
		if name == "none" {
			return ""
		}
		return name
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+string(s)+"_ENDPOINT") != "" {
		return "otlp"
	}
	return ""
}

// disabled reports OTEL_SDK_DISABLED, which the Go SDK does not read itself. Only "true" in any case counts, says the
// specification.
func disabled() bool { return strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") }

// A provided is the set of SDK providers. traces and logs are nil when not exported. meters is always there, but without
// a reader it keeps nothing.
type provided struct {
	traces  *sdktrace.TracerProvider
	meters  *sdkmetric.MeterProvider
	logs    *sdklog.LoggerProvider
	metered bool // a reader is there
}

// tracerProvider returns the provider of spans. There is always one, because trace IDs in log lines and in messages are
// of use without a collector.
func (p *provided) tracerProvider() trace.TracerProvider {
	if p.traces == nil {
		return carrying{}
	}
	return p.traces
}

func (p *provided) stops() []stop {
	s := []stop{}
	if p.traces != nil {
		s = append(s, stop{"traces", p.traces.Shutdown})
	}
	if p.meters != nil {
		s = append(s, stop{"metrics", p.meters.Shutdown})
	}
	if p.logs != nil {
		s = append(s, stop{"logs", p.logs.Shutdown})
	}
	return s
}

// stop ends what a failed Start has begun.
func (p *provided) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	return stopAll(ctx, p.stops())
}

func providers(ctx context.Context, res *resource.Resource, console io.Writer) (*provided, error) {
	p := &provided{}
	var err error
	if p.traces, err = tracing(ctx, res, console); err != nil {
		return nil, wrapped(traceSignal, err, p.stop(ctx))
	}
	if p.meters, p.metered, err = metering(ctx, res, console); err != nil {
		return nil, wrapped(metricSignal, err, p.stop(ctx))
	}
	if p.logs, err = logging(ctx, res, console); err != nil {
		return nil, wrapped(logSignal, err, p.stop(ctx))
	}
	return p, nil
}

// wrapped names the variable a person has to look at.
func wrapped(s signal, err, stopErr error) error {
	err = fmt.Errorf("set up %s (OTEL_%s_EXPORTER, OTEL_EXPORTER_OTLP_*): %w", strings.ToLower(string(s)), s, err)
	if stopErr != nil {
		return fmt.Errorf("%w; and %w", err, stopErr)
	}
	return err
}

func tracing(ctx context.Context, res *resource.Resource, console io.Writer) (*sdktrace.TracerProvider, error) {
	var e sdktrace.SpanExporter
	var err error
	switch traceSignal.exporter() {
	case "":
		return nil, nil //nolint:nilnil // no provider is an answer: carrying takes its place
	case "console":
		e, err = stdouttrace.New(stdouttrace.WithWriter(console))
	default:
		e, err = autoexport.NewSpanExporter(ctx)
	}
	if err != nil {
		return nil, err
	}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(e)), nil
}

func metering(ctx context.Context, res *resource.Resource, console io.Writer) (*sdkmetric.MeterProvider, bool, error) {
	opts := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithView(views()...)}
	name := metricSignal.exporter()
	switch name {
	case "":
	case "console":
		e, err := stdoutmetric.New(stdoutmetric.WithWriter(console))
		if err != nil {
			return nil, false, err
		}
		opts = append(opts, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(e)))
	default:
		r, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, false, err
		}
		opts = append(opts, sdkmetric.WithReader(r))
	}
	return sdkmetric.NewMeterProvider(opts...), name != "", nil
}

func logging(ctx context.Context, res *resource.Resource, console io.Writer) (*sdklog.LoggerProvider, error) {
	var e sdklog.Exporter
	var err error
	switch logSignal.exporter() {
	case "":
		return nil, nil //nolint:nilnil // no provider is an answer: stderr has the logs
	case "console":
		e, err = stdoutlog.New(stdoutlog.WithWriter(console))
	default:
		e, err = autoexport.NewLogExporter(ctx)
	}
	if err != nil {
		return nil, err
	}
	return sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(e))), nil
}

// describe makes the resource. What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{
		semconv.ServiceName(cmp.Or(o.Service, "fnobridge")),
		semconv.ServiceNamespace(cmp.Or(o.Namespace, "integration")),
		semconv.ServiceInstanceID(instance()),
	}
	if o.Version != "" {
		attrs = append(attrs, semconv.ServiceVersion(o.Version))
	}
	r, err := resource.New(ctx, resource.WithSchemaURL(semconv.SchemaURL), resource.WithAttributes(attrs...),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the process (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	return r, nil
}

// instance names this process: the host name is the replica's name in Container Apps and in Kubernetes, and the
// process ID tells two processes on one machine apart.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

// handleErrors makes OpenTelemetry report its own failures, such as a collector that is away, as log lines on stderr;
// by default they go to the standard logger in a format of their own. They never go over OTLP: that is what is broken.
// The same text is reported once until another one comes.
func handleErrors(l *slog.Logger) {
	var mu sync.Mutex
	var last string
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		repeated := err.Error() == last
		last = err.Error()
		mu.Unlock()
		if !repeated {
			l.Warn("telemetry is not delivered", "error", err)
		}
	}))
}
