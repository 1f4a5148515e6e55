package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// The keys under which log lines on stderr carry the trace. Over OTLP a record has fields of its own for them.
const (
	traceIDKey = "trace_id"
	spanIDKey  = "span_id"
)

func level(o Options) slog.Leveler {
	if o.Level == nil {
		return slog.LevelInfo
	}
	return o.Level
}

// serial lets one write through at a time: log lines and the console exporters of three signals share a writer.
type serial struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// consoleHandler makes the handler of log lines on stderr.
func consoleHandler(o Options) (slog.Handler, error) {
	opts := &slog.HandlerOptions{Level: level(o)}
	switch o.Format {
	case "", "text":
		return traced{slog.NewTextHandler(o.Stderr, opts)}, nil
	case "json":
		return traced{slog.NewJSONHandler(o.Stderr, opts)}, nil
	default:
		return nil, fmt.Errorf("log format %q: must be text or json", o.Format)
	}
}

// traced adds the IDs of the span in the context to each record.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String(traceIDKey, sc.TraceID().String()), slog.String(spanIDKey, sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(a)} }
func (h traced) WithGroup(name string) slog.Handler   { return traced{h.Handler.WithGroup(name)} }

// leveled keeps records below a level from a handler that takes everything, as the bridge to OTLP does.
type leveled struct {
	slog.Handler
	level slog.Leveler
}

func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level.Level() && h.Handler.Enabled(ctx, l)
}

func (h leveled) WithAttrs(a []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(a), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
