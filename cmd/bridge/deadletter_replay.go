package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
)

// replayFlags are the flags of the commands that take dead letters away: resubmit and purge.
type replayFlags struct {
	sel      selection
	dry, yes bool
	rate     float64
	wait     time.Duration
	audit    string
	out      format
}

// flags adds those flags that mean the same in both commands.
func (f *replayFlags) flags(cmd *cobra.Command) {
	f.sel.flags(cmd)
	cmd.Flags().Float64Var(&f.rate, "rate", 0, "at most `N` messages per second; 0 is no limit")
	cmd.Flags().StringVar(&f.audit, "audit", "", "append one JSON line per message to `FILE` instead of logging it")
	outputFlag(cmd, &f.out, formatTable, formatJSON)
}

func (f *replayFlags) options(d *deadLetters) deadletter.Options {
	return deadletter.Options{Source: d.entity(), Filter: d.filter, DryRun: f.dry, Rate: f.rate, Wait: f.wait}
}

// A replayAction is what is done to the selected dead letters.
type replayAction struct {
	run   func(context.Context, deadletter.Broker, deadletter.Options) (deadletter.Report, error)
	did   string // as in "3 removed"
	right string // the claim that it needs: listen or send
}

// replay runs an action with its audit trail, and prints the report.
func (a *app) replay(ctx context.Context, d *deadLetters, o deadletter.Options, f replayFlags, act replayAction) error {
	done, err := a.auditTrail(&o, f.audit)
	if err != nil {
		return err
	}
	rep, err := act.run(ctx, d.Service, o)
	if cerr := done(); err == nil {
		err = cerr
	}
	if f.out == formatJSON {
		if werr := writeJSON(a.stdout, rep); werr != nil {
			return werr
		}
	} else if err == nil || rep.Selected > 0 {
		if werr := a.printReport(o, rep, act); werr != nil {
			return werr
		}
	}
	return concluded(d, o, rep, err, act)
}

func (a *app) printReport(o deadletter.Options, rep deadletter.Report, act replayAction) error {
	p := &printer{w: a.stdout}
	n, verb := rep.Done, act.did
	if rep.DryRun {
		n, verb = rep.Selected-rep.Blocked, "would be "+act.did
	}
	p.line("%s selected in %s, %d %s", counted(rep.Selected, "dead letter"), o.Source, n, verb)
	for _, x := range []struct {
		n    int
		what string
	}{
		{rep.Already, "sent by an earlier run, completed now"},
		{rep.Gone, "gone meanwhile"},
		{rep.Failed, "refused"},
		{rep.Blocked, "not touched: their session is not free, or an earlier file of it could not go"},
		{rep.Locked, "locked by somebody else"},
		{rep.Doubt, "in doubt: the copy was sent, or may have been, and the dead letter is still there"},
		{rep.Rest, "not reached"},
		{rep.Requeued, "newer messages moved behind"},
		{rep.Lifted, "sessions no longer held or draining"},
	} {
		if x.n > 0 {
			p.line("  %d %s", x.n, x.what)
		}
	}
	if rep.LeftOut > 0 {
		p.line("  %s", leftOut(rep.LeftOut))
	}
	return p.err
}

// concluded returns what a run ended with, with its exit code: a run that did a part of its work is told from one that
// did nothing, because the first is repeated and the second is looked into.
func concluded(d *deadLetters, o deadletter.Options, rep deadletter.Report, err error, act replayAction) error {
	switch {
	case err != nil && rep.Done > 0:
		err = d.fail(err, o.Source, act.right)
		return &exitError{exitPartly, fmt.Errorf("%w (after %d messages; repeat the command)", err, rep.Done), hintOf(err)}
	case err != nil:
		return d.fail(err, o.Source, act.right)
	case rep.Stopped:
		return exit(exitPartly, errors.New("interrupted: repeat the command to go on"))
	case !rep.Complete():
		return exit(exitPartly, fmt.Errorf("%d of %d were not %s; the audit lines say why",
			rep.Selected-rep.Done-rep.Already-rep.Gone, rep.Selected, act.did))
	case rep.DryRun && rep.Blocked > 0:
		return exit(exitPartly,
			fmt.Errorf("%d of %d would not be %s; the audit lines say why", rep.Blocked, rep.Selected, act.did))
	}
	return nil
}
