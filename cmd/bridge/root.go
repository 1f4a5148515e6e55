package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/telemetry"
)

// An app is what every command gets: the streams, the environment, the flags that all of them share.
type app struct {
	env    environment
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	configFile string // --config, or BRIDGE_CONFIG
	logLevel   string
	logFormat  string

	started bool // the command line was read: from now on an error is one of usage only if it says so
}

// environment is the process's, as given to run.
type environment []string

// lookup returns the last value of a variable, as os.LookupEnv does.
func (e environment) lookup(name string) (string, bool) {
	value, found := "", false
	for _, kv := range e {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value, found = v, true
		}
	}
	return value, found
}

func (e environment) get(name string) string {
	v, _ := e.lookup(name)
	return v
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "bridge",
		Short: "Moves files between Azure Service Bus and Dynamics 365 Finance and Operations",
		Long: `bridge takes files from session-enabled Service Bus queues, imports them into
Dynamics 365 Finance and Operations (F&O) in order, one lane per session, follows
each import to its end, publishes every status transition, and dead-letters what
persistently fails. In the other direction it publishes what F&O exports.

Data goes to stdout, logs and errors go to stderr.

Exit codes: 0 ok, 1 failure, 2 usage, 3 configuration, 4 authorization,
5 not found, 6 partly failed, 7 unavailable.

Environment:
  BRIDGE_CONFIG                 the configuration file, when --config is not given
  SERVICEBUS_CONNECTION_STRING  for send and watch without a configuration file
  NO_COLOR, TERM=dumb           no colors and no cursor movement
  OTEL_*                        OpenTelemetry's standard variables; silent without them`,
		Example: `  bridge demo                          # everything on this machine, no Azure
  bridge validate -c bridge.yaml       # what is wrong with the configuration
  bridge run -c bridge.yaml            # the worker
  bridge send --entity "Customer groups" groups.csv`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
				return err
			}
			if err := a.checkLogging(); err != nil {
				return err
			}
			a.started = true
			return nil
		},
	}
	fl := root.PersistentFlags()
	fl.StringVarP(&a.configFile, "config", "c", "", "configuration `FILE`; default $BRIDGE_CONFIG, then bridge.yaml here")
	fl.StringVar(&a.logLevel, "log-level", "info", "lowest `LEVEL` that is logged: debug, info, warn or error")
	fl.StringVar(&a.logFormat, "log-format", "text", "`FORMAT` of log lines on stderr: text or json")
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")
	root.AddCommand(
		newRunCommand(a),
		newDemoCommand(a),
		newValidateCommand(a),
		newConfigCommand(a),
		newSendCommand(a),
		newWatchCommand(a),
		newSessionsCommand(a),
		newDeadletterCommand(a),
		newEmulateCommand(a),
		newVersionCommand(a),
	)
	return root
}

// complete lets a shell complete the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// It fails for a flag that does not exist or has a function already: both would show in the first test.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// checkLogging refuses what --log-level and --log-format do not take, before any command runs.
func (a *app) checkLogging() error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(a.logLevel)) {
		return errors.New("--log-level: " + quoted(a.logLevel) + " is not one of debug, info, warn, error")
	}
	if a.logFormat != "text" && a.logFormat != "json" {
		return errors.New("--log-format: " + quoted(a.logFormat) + " is not one of text, json")
	}
	return nil
}

// level returns the level of --log-level.
func (a *app) level() (l slog.Level) {
	_ = l.UnmarshalText([]byte(a.logLevel)) // checkLogging has seen it
	return l
}

// logger logs to stderr, for commands that need no telemetry.
func (a *app) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: a.level()}
	if a.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

// telemetry starts what the environment asks for. It must be shut down.
func (a *app) telemetry(ctx context.Context, level slog.Level, stderr io.Writer) (*telemetry.Telemetry, error) {
	o := telemetry.Options{Version: build().Version, Level: level, Format: a.logFormat, Stderr: stderr}
	tel, err := telemetry.Start(ctx, o)
	if err != nil {
		return nil, exit(exitConfig, fmt.Errorf("telemetry: %w", err))
	}
	return tel, nil
}

// configPath returns the configuration file: the flag, the variable, or the file with the usual name; "" for none.
func (a *app) configPath() string {
	if a.configFile != "" {
		return a.configFile
	}
	if path := a.env.get("BRIDGE_CONFIG"); path != "" {
		return path
	}
	if _, err := os.Stat("bridge.yaml"); err == nil {
		return "bridge.yaml"
	}
	return ""
}

// config loads the configuration and logs what is probably not meant.
func (a *app) config() (*config.Config, error) {
	c, err := a.load()
	if err == nil {
		for _, w := range c.Warnings {
			a.logger().Warn("probably not meant", "warning", w.String())
		}
	}
	return c, err
}

// load loads the configuration.
func (a *app) load() (*config.Config, error) {
	path := a.configPath()
	if path == "" {
		return nil, exit(exitConfig,
			errors.New("no configuration: name a file with -c FILE or BRIDGE_CONFIG, or put bridge.yaml here"))
	}
	c, err := config.Load(path, a.env.lookup)
	if err != nil {
		return nil, exit(exitConfig, err)
	}
	return c, nil
}

// interruptible returns a context that ends at SIGINT or SIGTERM, for commands that run until then.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}
