package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/config"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/outbound"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// heard keeps the events that are published.
type heard struct {
	mu     sync.Mutex
	events []status.Event
}

func (h *heard) Publish(_ context.Context, e ...status.Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e...)
	return nil
}

// gateWorld returns a bridge that says what its gates do, the words that it logs, and a function that ends it.
func gateWorld(t *testing.T) (*bridge, *heard, *strings.Builder, func()) {
	t.Helper()
	var log strings.Builder
	tel, err := telemetry.New(slog.New(slog.NewTextHandler(&log, nil)), tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider())
	if err != nil {
		t.Fatal(err)
	}
	h := &heard{}
	b := &bridge{
		cfg: &config.Config{}, tel: tel, endpoints: &endpoints{gates: map[string]*admission.Gate{}},
		notices: outbound.NewNotices(h, tel.Logger()),
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.notices.Run(ctx, t.Context()) })
	return b, h, &log, func() {
		stop()
		wg.Wait()
	}
}

// leave makes one call through a gate that ends so.
func leave(t *testing.T, g *admission.Gate, err error) {
	t.Helper()
	p, failed := g.AwaitPass(t.Context(), nil)
	if failed != nil {
		t.Fatal(failed)
	}
	p.Leave(err)
	synctest.Wait()
}

func pausedFor(r failure.Reason) error {
	return &failure.Failure{Verdict: failure.Pause, Reason: r, Detail: "what was said"}
}

func TestAPauseIsSaidOnceForEachOfItsReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, log, end := gateWorld(t)
		g := admission.NewGate(8)
		g.OnChange(b.watch(guarded{environment: "prod"}))
		leave(t, g, nil)
		for range 3 {
			leave(t, g, pausedFor(failure.Unavailable))
		}
		for range 2 {
			leave(t, g, pausedFor(failure.TokenRefused))
			leave(t, g, pausedFor(failure.Unavailable))
		}
		leave(t, g, nil)
		leave(t, g, pausedFor(failure.Unavailable))
		end()
		var said []string
		for _, e := range h.events {
			said = append(said, strings.TrimSpace(string(e.Status)+" "+string(e.Reason)))
			if e.Environment != "prod" || e.Route != "" || e.Status == status.Paused && !strings.HasPrefix(e.Detail, "what was said") {
				t.Errorf("%+v", e)
			}
		}
		want := []string{"Paused Unavailable", "Paused TokenRefused", "Resumed", "Paused Unavailable"}
		if !slices.Equal(said, want) {
			t.Errorf("%v, want %v", said, want)
		}
		if n := strings.Count(log.String(), "paused: nothing is posted"); n != 3 {
			t.Errorf("logged %d times: %s", n, log)
		}
	})
}

func TestAGateThatStaysClosedIsRememberedEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, log, end := gateWorld(t)
		g := admission.NewGate(8)
		g.OnChange(b.watch(guarded{environment: "prod"}))
		for began := time.Now(); time.Since(began) < 5*time.Hour+10*time.Minute; {
			leave(t, g, pausedFor(failure.Unavailable))
		}
		end()
		if n := strings.Count(log.String(), "still paused"); n != 5 || len(h.events) != 1 {
			t.Errorf("remembered %d times in five hours, %d events", n, len(h.events))
		}
	})
}

func TestAPauseOfAJobNamesTheJobItsRoutesAndTheRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, log, end := gateWorld(t)
		env, err := dynamics.New(dynamics.Options{Name: "prod", URL: "https://prod.example", Credential: storageCredential{}})
		if err != nil {
			t.Fatal(err)
		}
		const job = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
		b.cfg.Routes = []config.Route{
			{Name: "groups", Environment: "prod", Activity: job}, {Name: "vendors", Environment: "prod", Activity: "{" + strings.ToUpper(job) + "}"},
		}
		b.cfg.Exports = []config.Export{{Name: "customers", Environment: "prod", Activity: "06d7e9a2-3b5c-4f18-92ad-c4f7b8e05c19"}}
		b.watchJobs(map[string]*dynamics.Environment{"prod": env})
		if len(b.endpoints.gates) != 2 || b.endpoints.gates["prod, job "+job] != env.Job(job) {
			t.Errorf("/gates has %v", b.endpoints.gates)
		}
		leave(t, env.Job(job), nil)
		leave(t, env.Job(job), pausedFor(failure.Unauthorized))
		leave(t, env.Job(job), nil)
		end()
		if len(h.events) != 2 || h.events[0].Route != "groups, vendors" || h.events[1].Route != "groups, vendors" {
			t.Fatalf("%+v", h.events)
		}
		for _, want := range []string{job, "groups, vendors", "what was said", "authorization policy"} {
			if !strings.Contains(h.events[0].Detail, want) || !strings.Contains(log.String(), want) {
				t.Errorf("%q is not said: %q; log %s", want, h.events[0].Detail, log)
			}
		}
	})
}
