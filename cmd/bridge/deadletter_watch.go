package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
	"fnobridge/internal/retry"
)

func newDeadletterWatchCommand(a *app) *cobra.Command {
	var sel selection
	var failIfAny bool
	var every time.Duration
	var out format
	cmd := &cobra.Command{
		Use:   "watch [ENTITY...]",
		Short: "Show dead letters as they come; or, for monitors, fail if there are any",
		Long: `Show dead letters as they come, those that are there first, until Ctrl-C.

With --fail-if-any it looks once, counts by reason and entity, and ends with exit code 1
if there is any, 0 if there is none. Nothing is locked or changed.`,
		Example: `  bridge deadletter watch
  bridge deadletter watch fno-inbound --fail-if-any --reason UnknownOutcome`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if every < time.Second {
				return usagef("--every %v: at least 1s, every look reads the whole dead-letter queue", every)
			}
			return a.onDeadLetters(cmd, &sel, (*deadLetters).several, args, func(ctx context.Context, d *deadLetters) error {
				if failIfAny {
					return a.failIfAny(ctx, d, out)
				}
				return a.watchDeadLetters(ctx, d, every, out)
			})
		},
	}
	sel.flags(cmd)
	cmd.Flags().BoolVar(&failIfAny, "fail-if-any", false, "look once; exit code 1 if there are any")
	cmd.Flags().DurationVar(&every, "every", 15*time.Second, "`TIME` between two looks")
	outputFlag(cmd, &out, formatTable, formatJSONL, formatJSON)
	return cmd
}

func (a *app) failIfAny(ctx context.Context, d *deadLetters, out format) error {
	groups, n := deadletter.Groups{}, 0
	if err := d.walk(ctx, func(m deadletter.Message) error { groups.Add(m); n++; return nil }); err != nil {
		return err
	}
	if err := a.printGroups(groups, out); err != nil || n == 0 {
		return err
	}
	return exit(exitFailure, fmt.Errorf("%s found", counted(n, "dead letter")))
}

// watchDeadLetters looks again and again. Sequence numbers do not tell what is new: a file that waited for long is
// dead-lettered with an old one. So the numbers of the last look are kept.
func (a *app) watchDeadLetters(ctx context.Context, d *deadLetters, every time.Duration, out format) error {
	type place struct {
		source string
		seq    int64
	}
	seen := map[place]bool{}
	for {
		now := make(map[place]bool, len(seen))
		err := d.walk(ctx, func(m deadletter.Message) error {
			at := place{m.Source, m.SequenceNumber}
			now[at] = true
			if seen[at] {
				return nil
			}
			if out != formatTable {
				return writeLine(a.stdout, m)
			}
			p := &printer{w: a.stdout}
			p.line("%s  %s %d  %s  %s  session %s  %s", timeText(m.Time()), m.Source, m.SequenceNumber, cmp.Or(m.Reason, "-"),
				printable(cmp.Or(m.Entity, "-")), printable(sessionText(m.Session)), printable(m.MessageID))
			return p.err
		})
		if ctx.Err() != nil {
			return nil // Ctrl-C ends a watch; that is no failure
		}
		if err != nil {
			return err
		}
		seen = now
		if !retry.Wait(ctx, every) {
			return nil
		}
	}
}
