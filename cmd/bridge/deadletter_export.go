package main

import (
	"fmt"
	"time"

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
			f, err := sel.filter(time.Now())
			if err != nil {
				return err
			}
			d, err := a.openDeadLetters()
			if err != nil {
				return err
			}
			defer closeQuietly(d)
			e, err := d.one(args)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd)
			defer stop()
			n := 0
			if dir == "" {
				n, err = deadletter.ExportLines(ctx, d.Service, e, f, a.stdout)
			} else {
				n, err = deadletter.ExportDir(ctx, d.Service, e, f, dir)
			}
			if err != nil {
				return d.fail(fmt.Errorf("%w (%s exported before)", err, counted(n, "dead letter")), e, "listen")
			}
			a.note("%s exported", counted(n, "dead letter"))
			return nil
		},
	}
	sel.flags(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` for the bodies and dead-letters.jsonl; made if it is not there")
	return cmd
}
