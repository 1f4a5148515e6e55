package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fnobridge/internal/deadletter"
)

// purgeFlags are the flags of `bridge deadletter purge`.
type purgeFlags struct {
	sel      selection
	dry, yes bool
	audit    string
	rate     float64
	wait     time.Duration
	out      format
}

func newDeadletterPurgeCommand(a *app) *cobra.Command {
	var f purgeFlags
	cmd := &cobra.Command{
		Use:   "purge [ENTITY]",
		Short: "Remove dead letters for good",
		Long: `Remove the selected dead letters for good; nothing brings them back. On a terminal it
asks for the name of the entity, elsewhere it wants --yes. Export them first.`,
		Example: `  bridge deadletter purge --reason EmptyBody --dry-run
  bridge deadletter purge fno-inbound --until 720h --yes --audit purged.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.purge(ctx, &f, args)
		},
	}
	f.sel.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.dry, "dry-run", false, "say what would be removed, and change nothing")
	fl.BoolVar(&f.yes, "yes", false, "do not ask")
	fl.Float64Var(&f.rate, "rate", 0, "at most `N` messages per second; 0 is no limit")
	fl.DurationVar(&f.wait, "wait", 0, "how long to wait for messages that somebody else has locked")
	fl.StringVar(&f.audit, "audit", "", "append one JSON line per message to `FILE` instead of logging it")
	outputFlag(cmd, &f.out, formatTable, formatJSON)
	return cmd
}

func (a *app) purge(ctx context.Context, f *purgeFlags, args []string) (err error) {
	o := deadletter.Options{DryRun: f.dry, Rate: f.rate, Wait: f.wait, Parallel: 16}
	if o.Filter, err = f.sel.filter(time.Now()); err != nil {
		return err
	}
	if f.rate < 0 || f.wait < 0 {
		return usagef("--rate and --wait are 0 or more")
	}
	d, err := a.openDeadLetters()
	if err != nil {
		return err
	}
	defer closeQuietly(d)
	if o.Entity, err = d.one(args); err != nil {
		return err
	}
	if !f.dry && !f.yes {
		if err := a.confirmPurge(o); err != nil {
			return err
		}
	}
	done, err := a.auditTrail(&o, f.audit)
	if err != nil {
		return err
	}
	rep, err := deadletter.Purge(ctx, d.Service, o)
	if cerr := done(); err == nil {
		err = cerr
	}
	return a.concluded(d, o, rep, err, f.out, "removed", "listen")
}

// confirmPurge asks on a terminal, and refuses elsewhere.
func (a *app) confirmPurge(o deadletter.Options) error {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("purge removes dead letters for good: say --yes, here is no terminal to ask on")
	}
	what := "The selected dead letters"
	if o.Filter.Everything() {
		what = "ALL dead letters"
	}
	if _, err := fmt.Fprintf(a.stderr, "%s of %s will be removed for good. Type the name of the entity to go on: ", what, o.Entity); err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return usagef("nothing was removed: no answer")
	}
	if strings.TrimSpace(line) != o.Entity.String() {
		return usagef("nothing was removed: %q is not %s", strings.TrimSpace(line), o.Entity)
	}
	return nil
}
