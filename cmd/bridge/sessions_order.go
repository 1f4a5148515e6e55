package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"fnobridge/internal/deadletter"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
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
	}
	if do == ledger.Skip {
		cmd.Use, cmd.Short = "skip SESSION", "Dead-letter the held file of a session, then go on; end draining"
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := a.openDeadLetters()
		if err != nil {
			return err
		}
		defer closeQuietly(d)
		var of []string
		if f.source != "" {
			of = []string{f.source}
		}
		e, err := d.one(of)
		if err != nil {
			return err
		}
		ctx, stop := interruptible(cmd)
		defer stop()
		return a.order(ctx, d, e, args[0], do, f)
	}
	cmd.Flags().StringVar(&f.source, "source", "", "`QUEUE` or topic/subscription of the session; default the only source")
	cmd.Flags().StringVar(&f.worker, "worker", "", "`URL` of a running worker's listen address")
	cmd.Flags().DurationVar(&f.wait, "wait", 2*time.Minute, "how long to wait for the lane of a locked session")
	return cmd
}

// order writes an operator's order where the lane of the session looks for it. An order for a session that is not held
// would wait there for a hold that nobody has seen yet: so it is written only for one that is, or taken back.
func (a *app) order(ctx context.Context, d *deadLetters, e deadletter.Entity, session string, do ledger.Do, f orderFlags) error {
	parked, err := d.parked(ctx, e, session, f.worker)
	if err != nil && !errors.Is(err, deadletter.ErrTaken) {
		return d.fail(err, e, "listen")
	}
	sure := err == nil
	if sure && parked == "" {
		return exit(exitNotFound, fmt.Errorf("session %q of %s is neither held nor draining", session, e))
	}
	o := ledger.Order{Do: do, At: time.Now().UTC()}
	if u, err := user.Current(); err == nil {
		o.By = u.Username
	}
	state, err := o.Encode()
	if err != nil {
		return err
	}
	if _, err := d.control(ctx, e, session, func([]byte) ([]byte, bool) { return state, true }); err != nil {
		return d.fail(err, e, "listen")
	}
	if sure {
		a.note("ordered: the lane of session %q (%s) will find it", session, parked)
		return nil
	}
	a.note("ordered; waiting up to %v for the lane of session %q to take it", f.wait, session)
	return d.awaitTaken(ctx, e, session, f.wait)
}

// parked says whether the session is held or draining, from its ledger or from its worker. ErrTaken when neither can
// be asked.
func (d *deadLetters) parked(ctx context.Context, e deadletter.Entity, session, worker string) (ledger.ParkMode, error) {
	if worker != "" {
		views, err := workerSessions(ctx, worker, e)
		if err != nil {
			return "", err
		}
		if v, ok := views[session]; ok {
			return v.Parked, nil
		}
	}
	s, err := d.Session(ctx, e, session)
	if err != nil {
		return "", fmt.Errorf("look into session %q: %w", session, err)
	}
	defer closeQuietly(s)
	state, err := s.State(ctx)
	if err != nil {
		return "", fmt.Errorf("look into session %q: %w", session, err)
	}
	l, err := ledger.Decode(state)
	switch {
	case errors.Is(err, ledger.ErrCorrupt):
		return ledger.Holding, nil // a lane stands still at it and waits for an order
	case err != nil:
		return "", fmt.Errorf("look into session %q: %w", session, err)
	case l.Park == nil:
		return "", nil
	}
	return l.Park.Mode, nil
}

// control changes the state of the control session and gives what was there. A lane may be reading it just now.
func (d *deadLetters) control(ctx context.Context, e deadletter.Entity, session string, change func([]byte) ([]byte, bool)) ([]byte, error) {
	for begin := time.Now(); ; {
		s, err := d.Session(ctx, e, ledger.ControlSession(session))
		if errors.Is(err, deadletter.ErrTaken) && time.Since(begin) < 10*time.Second && retry.Wait(ctx, 200*time.Millisecond) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("write the order: %w", err)
		}
		defer closeQuietly(s) //nolint:gocritic // the loop ends here
		state, err := s.State(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the order: %w", err)
		}
		next, ok := change(state)
		if !ok {
			return state, nil
		}
		if err := s.SetState(ctx, next); err != nil {
			return nil, fmt.Errorf("write the order: %w", err)
		}
		return state, nil
	}
}

// awaitTaken waits until a lane has taken the order, or takes it back.
func (d *deadLetters) awaitTaken(ctx context.Context, e deadletter.Entity, session string, wait time.Duration) error {
	for begin := time.Now(); time.Since(begin) < wait && retry.Wait(ctx, time.Second); {
		state, err := d.control(ctx, e, session, func([]byte) ([]byte, bool) { return nil, false })
		if err != nil {
			return d.fail(err, e, "listen")
		}
		if len(state) == 0 {
			return nil
		}
	}
	back, err := d.control(context.WithoutCancel(ctx), e, session, func(now []byte) ([]byte, bool) { return nil, len(now) > 0 })
	if err != nil {
		return d.fail(fmt.Errorf("take the order back: %w", err), e, "listen")
	}
	if len(back) == 0 {
		return nil // it was taken in the last moment
	}
	return &exitError{exitUnavailable, fmt.Errorf("no lane took the order for session %q; it was taken back", session),
		"The session is probably not held: bridge sessions --worker URL shows it."}
}
