package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/inbound"
)

// resubmitFlags are the flags of `bridge deadletter resubmit`.
type resubmitFlags struct {
	sel            selection
	dry, yes, risk bool
	to, audit      string
	edits          []string
	rate           float64
	parallel       int
	wait           time.Duration
	worker         string
	out            format
}

// longestLock is how long a killed run can keep messages locked. Source: Microsoft Learn, message-transfers-locks-settlement.
const longestLock = 5 * time.Minute

func newDeadletterResubmitCommand(a *app) *cobra.Command {
	var f resubmitFlags
	cmd := &cobra.Command{
		Use:   "resubmit [ENTITY]",
		Short: "Send dead letters back, in order",
		Long: `Send the selected dead letters back, those of one session in the order they were first
enqueued in. The copy is sent first, the dead letter is completed when Service Bus has
taken it: Ctrl-C, or the end of the connection, at any point loses nothing. Repeat the
command then: the copies have the same IDs (the original one with ~r1, ~r2, ...), so a
queue with duplicate detection keeps one of each. A queue without it may get the one
message twice whose copy was on its way; the report counts it as in doubt.

A session that is held or drains is locked, its dead letters go before everything newer
in it, and the hold or drain is lifted when they are all there. While a worker has such
a session it is left alone. Its group goes back as a whole.

Session, properties, correlation, trace and body are kept. Gone are DeadLetter* and the
diagnosis of the bridge; new are fnobridge-resubmits, fnobridge-message-id (the original
ID, which stays the idempotency key), and the original sequence number and time.

Dead letters of a subscription go to its topic, and so to all of its subscriptions; that
needs --yes, and rules that would take them. --to QUEUE sends them to one queue.`,
		Example: `  bridge deadletter resubmit --reason Timeout --dry-run
  bridge deadletter resubmit fno-inbound --session "usmf/Customer groups" --audit audit.jsonl
  bridge deadletter resubmit fno-inbound --seq 17 --edit groups-corrected.csv
  bridge deadletter resubmit --session Vendors --edit 17=vendors.csv   # 17 and what was drained behind it`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.resubmit(ctx, &f, args)
		},
	}
	f.sel.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.dry, "dry-run", false, "say what would be done, and change nothing")
	fl.StringVar(&f.to, "to", "", "send the copies to this `QUEUE` instead")
	fl.StringArrayVar(&f.edits, "edit", nil, "`FILE` that replaces the body of the one selected message, or SEQ=FILE for one of several")
	fl.Float64Var(&f.rate, "rate", 0, "at most `N` messages per second; 0 is no limit")
	fl.IntVar(&f.parallel, "parallel", 8, "`N` sessions at the same time")
	fl.DurationVar(&f.wait, "wait", longestLock+30*time.Second, "how long to wait for messages and sessions that somebody else has locked")
	fl.StringVar(&f.worker, "worker", "", "`URL` of a running worker's listen address, to know what locked sessions do")
	fl.StringVar(&f.audit, "audit", "", "append one JSON line per message to `FILE` instead of logging it")
	fl.BoolVar(&f.yes, "yes", false, "send to a topic, and so to all of its subscriptions")
	fl.BoolVar(&f.risk, "unchecked", false, "send to a topic although it cannot be told that a subscription takes it")
	outputFlag(cmd, &f.out, formatTable, formatJSON)
	return cmd
}

func (a *app) resubmit(ctx context.Context, f *resubmitFlags, args []string) (err error) {
	o := deadletter.Options{DryRun: f.dry, Rate: f.rate, Parallel: f.parallel, Wait: f.wait, To: f.to, Unchecked: f.risk, Ledger: marks{}}
	if o.Filter, err = f.sel.filter(time.Now()); err != nil {
		return err
	}
	if f.rate < 0 || f.parallel < 1 || f.parallel > 256 || f.wait < 0 {
		return usagef("--rate and --wait are 0 or more, --parallel is 1 to 256")
	}
	if err := readEdits(f.edits, &o); err != nil {
		return err
	}
	d, err := a.openDeadLetters()
	if err != nil {
		return err
	}
	defer closeQuietly(d)
	if o.Entity, err = d.one(args); err != nil {
		return err
	}
	if o.Entity.Topic != "" && f.to == "" {
		if !f.yes && !f.dry {
			return usagef("%s is a subscription: its dead letters go to topic %s and reach all of its subscriptions; say --yes to that, or --to QUEUE", o.Entity, o.Entity.Topic)
		}
		if o.Takes, err = d.takes(ctx, o.Entity.Topic); err != nil && !f.risk {
			return d.fail(fmt.Errorf("%w: %w", deadletter.ErrUsage, err), o.Entity, "listen")
		}
	}
	seen := map[string]inbound.SessionView{}
	if f.worker != "" {
		if seen, err = workerSessions(ctx, f.worker, o.Entity); err != nil {
			return err
		}
	}
	o.Ordered = mayStand(d.cfg, o.Entity, seen)
	done, err := a.auditTrail(&o, f.audit)
	if err != nil {
		return err
	}
	rep, err := deadletter.Resubmit(ctx, d.Service, o)
	if cerr := done(); err == nil {
		err = cerr
	}
	return a.concluded(d, o, rep, err, f.out, "resubmitted", "send")
}

