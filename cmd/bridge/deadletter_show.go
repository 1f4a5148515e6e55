package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

func newDeadletterShowCommand(a *app) *cobra.Command {
	var out format
	var body int
	cmd := &cobra.Command{
		Use:   "show [ENTITY] SEQ",
		Short: "Show one dead letter: why, what to do, properties, the beginning of its body",
		Example: `  bridge deadletter show 17
  bridge deadletter show fno-inbound 17 --body -1 -o json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseInt(args[len(args)-1], 10, 64)
			if err != nil || seq < 1 {
				return usagef("%q is not a sequence number: bridge deadletter list shows them", args[len(args)-1])
			}
			d, err := a.openDeadLetters()
			if err != nil {
				return err
			}
			defer closeQuietly(d)
			e, err := d.one(args[:len(args)-1])
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.showDeadLetter(ctx, d, e, seq, body, out)
		},
	}
	cmd.Flags().IntVar(&body, "body", 2000, "show the first `N` bytes of the body; -1 shows all")
	outputFlag(cmd, &out, formatTable, formatJSON)
	return cmd
}

func (a *app) showDeadLetter(ctx context.Context, d *deadLetters, e deadletter.Entity, seq int64, body int, out format) error {
	for m, err := range deadletter.WalkFull(ctx, d.Service, e, deadletter.Filter{From: seq, To: seq}, body) {
		if err != nil {
			return d.fail(err, e, "listen")
		}
		if out == formatJSON {
			return writeJSON(a.stdout, m)
		}
		return a.printDeadLetter(m)
	}
	return &exitError{exitNotFound, fmt.Errorf("%s has no dead letter %d", e, seq), "bridge deadletter list " + e.String() + " shows those it has."}
}

func (a *app) printDeadLetter(m deadletter.Message) error {
	p := &printer{w: a.stdout}
	field := func(name, value string) {
		if value != "" {
			p.line("%-17s %s", name, printable(value))
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			field(name, timeText(t))
		}
	}
	field("source", m.Source)
	field("sequence number", strconv.FormatInt(m.SequenceNumber, 10))
	if m.Original > 0 {
		field("first life", strconv.FormatInt(m.Original, 10))
	}
	field("message ID", m.MessageID)
	field("original ID", m.Key)
	field("session", sessionText(m.Session))
	field("entity", m.Entity)
	field("company", m.Company)
	field("reason", m.Reason)
	at("enqueued", m.EnqueuedAt)
	at("last tried", m.FailedAt)
	field("deliveries", strconv.FormatUint(uint64(m.Deliveries), 10))
	field("resubmits", strconv.FormatInt(m.Resubmits, 10))
	field("content type", m.ContentType)
	field("subject", m.Subject)
	field("correlation ID", m.CorrelationID)
	if m.Deferred {
		field("state", "deferred")
	}
	if m.Description != "" {
		p.line("")
		for line := range strings.Lines(m.Description) {
			p.line("%s", printable(strings.TrimRight(line, "\r\n")))
		}
	}
	if m.WhatToDo != "" && !strings.Contains(m.Description, m.WhatToDo) {
		p.line("\nWhat to do: %s", m.WhatToDo)
	}
	if len(m.Properties) > 0 {
		p.line("\nproperties:")
		for _, k := range slices.Sorted(maps.Keys(m.Properties)) {
			p.line("  %s = %s", printable(k), printable(fmt.Sprint(m.Properties[k])))
		}
	}
	what := counted(m.Bytes, "byte")
	if m.BodyCutAt > 0 {
		what += fmt.Sprintf(", the first %d shown", m.BodyCutAt)
	}
	if m.BodySection != "" {
		what += ", AMQP " + m.BodySection
	}
	p.line("\nbody (%s):", what)
	if m.BodyBase64 != "" {
		p.line("not text; base64: %s", m.BodyBase64)
	}
	for line := range strings.Lines(m.Body) {
		p.line("%s", printable(strings.TrimRight(line, "\r\n")))
	}
	return p.err
}
