package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

func newDeadletterExportCommand(a *app) *cobra.Command {
	var sel selection
	var dir string
	cmd := &cobra.Command{
		Use:   "export [ENTITY]",
		Short: "Copy dead letters with their bodies to a directory, or to stdout as JSON lines",
		Long: `Copy dead letters with their bodies. Nothing is removed or locked.

With --dir each body becomes a file SEQ.EXT, and dead-letters.jsonl has the rest of each
message. Without it, one JSON object per message goes to stdout, the body in it.`,
		Example: `  bridge deadletter export --reason ProcessedWithErrors --dir dead
  bridge deadletter export fno-inbound | jq -r .description`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onDeadLetters(cmd, &sel, (*deadLetters).one, args, func(ctx context.Context, d *deadLetters) error {
				return a.exportDeadLetters(ctx, d, dir)
			})
		},
	}
	sel.flags(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` for the bodies and dead-letters.jsonl; made if it is not there")
	return cmd
}

func (a *app) exportDeadLetters(ctx context.Context, d *deadLetters, dir string) (err error) {
	n := 0
	if dir == "" {
		n, err = deadletter.ExportLines(ctx, d.Service, d.entity(), d.filter, a.stdout)
	} else {
		n, err = deadletter.ExportDir(ctx, d.Service, d.entity(), d.filter, dir)
	}
	if err != nil {
		return d.fail(fmt.Errorf("%w (%s exported before)", err, counted(n, "dead letter")), d.entity(), "listen")
	}
	a.note("%s exported", counted(n, "dead letter"))
	return nil
}
