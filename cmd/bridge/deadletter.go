package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/config"
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

// deadLetters is what the commands on dead letters and sessions work with.
type deadLetters struct {
	*deadletter.Service
	settings config.ServiceBus
	cfg      *config.Config // nil without one
	server   string
	known    []deadletter.Entity // what the configuration names
	sources  []deadletter.Entity
}

// openDeadLetters prepares the connection. Nothing is dialled yet.
func (a *app) openDeadLetters() (*deadLetters, error) {
	sb, cfg, err := a.busSettings()
	if err != nil {
		return nil, err
	}
	connect, server, err := connector(sb)
	if err != nil {
		return nil, err
	}
	d := &deadLetters{Service: deadletter.NewService(deadletter.Connect(connect)), settings: sb, cfg: cfg, server: server}
	if cfg != nil {
		for _, s := range cfg.Sources {
			d.sources = append(d.sources, deadletter.Entity{Queue: s.Queue, Topic: s.Topic, Subscription: s.Subscription})
		}
		d.known = slices.Clone(d.sources)
		for _, x := range cfg.Exports {
			if e := (deadletter.Entity{Queue: x.Queue}); !slices.Contains(d.known, e) {
				d.known = append(d.known, e)
			}
		}
	}
	return d, nil
}

// one gives the entity that was named, or the only source.
func (d *deadLetters) one(args []string) (deadletter.Entity, error) {
	if len(args) == 0 {
		if len(d.sources) == 1 {
			return d.sources[0], nil
		}
		return deadletter.Entity{}, usagef("name the ENTITY%s", d.choice())
	}
	e, err := deadletter.ParseEntity(args[0], d.known...)
	if err != nil {
		return e, usageError{err: err}
	}
	return e, nil
}

// several gives the entities that were named, or all sources.
func (d *deadLetters) several(args []string) ([]deadletter.Entity, error) {
	if len(args) == 0 {
		if len(d.sources) == 0 {
			return nil, usagef("name an ENTITY: no configuration says which ones there are")
		}
		return d.sources, nil
	}
	var out []deadletter.Entity
	for i := range args {
		e, err := d.one(args[i : i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (d *deadLetters) choice() string {
	if len(d.known) == 0 {
		return ""
	}
	return ": one of " + strings.Join(d.names(), ", ")
}

func (d *deadLetters) names() (out []string) {
	for _, e := range d.known {
		out = append(out, cmp.Or(e.Queue, e.Topic+"/"+e.Subscription))
	}
	return out
}

// fail gives an error its exit code and says what to do.
func (d *deadLetters) fail(err error, e deadletter.Entity, right string) error {
	if err == nil {
		return nil
	}
	is := func(known error) bool { return errors.Is(err, known) }
	switch name := e.String(); {
	case is(deadletter.ErrUsage) && is(deadletter.ErrNotFound):
		return &exitError{exitNotFound, err, "--to takes a queue; a topic could lose the copies."}
	case is(deadletter.ErrUsage):
		if is(deadletter.ErrCannotTell) {
			return &exitError{exitUsage, err, "Send the copies to a queue with --to QUEUE, sign in with the right to manage the topic, or say --unchecked."}
		}
		return usageError{err: err}
	case is(deadletter.ErrForbidden):
		claim := map[string]string{"listen": "Listen", "send": "Send"}[right]
		return &exitError{exitAuthorization, err, fmt.Sprintf("The %s claim on %s is missing. %s", claim, name, busHint(exit(exitAuthorization, err), d.server, name, right))}
	case is(deadletter.ErrNotFound):
		return &exitError{exitNotFound, err, d.nearest(name)}
	case is(deadletter.ErrNoSessions):
		return &exitError{exitFailure, err, name + " was created without sessions. The bridge reads session-enabled entities only; create it anew with sessions."}
	case is(deadletter.ErrUnreachable):
		return &exitError{exitUnavailable, err, busHint(exit(exitUnavailable, err), d.server, name, right)}
	}
	return err
}

// nearest offers the names of the configuration that look most like name.
func (d *deadLetters) nearest(name string) string {
	names := d.names()
	if len(names) == 0 {
		return fmt.Sprintf("There is no %s in %s: check the name.", name, d.server)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return fmt.Sprintf("There is no %s in %s. The configuration names: %s.", name, d.server, strings.Join(names[:min(3, len(names))], ", "))
}

// distance counts the edits between two names, without regard to case.
func distance(a, b string) int {
	s, t := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		before := row[0]
		row[0] = i + 1
		for j := range t {
			change := before
			if s[i] != t[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(t)]
}

// selection are the flags that choose dead letters.
type selection struct {
	reasons                    []string
	entity, company, messageID string
	session, since, until, seq string
	cmd                        *cobra.Command
}

func (s *selection) flags(cmd *cobra.Command) {
	s.cmd = cmd
	fl := cmd.Flags()
	fl.StringSliceVar(&s.reasons, "reason", nil, "dead letters with this `REASON`, as in ProcessedWithErrors; more than one with commas")
	fl.StringVar(&s.entity, "entity", "", "of this data `ENTITY` of F&O")
	fl.StringVar(&s.company, "company", "", "of this `COMPANY`")
	fl.StringVar(&s.session, "session", "", "of this `SESSION`, exactly")
	fl.StringVar(&s.messageID, "message-id", "", "with this message `ID`, now or before it was resubmitted")
	fl.StringVar(&s.since, "since", "", "last tried (or enqueued) at or after `TIME`: RFC 3339, or an age as in 2h")
	fl.StringVar(&s.until, "until", "", "last tried (or enqueued) at or before `TIME`: RFC 3339, or an age")
	fl.StringVar(&s.seq, "seq", "", "with a sequence number in `RANGE`: 17, 10-20, 10- or -20")
}

// filter reads the flags.
func (s *selection) filter(now time.Time) (f deadletter.Filter, err error) {
	f = deadletter.Filter{Reasons: s.reasons, Entity: s.entity, Company: s.company, MessageID: s.messageID}
	if s.cmd.Flags().Changed("session") { // the empty session is one too
		f.Session = &s.session
	}
	if f.Since, err = moment(s.since, now); err != nil {
		return f, usagef("--since: %w", err)
	}
	if f.Until, err = moment(s.until, now); err != nil {
		return f, usagef("--until: %w", err)
	}
	if s.seq != "" {
		from, to, span := strings.Cut(s.seq, "-")
		if !span {
			to = from
		}
		for _, x := range []struct {
			text string
			to   *int64
		}{{from, &f.From}, {to, &f.To}} {
			if x.text == "" {
				continue
			}
			if *x.to, err = strconv.ParseInt(x.text, 10, 64); err != nil || *x.to < 1 {
				return f, usagef("--seq %q: write 17, 10-20, 10- or -20", s.seq)
			}
		}
		if f.To > 0 && f.From > f.To {
			return f, usagef("--seq %q: the range ends before it begins", s.seq)
		}
	}
	return f, nil
}

// moment reads a time, or an age.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time as in 2026-01-31T08:00:00Z nor an age as in 2h", text)
}

// walkAll runs fn over the selected dead letters of several entities.
func (d *deadLetters) walkAll(ctx context.Context, es []deadletter.Entity, f deadletter.Filter, fn func(deadletter.Message) error) error {
	for _, e := range es {
		for m, err := range deadletter.Walk(ctx, d.Service, e, f) {
			if err != nil {
				return d.fail(err, e, "listen")
			}
			if err := fn(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// session writes a session ID; a message may have none, and an ID may be empty.
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
