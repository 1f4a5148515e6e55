package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/failure"
	"fnobridge/internal/inbound"
)

// resubmitFlags are the flags of `bridge deadletter resubmit`.
type resubmitFlags struct {
	replayFlags
	all       bool
	limit     int
	unchecked bool
	to        string
	edits     []string
	parallel  int
	worker    string
}

// longestLock is how long a killed run can keep messages locked.
// Source: Microsoft Learn, message-transfers-locks-settlement.
const longestLock = 5 * time.Minute

func newDeadletterResubmitCommand(a *app) *cobra.Command {
	var f resubmitFlags
	cmd := &cobra.Command{
		Use:   "resubmit [ENTITY]",
		Short: "Send dead letters back, in order",
		Long: `Send the selected dead letters back, those of one session in the order they were first
enqueued in. The copy is sent first, the dead letter is completed when Service Bus has
taken it: Ctrl-C, or the end of the connection, at any point loses nothing. Repeat the
command then: the copies have the same IDs (the original one with ~r1-17, ~r2-17, ...:
which life it begins, and its first sequence number), so a queue with duplicate
detection keeps one of each. A queue without it may get the one message twice whose
copy was on its way; the report counts it as in doubt.

A session that is held or drains is locked, its dead letters go before everything newer
in it, and the hold or drain is lifted when they are all there. While a worker has such
a session it is left alone. Its group goes back as a whole.

Session, properties, correlation, trace and body are kept. Gone are DeadLetter* and the
diagnosis of the bridge; new are fnobridge-resubmits, fnobridge-message-id (the original
ID, which stays the idempotency key), and the original sequence number and time.

Without a filter all dead letters would go: that needs --all, or, on a terminal, an
answer to what is shown first. Those with UnknownOutcome are left out, because F&O may
have their files: look there, then name them by --reason or --message-id.

Dead letters of a subscription go to its topic, and so to all of its subscriptions; that
needs --yes, and rules that would take them. --to QUEUE sends them to one queue.`,
		Example: `  bridge deadletter resubmit --reason Timeout --dry-run
  bridge deadletter resubmit --all --limit 10
  bridge deadletter resubmit fno-inbound --session "usmf/Customer groups" --audit audit.jsonl
  bridge deadletter resubmit fno-inbound --seq 17 --edit groups-corrected.csv
  bridge deadletter resubmit --session Vendors --edit 17=vendors.csv   # 17 and what was drained behind it`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.rate < 0 || f.limit < 0 || f.parallel < 1 || f.parallel > 256 || f.wait < 0 {
				return usagef("--rate, --limit and --wait are 0 or more, --parallel is 1 to 256")
			}
			edit, edits, err := readEdits(f.edits)
			if err != nil {
				return err
			}
			return a.onDeadLetters(cmd, &f.sel, (*deadLetters).one, args, func(ctx context.Context, d *deadLetters) error {
				o := f.options(d)
				o.Edit, o.Edits, o.Parallel, o.To, o.Unchecked = edit, edits, f.parallel, f.to, f.unchecked
				o.LeaveOut, o.Limit = []failure.Reason{failure.UnknownOutcome}, f.limit
				return a.resubmit(ctx, d, o, f)
			})
		},
	}
	f.flags(cmd)
	return cmd
}

// flags adds the flags to a command.
func (f *resubmitFlags) flags(cmd *cobra.Command) {
	f.replayFlags.flags(cmd)
	fl := cmd.Flags()
	fl.BoolVar(&f.dry, "dry-run", false, "say what would be done, and change nothing")
	fl.BoolVar(&f.all, "all", false, "all dead letters, when there is no filter")
	fl.BoolVar(&f.yes, "yes", false, "do not ask; send to a topic, and so to all of its subscriptions")
	fl.IntVar(&f.limit, "limit", 0, "at most `N` dead letters, the first ones; 0 is no limit")
	fl.BoolVar(&f.unchecked, "unchecked", false, "send to a topic although it cannot be told that a subscription takes it")
	fl.StringVar(&f.to, "to", "", "send the copies to this `QUEUE` instead")
	fl.StringArrayVar(&f.edits, "edit", nil,
		"`FILE` that replaces the body of the one selected message, or SEQ=FILE for one of several")
	fl.IntVar(&f.parallel, "parallel", 8, "`N` sessions at the same time")
	fl.DurationVar(&f.wait, "wait", longestLock+30*time.Second,
		"how long to wait for messages and sessions that somebody else has locked")
	fl.StringVar(&f.worker, "worker", "", "`URL` of a running worker's listen address, to know what locked sessions do")
}

