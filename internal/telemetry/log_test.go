package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

func TestLogLinesCarryTheTrace(t *testing.T) {
	plain(t)
	var out bytes.Buffer
	tel, err := Start(t.Context(), Options{Stderr: &out, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := Extract(t.Context(), map[string]any{TraceParent: producer})
	tel.Logger().With("lane", "Customers").InfoContext(ctx, "posted")
	tel.Logger().DebugContext(ctx, "below the level")
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	if line[traceIDKey] != producerTrace || line[spanIDKey] != producerSpan || line["lane"] != "Customers" {
		t.Errorf("line %v", line)
	}
}

func TestLogLevelCanChangeWhileRunning(t *testing.T) {
	plain(t)
	var out bytes.Buffer
	var level slog.LevelVar
	tel, err := Start(t.Context(), Options{Stderr: &out, Level: &level})
	if err != nil {
		t.Fatal(err)
	}
	tel.Logger().Debug("one")
	level.Set(slog.LevelDebug)
	tel.Logger().Debug("two")
	if got := out.String(); strings.Contains(got, "one") || !strings.Contains(got, "msg=two") {
		t.Errorf("log:\n%s", got)
	}
}

func TestLevelHoldsForExportedLogsToo(t *testing.T) {
	var out bytes.Buffer
	h := leveled{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), slog.LevelWarn}
	l := slog.New(h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("k", 1)}))
	l.InfoContext(context.Background(), "quiet")
	l.WarnContext(context.Background(), "loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "g.k=1") {
		t.Errorf("log:\n%s", got)
	}
}

func TestUnknownLogFormatIsRefused(t *testing.T) {
	if _, err := Start(t.Context(), Options{Format: "xml"}); err == nil || !strings.Contains(err.Error(), "text or json") {
		t.Errorf("error %v, want one that names the formats", err)
	}
}