// readEdits reads FILE and SEQ=FILE.
func readEdits(edits []string, o *deadletter.Options) error {
	for _, e := range edits {
		file, at := e, int64(0)
		if n, f, ok := strings.Cut(e, "="); ok {
			if seq, err := strconv.ParseInt(n, 10, 64); err == nil {
				file, at = f, seq
			}
		}
		body, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return fmt.Errorf("--edit: %w", err)
		}
		if len(body) == 0 {
			return usagef("--edit %s: the file is empty", file)
		}
		switch {
		case at > 0:
			if o.Edits == nil {
				o.Edits = map[int64][]byte{}
			}
			o.Edits[at] = body
		case o.Edit != nil:
			return usagef("--edit without a sequence number can be given once")
		default:
			o.Edit = body
		}
	}
	if o.Edit != nil && o.Edits != nil {
		return usagef("--edit FILE and --edit SEQ=FILE do not go together")
	}
	return nil
}

// takes reads the rules of a topic over the management API, which needs HTTPS and the right to manage.
func (d *deadLetters) takes(ctx context.Context, topic string) (deadletter.Takes, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	c, err := d.manager()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrCannotTell, err)
	}
	return deadletter.TopicRules(ctx, c, topic)
}

func (d *deadLetters) manager() (*admin.Client, error) {
	o := &admin.ClientOptions{}
	o.Retry.MaxRetries = 1
	if s := d.settings.ConnectionString; s != nil {
		return admin.NewClientFromConnectionString(s.Value(), o)
	}
	id := config.Identity{Kind: config.IdentityDefault}
	if d.settings.Identity != nil {
		id = *d.settings.Identity
	}
	cred, err := newCredential(id)
	if err != nil {
		return nil, err
	}
	return admin.NewClient(d.settings.Namespace, cred, o)
}

// concluded prints the report of a run and gives the error with its exit code.
func (a *app) concluded(d *deadLetters, o deadletter.Options, rep deadletter.Report, err error, out format, did, right string) error {
	if out == formatJSON {
		if werr := writeJSON(a.stdout, rep); werr != nil {
			return werr
		}
	} else if err == nil || rep.Selected > 0 {
		p := &printer{w: a.stdout}
		verb := did
		if rep.DryRun {
			verb = "would be " + did
			p.line("%s selected in %s, %d %s", counted(rep.Selected, "dead letter"), o.Entity, rep.Selected-rep.Blocked, verb)
		} else {
			p.line("%s selected in %s, %d %s", counted(rep.Selected, "dead letter"), o.Entity, rep.Done, verb)
		}
		for _, x := range []struct {
			n    int
			what string
		}{
			{rep.Already, "sent by an earlier run, completed now"}, {rep.Gone, "gone meanwhile"}, {rep.Failed, "refused"},
			{rep.Blocked, "not touched: their session is not free, or an earlier file of it could not go"}, {rep.Locked, "locked by somebody else"},
			{rep.Doubt, "in doubt: the copy was sent, or may have been, and the dead letter is still there"}, {rep.Rest, "not reached"},
			{rep.Requeued, "newer messages moved behind"}, {rep.Lifted, "sessions no longer held or draining"},
		} {
			if x.n > 0 {
				p.line("  %d %s", x.n, x.what)
			}
		}
		if p.err != nil {
			return p.err
		}
	}
	switch {
	case err != nil && rep.Done > 0:
		err = d.fail(err, o.Entity, right)
		return &exitError{exitPartly, fmt.Errorf("%w (after %d messages; repeat the command)", err, rep.Done), hintOf(err)}
	case err != nil:
		return d.fail(err, o.Entity, right)
	case rep.Stopped:
		return exit(exitPartly, errors.New("interrupted: repeat the command to go on"))
	case !rep.Complete():
		return exit(exitPartly, fmt.Errorf("%d of %d were not %s; the audit lines say why", rep.Selected-rep.Done-rep.Already-rep.Gone, rep.Selected, did))
	case rep.DryRun && rep.Blocked > 0:
		return exit(exitPartly, fmt.Errorf("%d of %d would not be %s; the audit lines say why", rep.Blocked, rep.Selected, did))
	}
	return nil
}
