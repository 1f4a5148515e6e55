package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/spf13/cobra"

	"fnobridge/internal/contract"
	"fnobridge/internal/status"
)

// peekEvery is how often --peek looks for new events: peeking has no way to wait.
const peekEvery = time.Second

// batch is how many events are taken or looked at in one call.
const batch = 50

// watchFlags are the flags of `bridge watch`.
type watchFlags struct {
	topic, subscription, queue string
	entity, status             string
	peek                       bool
	count                      int
	out                        format
}

func newWatchCommand(a *app) *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch --subscription S",
		Short: "Show status events as they come",
		Long: `Show the status events of files and environments as they come, until Ctrl-C or until
--count events were shown.

Events are taken from the subscription: what was shown here is gone there. Give watch
a subscription of its own, without sessions, or look without taking with --peek.
--entity and --status choose what is shown; the other events are taken too. Filter
with a rule of the subscription to leave them there (docs: message contract).

-o jsonl prints each event as it was published, a CloudEvents 1.0 object per line;
json means the same here, because the events never end.`,
		Example: `  bridge watch --subscription watch
  bridge watch --subscription watch --entity "Customer groups" --status DeadLettered
  bridge watch --subscription alerts --peek -o jsonl | jq .data.reason`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.watch(ctx, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.topic, "topic", "", "topic of the events; default status.topic of the configuration")
	fl.StringVar(&f.subscription, "subscription", "", "subscription to take the events from")
	fl.StringVar(&f.queue, "queue", "", "queue to take the events from, where status.topic is a queue")
	fl.StringVar(&f.entity, "entity", "", "show events of this data `ENTITY` only")
	fl.StringVar(&f.status, "status", "", "show events with this `STATUS` only, as in Processed or DeadLettered")
	fl.BoolVar(&f.peek, "peek", false, "look at the events without taking them")
	fl.IntVar(&f.count, "count", 0, "end after `N` events were shown; 0 goes on until Ctrl-C")
	outputFlag(cmd, &f.out, formatTable, formatJSONL, formatJSON)
	cmd.MarkFlagsMutuallyExclusive("queue", "topic")
	cmd.MarkFlagsMutuallyExclusive("queue", "subscription")
	return cmd
}

func (a *app) watch(ctx context.Context, f watchFlags) error {
	if f.queue == "" && f.subscription == "" {
		return usagef("--subscription names where to take the events from (or --queue)")
	}
	if f.count < 0 {
		return usagef("--count %d: write 0 or more", f.count)
	}
	client, cfg, server, err := a.serviceBus()
	if err != nil {
		return err
	}
	defer closeQuietly(client)
	if f.queue == "" && f.topic == "" {
		if cfg == nil || cfg.Status.Topic == "" {
			return usagef("--topic is needed without a configuration that names status.topic")
		}
		f.topic = cfg.Status.Topic
	}
	from := cmp.Or(f.queue, f.topic+"/"+f.subscription)
	var receiver *azservicebus.Receiver
	if f.queue != "" {
		receiver, err = client.NewReceiverForQueue(f.queue, nil)
	} else {
		receiver, err = client.NewReceiverForSubscription(f.topic, f.subscription, nil)
	}
	if err != nil {
		return fmt.Errorf("open a receiver for %s: %w", from, err)
	}
	defer closeQuietly(receiver)
	w := &watcher{app: a, flags: f, receiver: receiver}
	if err = w.run(ctx); err == nil || ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	hint := busHint(err, server, from, "listen")
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Condition == amqp.ErrCondNotAllowed {
		hint = "It is session-enabled. Give watch a subscription without sessions."
	}
	return advise(fmt.Errorf("watch %s: %w", from, err), hint)
}

// watcher shows the events of one receiver.
type watcher struct {
	app      *app
	flags    watchFlags
	receiver *azservicebus.Receiver
	shown    int
}

func (w *watcher) run(ctx context.Context) error {
	if w.flags.peek {
		return w.peek(ctx)
	}
	for {
		messages, err := w.receiver.ReceiveMessages(ctx, w.most(), nil)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := w.show(m); err != nil {
				return err
			}
			if err := w.complete(ctx, m); err != nil {
				return err
			}
		}
		if w.done() {
			return nil
		}
	}
}

// complete takes a message off the subscription, also after Ctrl-C: it was shown.
func (w *watcher) complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := w.receiver.CompleteMessage(ctx, m, nil); err != nil {
		return fmt.Errorf("take an event off: %w", err)
	}
	return nil
}

// peek shows events from the oldest on without taking them, and waits for more at the end.
func (w *watcher) peek(ctx context.Context) error {
	var next int64
	tick := time.NewTicker(peekEvery)
	defer tick.Stop()
	for {
		messages, err := w.receiver.PeekMessages(ctx, batch, &azservicebus.PeekMessagesOptions{FromSequenceNumber: &next})
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.SequenceNumber != nil {
				next = *m.SequenceNumber + 1
			}
			if err := w.show(m); err != nil {
				return err
			}
			if w.done() {
				return nil
			}
		}
		if len(messages) > 0 {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// most returns how many events may be taken at once: not more than will be shown if all of them match. One that is
// taken and not shown would be lost.
func (w *watcher) most() int {
	if w.flags.count == 0 {
		return batch
	}
	return min(batch, w.flags.count-w.shown)
}

// done reports whether as many events were shown as --count asked for.
func (w *watcher) done() bool { return w.flags.count > 0 && w.shown >= w.flags.count }

// show prints a message that is a status event and matches; anything else is worth a warning, not an end.
func (w *watcher) show(m *azservicebus.ReceivedMessage) error {
	e, err := status.Decode(m.Body)
	if err != nil {
		w.app.logger().Warn("not a status event", "message", m.MessageID, "error", err)
		return nil
	}
	chosen := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	if !chosen(w.flags.entity, e.Entity) || !chosen(w.flags.status, string(e.Status)) {
		return nil
	}
	w.shown++
	if w.flags.out == formatTable {
		_, err := fmt.Fprintln(w.app.stdout, eventLine(e))
		return written(err)
	}
	// As it was published, fields of a newer bridge included; Decode has seen that it is JSON.
	return writeLine(w.app.stdout, json.RawMessage(m.Body))
}

// eventLine is an event on one line, for people.
func eventLine(e status.Event) string {
	what := contract.Pair{Entity: e.Entity, Company: e.Company}.Session()
	if e.Status.Environmental() {
		what = "environment " + e.Environment
	}
	parts := []string{e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf("%-20s", e.Status), what}
	for _, p := range [][2]string{
		{"file", e.FileName}, {"message", e.MessageID}, {"fno", e.FnoMessageID}, {"reason", string(e.Reason)},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+quoteSpaces(p[1]))
		}
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt=%d", e.Attempt))
	}
	if e.Detail != "" {
		parts = append(parts, "detail="+quoted(shortened(e.Detail, 200)))
	}
	return printable(strings.Join(parts, "  "))
}

func quoteSpaces(s string) string {
	if strings.ContainsAny(s, " \t\"=") {
		return quoted(s)
	}
	return s
}

func shortened(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-3]) + "..."
	}
	return s
}
