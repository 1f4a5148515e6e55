package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

func newDeadletterListCommand(a *app) *cobra.Command {
	var sel selection
	var group bool
	var out format
	cmd := &cobra.Command{
		Use:   "list [ENTITY...]",
		Short: "List dead letters, or count them by reason and entity",
		Long: `List dead letters in the order of their sequence numbers. Nothing is locked, counted or
changed. The list is written as it is read: 50,000 of them take no more memory than
a hundred.`,
		Example: `  bridge deadletter list --group
  bridge deadletter list fno-inbound --reason ProcessedWithErrors --since 2h
  bridge deadletter list orders/fno --entity "Customer groups" -o jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onDeadLetters(cmd, &sel, (*deadLetters).several, args, func(ctx context.Context, d *deadLetters) error {
				if group {
					return a.groupDeadLetters(ctx, d, out)
				}
				return a.listDeadLetters(ctx, d, out)
			})
		},
	}
	sel.flags(cmd)
	cmd.Flags().BoolVar(&group, "group", false, "count by reason and data entity instead")
	outputFlag(cmd, &out, formatTable, formatJSON, formatJSONL)
	return cmd
}

// rowsPerTable is how many rows are aligned together: the list must not wait for its end.
const rowsPerTable = 100

func (a *app) listDeadLetters(ctx context.Context, d *deadLetters, out format) error {
	switch out {
	case formatJSONL:
		return d.walk(ctx, func(m deadletter.Message) error { return writeLine(a.stdout, m) })
	case formatJSON:
		return a.listAsDocument(ctx, d)
	}
	return a.listAsTable(ctx, d)
}

// listAsTable writes a table as it reads, a few rows at a time.
func (a *app) listAsTable(ctx context.Context, d *deadLetters) error {
	n := 0
	t := newTable(a.stdout)
	err := d.walk(ctx, func(m deadletter.Message) error {
		if n%rowsPerTable == 0 {
			if err := t.flush(); err != nil {
				return err
			}
			t = newTable(a.stdout,
				"SOURCE", "SEQ", "LAST TRIED", "REASON", "ENTITY", "COMPANY", "SESSION", "MESSAGE ID", "AGAIN", "BYTES")
		}
		n++
		t.row(m.Source, strconv.FormatInt(m.SequenceNumber, 10), timeText(m.Time()), cmp.Or(m.Reason, "-"),
			cmp.Or(m.Entity, "-"), cmp.Or(m.Company, "-"), sessionText(m.Session), m.MessageID,
			strconv.FormatInt(m.Resubmits, 10), strconv.Itoa(m.Bytes))
		return nil
	})
	if ferr := t.flush(); err == nil {
		err = ferr
	}
	if err == nil && n == 0 {
		a.note("no dead letters")
	}
	return err
}

// listAsDocument writes one JSON array as it reads; 50,000 dead letters are never in memory together.
func (a *app) listAsDocument(ctx context.Context, d *deadLetters) error {
	p := &printer{w: a.stdout}
	before := "["
	err := d.walk(ctx, func(m deadletter.Message) error {
		_, err := fmt.Fprint(a.stdout, before)
		p.keep(written(err))
		p.keep(writeLine(a.stdout, m))
		before = ","
		return p.err
	})
	if before == "[" {
		p.line("[]")
	} else {
		p.line("]")
	}
	if err == nil {
		err = p.err
	}
	return err
}

func (a *app) groupDeadLetters(ctx context.Context, d *deadLetters, out format) error {
	groups := deadletter.Groups{}
	if err := d.walk(ctx, func(m deadletter.Message) error { groups.Add(m); return nil }); err != nil {
		return err
	}
	return a.printGroups(groups, out)
}

func (a *app) printGroups(groups deadletter.Groups, out format) error {
	rows := groups.Sorted()
	return writeRows(a.stdout, out, rows, func() error {
		if len(rows) == 0 {
			a.note("no dead letters")
			return nil
		}
		return printGroupTable(a.stdout, rows)
	})
}

func printGroupTable(w io.Writer, rows []deadletter.Group) error {
	t := newTable(w, "REASON", "ENTITY", "COUNT", "OLDEST", "NEWEST", "BYTES")
	for _, g := range rows {
		t.row(cmp.Or(g.Reason, "-"), cmp.Or(g.Entity, "-"), strconv.Itoa(g.Count), timeText(g.Oldest), timeText(g.Newest),
			strconv.FormatInt(g.Bytes, 10))
	}
	return t.flush()
}