func (a *app) resubmit(ctx context.Context, d *deadLetters, o deadletter.Options, f resubmitFlags) (err error) {
	if topic := o.Source.Topic; topic != "" && o.To == "" {
		if !f.yes && !f.dry {
			return usagef("%s is a subscription: its dead letters go to topic %s and reach all of its subscriptions; "+
				"say --yes to that, or --to QUEUE", o.Source, topic)
		}
		if o.Takes, err = d.takes(ctx, topic); err != nil && !f.unchecked {
			return d.fail(fmt.Errorf("%w: %w", deadletter.ErrUsage, err), o.Source, "listen")
		}
	}
	if o.Filter.Everything() && !f.dry {
		if err := a.confirmAll(ctx, d, o, f); err != nil {
			return err
		}
	}
	seen := map[string]inbound.SessionView{}
	if f.worker != "" {
		if seen, err = workerSessions(ctx, f.worker, o.Source); err != nil {
			return err
		}
	}
	o.MayBeParked = mayBeParked(d.cfg, o.Source, seen)
	if slices.Contains(d.sources, o.Source) {
		o.Lock = d.cfg.ServiceBus.Lock // of any other entity nobody told us how long it is
	}
	return a.replay(ctx, d, o, f.replayFlags, replayAction{deadletter.Resubmit, "resubmitted", "send"})
}

// confirmAll has the operator agree to a resubmit without a filter: by --all, or on a terminal by an answer to what is
// shown.
func (a *app) confirmAll(ctx context.Context, d *deadLetters, o deadletter.Options, f resubmitFlags) error {
	in, terminal := a.terminal()
	switch {
	case f.all && (f.yes || !terminal):
		return nil
	case !terminal || f.yes:
		return usagef("without a filter all dead letters of %s would go back: say --all, or which ones (--reason, "+
			"--session, --seq, ...); --dry-run shows what would be done", o.Source)
	}
	groups, n, out := deadletter.Groups{}, 0, 0
	err := d.walk(ctx, func(m deadletter.Message) error {
		switch {
		case o.LeavesOut(m):
			out++
		case o.Limit == 0 || n < o.Limit:
			n++
			groups.Add(m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return nil // there is nothing to agree to
	}
	if err := printGroupTable(a.stderr, groups.Sorted()); err != nil {
		return err
	}
	if out > 0 {
		a.note("%s", leftOut(out))
	}
	answer, err := a.ask(in, fmt.Sprintf("Send %s of %s back? [y/N] ", counted(n, "dead letter"), o.Source))
	if err != nil || !slices.Contains([]string{"y", "yes"}, strings.ToLower(answer)) {
		return usagef("nothing was sent")
	}
	return nil
}

// leftOut says of how many dead letters somebody has to look first.
func leftOut(n int) string {
	return fmt.Sprintf("%d left out: F&O may have their files (%s). Look there, then name them by --reason or "+
		"--message-id", n, failure.UnknownOutcome)
}

// mayBeParked returns what the replay asks about a session that a worker owns: whether it may be held or draining. The
// worker knows, if it can be asked; else the route's policy says whether it can be at all.
func mayBeParked(
	cfg *config.Config, e contract.Source, seen map[string]inbound.SessionView,
) func(session, entity, company string) bool {
	source := e.String()
	return func(session, entity, company string) bool {
		if v, ok := seen[session]; ok {
			return v.Parked != ""
		}
		if cfg == nil {
			return true
		}
		r := cfg.Route(source, entity, company)
		return r != nil && r.OnFailure != config.FailureSkip // without a route it is dead-lettered, and the session goes on
	}
}

// readEdits reads FILE and SEQ=FILE: the body of the one selected message, or the bodies of several by sequence number.
func readEdits(edits []string) (one []byte, several map[int64][]byte, err error) {
	for _, e := range edits {
		file, at := e, int64(0)
		if n, f, ok := strings.Cut(e, "="); ok {
			if seq, err := strconv.ParseInt(n, 10, 64); err == nil {
				file, at = f, seq
			}
		}
		body, err := os.ReadFile(file) //nolint:gosec // the operator names it
		if err != nil {
			return nil, nil, fmt.Errorf("--edit: %w", err)
		}
		if len(body) == 0 {
			return nil, nil, usagef("--edit %s: the file is empty", file)
		}
		switch {
		case at > 0:
			if several == nil {
				several = map[int64][]byte{}
			}
			several[at] = body
		case one != nil:
			return nil, nil, usagef("--edit without a sequence number can be given once")
		default:
			one = body
		}
	}
	if one != nil && several != nil {
		return nil, nil, usagef("--edit FILE and --edit SEQ=FILE do not go together")
	}
	return one, several, nil
}

// takes reads the rules of a topic over the management API, which needs HTTPS and the right to manage.
func (d *deadLetters) takes(ctx context.Context, topic string) (deadletter.Takes, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	c, err := manager(d.settings, 1)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", deadletter.ErrCannotTell, err)
	}
	return deadletter.TopicRules(ctx, c, topic)
}

// manager returns a client of the management API that repeats a call so often.
func manager(sb config.ServiceBus, retries int32) (*admin.Client, error) {
	o := &admin.ClientOptions{}
	o.Retry.MaxRetries = retries
	if s := sb.ConnectionString; s != nil {
		return admin.NewClientFromConnectionString(s.Value(), o)
	}
	id := config.Identity{Kind: config.IdentityDefault}
	if sb.Identity != nil {
		id = *sb.Identity
	}
	cred, err := newCredential(id)
	if err != nil {
		return nil, err
	}
	return admin.NewClient(sb.Namespace, cred, o)
}
