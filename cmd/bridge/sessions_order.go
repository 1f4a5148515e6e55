package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/bus"
	"fnobridge/internal/ledger"
)

// orderFlags are the flags of `bridge sessions release|skip`.
type orderFlags struct {
	source, worker string
	wait           time.Duration
}

func newSessionsOrderCommand(a *app, do ledger.Do) *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use:   "release SESSION",
		Short: "Try the held file of a session again, then go on; end draining",
		Long: `Let a session go on that is held or drains. The lane that has it, or the next one, finds
the order at its slow cadence: release tries the held file again, skip dead-letters it
(OperatorSkipped) and goes on behind it; both end draining.

Whether a session is held can be seen when it is free, or when its worker is asked
(--worker). For one that is locked by a worker nobody asks, the order is written and
taken back if no lane has picked it up within --wait.`,
		Example: `  bridge sessions release "usmf/Customer groups"
  bridge sessions skip Vendors --source fno-inbound --worker http://127.0.0.1:8080`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var source []string
			if f.source != "" {
				source = []string{f.source}
			}
			return a.onDeadLetters(cmd, nil, (*deadLetters).one, source, func(ctx context.Context, d *deadLetters) error {
				o := ledger.Order{Do: do, At: time.Now().UTC()}
				if u, err := user.Current(); err == nil {
					o.By = u.Username
				}
				return a.order(ctx, d, args[0], o, f)
			})
		},
	}
	if do == ledger.Skip {
		cmd.Use, cmd.Short = "skip SESSION", "Dead-letter the held file of a session, then go on; end draining"
	}
	cmd.Flags().StringVar(&f.source, "source", "", "`QUEUE` or topic/subscription of the session; default the only source")
	cmd.Flags().StringVar(&f.worker, "worker", "", "`URL` of a running worker's listen address")
	cmd.Flags().DurationVar(&f.wait, "wait", 2*time.Minute, "how long to wait for the lane of a locked session")
	return cmd
}

// order writes an operator's order where the lane of the session looks for it. An order for a session that is not held
// would wait there for a hold that nobody has seen yet: so it is written only for one that is, or taken back.
func (a *app) order(ctx context.Context, d *deadLetters, session string, o ledger.Order, f orderFlags) error {
	e := d.entity()
	parked, err := d.parked(ctx, session, f.worker)
	if err != nil && !errors.Is(err, bus.ErrTaken) {
		return d.fail(err, e, "listen")
	}
	known := err == nil
	if known && parked == "" {
		return exit(exitNotFound, fmt.Errorf("session %q of %s is neither held nor draining", session, e))
	}
	c := control{d.Service, e, session}
	if err := c.write(ctx, o); err != nil {
		return d.fail(err, e, "listen")
	}
	if known {
		a.note("ordered: the lane of session %q (%s) will find it", session, parked)
		return nil
	}
	a.note("ordered; waiting up to %v for the lane of session %q to take it", f.wait, session)
	taken, err := c.awaitTaken(ctx, f.wait)
	switch {
	case err != nil:
		return d.fail(err, e, "listen")
	case !taken:
		return &exitError{exitUnavailable, fmt.Errorf("no lane took the order for session %q; it was taken back", session),
			"The session is probably not held: bridge sessions --worker URL shows it."}
	}
	return nil
}

// parked says whether the session is held or draining, from its worker or from its ledger. ErrTaken when neither can
// be asked.
func (d *deadLetters) parked(ctx context.Context, session, worker string) (ledger.ParkMode, error) {
	if worker != "" {
		views, err := workerSessions(ctx, worker, d.entity())
		if err != nil {
			return "", err
		}
		if v, ok := views[session]; ok {
			return v.Parked, nil
		}
	}
	return parkedMode(ctx, d.Service, d.entity(), session)
}
