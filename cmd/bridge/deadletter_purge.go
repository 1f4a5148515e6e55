package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

func newDeadletterPurgeCommand(a *app) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "purge [ENTITY]",
		Short: "Remove dead letters for good",
		Long: `Remove the selected dead letters for good; nothing brings them back. On a terminal it
asks for the name of the entity, elsewhere it wants --yes. Export them first.`,
		Example: `  bridge deadletter purge --reason EmptyBody --dry-run
  bridge deadletter purge fno-inbound --until 720h --yes --audit purged.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.rate < 0 || f.wait < 0 {
				return usagef("--rate and --wait are 0 or more")
			}
			return a.onDeadLetters(cmd, &f.sel, (*deadLetters).one, args, func(ctx context.Context, d *deadLetters) error {
				return a.purge(ctx, d, f)
			})
		},
	}
	f.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.dry, "dry-run", false, "say what would be removed, and change nothing")
	fl.BoolVar(&f.yes, "yes", false, "do not ask")
	fl.DurationVar(&f.wait, "wait", 0, "how long to wait for messages that somebody else has locked")
	return cmd
}

func (a *app) purge(ctx context.Context, d *deadLetters, f replayFlags) error {
	o := f.options(d)
	o.Parallel = 16
	if !f.dry && !f.yes {
		if err := a.confirmPurge(o); err != nil {
			return err
		}
	}
	return a.replay(ctx, d, o, f, replayAction{deadletter.Purge, "removed", "listen"})
}

// confirmPurge asks on a terminal, and refuses elsewhere.
func (a *app) confirmPurge(o deadletter.Options) error {
	in, ok := a.terminal()
	if !ok {
		return usagef("purge removes dead letters for good: say --yes, here is no terminal to ask on")
	}
	what := "The selected dead letters"
	if o.Filter.Everything() {
		what = "ALL dead letters"
	}
	answer, err := a.ask(in, fmt.Sprintf("%s of %s will be removed for good. Type the name of the entity to go on: ",
		what, o.Source))
	if err != nil {
		return usagef("nothing was removed: no answer")
	}
	if answer != o.Source.String() {
		return usagef("nothing was removed: %q is not %s", answer, o.Source)
	}
	return nil
}
