package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/inbound"
	"fnobridge/internal/ledger"
)

func newRunCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the worker",
		Long: `Run the worker: take sessions from the configured queues and subscriptions, import
each file into F&O in order, follow it to its end, publish every transition,
dead-letter what persistently fails; and publish what F&O exports.

The first SIGTERM or SIGINT stops the taking of sessions. What is in hand is
finished or written down within the configured grace; the log says per session
what was left and why that is safe. A second signal ends at once: what is on its
way is cut short. A third one kills.

In a container the garbage collector is paced by the memory limit, unless
GOMEMLIMIT or GOGC say otherwise.

On the configured address (listen): /healthz, /readyz, /sessions, /gates, /scale.
OpenTelemetry is configured by its standard environment variables.`,
		Example: `  bridge run -c bridge.yaml
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4317 bridge run -c bridge.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runBridge(cmd) },
	}
}

func (a *app) runBridge(cmd *cobra.Command) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tel, err := a.telemetry(cmd.Context(), a.level(), a.stderr)
	if err != nil {
		return err
	}
	hurry := cmd.Context()
	defer func() { // last, so that what happens while stopping is still reported
		if stopErr := atMost(hurry, flushLimit, tel.Shutdown); stopErr != nil {
			tel.Logger().Warn("telemetry not delivered to its end", "error", stopErr)
		}
	}()
	pacingFor(memoryLimit(os.DirFS("/")), a.env).apply()
	via, err := newAccess(cfg.ServiceBus)
	if err != nil {
		return err
	}
	b, err := assemble(cfg, tel, via)
	if err != nil {
		return exit(exitConfig, err)
	}
	l, stop := untilSignalled(cmd.Context(), cfg.Grace)
	defer stop()
	hurry = l.hurry

	log := tel.Logger()
	log.Info("bridge started", "version", build().Version, "config", cfg.File, "sources", len(cfg.Sources),
		"routes", len(cfg.Routes), "exports", len(cfg.Exports), "sessions", cfg.Sessions)
	left, err := b.run(l)
	if err != nil && l.intake.Err() == nil {
		return err
	}
	if err != nil {
		log.Debug("not everything closed in an orderly way", "error", err)
	}
	return reportLeft(log, left)
}

// newAccess returns the access that the configuration names.
func newAccess(sb config.ServiceBus) (access, error) {
	connect, server, err := connector(sb)
	if err != nil {
		return access{}, err
	}
	return access{connect: connect, server: server, credential: newCredential, at: crashPoint()}, nil
}

// reportLeft logs per session what a stop left behind. None of it is a failure, except a post that was cut short:
// nobody knows whether F&O has that file.
func reportLeft(log *slog.Logger, left []inbound.Left) error {
	cut := 0
	for _, l := range left {
		log.Info("left in hand", "source", l.Source, "session", l.Session, "sequence", l.Sequence, "message", l.MessageID,
			"phase", l.Phase, "why", l.Why)
		if l.Phase == ledger.Posting {
			cut++
		}
	}
	log.Info("bridge stopped", "left", len(left), "cutShort", cut)
	if cut > 0 {
		return exit(exitPartly, errors.New(
			"a post was cut short; its outcome is unknown, and the route's policy decides at the next start"))
	}
	return nil
}
