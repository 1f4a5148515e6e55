package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/bus"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
)

func newDeadletterCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "deadletter",
		Aliases: []string{"dlq"},
		Short:   "Look at dead letters, send them back, remove them",
		Long: `Look at dead letters, send them back, remove them.

ENTITY is a queue, or a subscription as topic/subscription. Without it, commands that
only look take every source of the configuration; the others take the only source.
The connection is that of the configuration, or SERVICEBUS_CONNECTION_STRING.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDeadletterListCommand(a), newDeadletterShowCommand(a), newDeadletterResubmitCommand(a),
		newDeadletterExportCommand(a), newDeadletterPurgeCommand(a), newDeadletterWatchCommand(a))
	return cmd
}

// deadLetters is what the commands on dead letters and on sessions work with: a connection, and what was selected.
type deadLetters struct {
	*deadletter.Service
	settings config.ServiceBus
	cfg      *config.Config // nil without one
	server   string
	known    []contract.Source // what the configuration names
	sources  []contract.Source // those of them that the bridge reads

	entities []contract.Source // what this command works on, one at least
	filter   deadletter.Filter
}

// A finder returns the entities that the arguments of a command mean: (*deadLetters).one or (*deadLetters).several.
type finder func(d *deadLetters, args []string) ([]contract.Source, error)

// onDeadLetters runs a command on dead letters or sessions: it reads the selection (nil when the command has none),
// prepares the connection, finds the entities, and calls do with a context that Ctrl-C ends. Nothing is dialled before.
func (a *app) onDeadLetters(
	cmd *cobra.Command, sel *selection, find finder, args []string, do func(context.Context, *deadLetters) error,
) error {
	var f deadletter.Filter
	if sel != nil {
		var err error
		if f, err = sel.filter(cmd, time.Now()); err != nil {
			return err
		}
	}
	d, err := a.openDeadLetters()
	if err != nil {
		return err
	}
	defer closeQuietly(d)
	d.filter = f
	if d.entities, err = find(d, args); err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	return do(ctx, d)
}

func (a *app) openDeadLetters() (*deadLetters, error) {
	sb, cfg, err := a.busSettings()
	if err != nil {
		return nil, err
	}
	connect, server, err := connector(sb)
	if err != nil {
		return nil, err
	}
	b, err := bus.Open(bus.Options{Connect: connect})
	if err != nil {
		return nil, err
	}
	d := &deadLetters{Service: deadletter.NewService(b), settings: sb, cfg: cfg, server: server}
	if cfg == nil {
		return d, nil
	}
	for _, s := range cfg.Sources {
		d.sources = append(d.sources, contract.Source(s))
	}
	d.known = slices.Clone(d.sources)
	for _, x := range cfg.Exports {
		if e := (contract.Source{Queue: x.Queue}); !slices.Contains(d.known, e) {
			d.known = append(d.known, e)
		}
	}
	return d, nil
}

// one finds the entity that was named, or the only source.
func (d *deadLetters) one(args []string) ([]contract.Source, error) {
	if len(args) == 0 {
		if len(d.sources) == 1 {
			return d.sources, nil
		}
		choice := ""
		if len(d.known) > 0 {
			choice = ": one of " + strings.Join(d.names(), ", ")
		}
		return nil, usagef("name the ENTITY%s", choice)
	}
	e, err := contract.ParseSource(args[0], d.known...)
	if err != nil {
		return nil, usageError{err: err}
	}
	return []contract.Source{e}, nil
}

// several finds the entities that were named, or all sources.
func (d *deadLetters) several(args []string) ([]contract.Source, error) {
	if len(args) == 0 {
		if len(d.sources) == 0 {
			return nil, usagef("name an ENTITY: no configuration says which ones there are")
		}
		return d.sources, nil
	}
	var all []contract.Source
	for i := range args {
		e, err := d.one(args[i : i+1])
		if err != nil {
			return nil, err
		}
		all = append(all, e...)
	}
	return all, nil
}

// entity returns the entity of a command that takes only one.
func (d *deadLetters) entity() contract.Source { return d.entities[0] }

// names returns what the configuration names, as a user writes it.
func (d *deadLetters) names() (all []string) {
	for _, e := range d.known {
		all = append(all, e.String())
	}
	return all
}

// walk calls do for each selected dead letter.
func (d *deadLetters) walk(ctx context.Context, do func(deadletter.Message) error) error {
	for _, e := range d.entities {
		for m, err := range deadletter.Walk(ctx, d.Service, e, d.filter) {
			if err != nil {
				return d.fail(err, e, "listen")
			}
			if err := do(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// sessionText writes a session ID; a message may have none, and an ID may be empty.
func sessionText(s *string) string {
	switch {
	case s == nil:
		return "-"
	case *s == "":
		return `""`
	}
	return *s
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
