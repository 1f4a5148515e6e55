package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
			args = args[:len(args)-1]
			return a.onDeadLetters(cmd, nil, (*deadLetters).one, args, func(ctx context.Context, d *deadLetters) error {
				return a.showDeadLetter(ctx, d, seq, body, out)
			})
		},
	}
	cmd.Flags().IntVar(&body, "body", 2000, "show the first `N` bytes of the body; -1 shows all")
	outputFlag(cmd, &out, formatTable, formatJSON)
	return cmd
}

func (a *app) showDeadLetter(ctx context.Context, d *deadLetters, seq int64, body int, out format) error {
	e := d.entity()
	for m, err := range deadletter.WalkFull(ctx, d.Service, e, deadletter.Filter{From: seq, To: seq}, body) {
		if err != nil {
			return d.fail(err, e, "listen")
		}
		if out == formatJSON {
			return writeJSON(a.stdout, m)
		}
		return a.printDeadLetter(m)
	}
	return &exitError{exitNotFound, fmt.Errorf("%s has no dead letter %d", e, seq),
		"bridge deadletter list " + e.String() + " shows those it has."}
}

func (a *app) printDeadLetter(m deadletter.Message) error {
	p := &printer{w: a.stdout}
	for _, f := range deadLetterFields(m) {
		if f.value != "" {
			p.line("%-17s %s", f.name, printable(f.value))
		}
	}
	if m.Description != "" {
		p.line("")
		p.text(m.Description)
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
	p.line("\nbody (%s):", bodyText(m))
	if m.BodyBase64 != "" {
		p.line("not text; base64: %s", m.BodyBase64)
	}
	p.text(m.Body)
	return p.err
}

// A field is one line of what is shown; without a value it is left out.
type field struct{ name, value string }

func deadLetterFields(m deadletter.Message) []field {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	when := func(known bool, text string) string {
		if !known {
			return ""
		}
		return text
	}
	return []field{
		{"source", m.Source},
		{"sequence number", number(m.SequenceNumber)},
		{"first life", when(m.Original > 0, number(m.Original))},
		{"message ID", m.MessageID},
		{"original ID", m.Key},
		{"session", sessionText(m.Session)},
		{"entity", m.Entity},
		{"company", m.Company},
		{"reason", m.Reason},
		{"enqueued", when(!m.EnqueuedAt.IsZero(), timeText(m.EnqueuedAt))},
		{"last tried", when(!m.FailedAt.IsZero(), timeText(m.FailedAt))},
		{"deliveries", number(int64(m.Deliveries))},
		{"resubmits", number(m.Resubmits)},
		{"content type", m.ContentType},
		{"subject", m.Subject},
		{"correlation ID", m.CorrelationID},
		{"state", when(m.Deferred, "deferred")},
	}
}

// bodyText says how large the body is and what of it is shown.
func bodyText(m deadletter.Message) string {
	text := counted(m.Bytes, "byte")
	if m.BodyCutAt > 0 {
		text += fmt.Sprintf(", the first %d shown", m.BodyCutAt)
	}
	if m.BodySection != "" {
		text += ", AMQP " + m.BodySection
	}
	return text
}
