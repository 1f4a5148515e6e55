package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/inbound"
)

// endpoints answer over HTTP what a running bridge is doing:
//
//	/healthz   200 while the process serves; never depends on F&O, which a restart would not mend
//	/readyz    200 while sessions are taken; 503 while starting and while stopping
//	/sessions  JSON: what every lane is doing (bridge sessions --worker URL)
//	/gates     JSON: the gate of every environment
//	/scale     JSON: {"activeSessions": N}, for a KEDA metrics-api trigger, so that replicas follow lanes, not messages
type endpoints struct {
	worker *inbound.Worker
	gates  map[string]*admission.Gate
	taking atomic.Bool
}

// gateView is one environment's gate as /gates shows it.
type gateView struct {
	Phase  admission.GatePhase `json:"phase"`
	Since  time.Time           `json:"since"`
	Until  time.Time           `json:"until,omitzero"`
	Reason string              `json:"reason,omitempty"`
	Detail string              `json:"detail,omitempty"`
}

func (e *endpoints) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !e.taking.Load() {
			http.Error(w, "not taking sessions", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, _ *http.Request) { reply(w, e.sessions()) })
	mux.HandleFunc("GET /scale", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]int{"activeSessions": len(e.sessions())})
	})
	mux.HandleFunc("GET /gates", func(w http.ResponseWriter, _ *http.Request) {
		views := make(map[string]gateView, len(e.gates))
		for name, g := range e.gates {
			s := g.State()
			views[name] = gateView{s.Phase, s.Since, s.Until, string(s.Reason), s.Detail}
		}
		reply(w, views)
	})
	return mux
}

func (e *endpoints) sessions() []inbound.SessionView {
	if e.worker == nil {
		return []inbound.SessionView{}
	}
	return e.worker.Sessions()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}

// serve listens until the function that it returns is called. An empty address serves nothing.
func (e *endpoints) serve(address string, log *slog.Logger) (stop func(context.Context) error, _ error) {
	if address == "" {
		return func(context.Context) error { return nil }, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w (another bridge on this machine? set listen: in the configuration)", err)
	}
	server := &http.Server{
		Handler: e.handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }() // joined by the function below
	log.Info("listening", "address", "http://"+l.Addr().String())
	return func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}
