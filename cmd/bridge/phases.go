package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fnobridge/internal/inbound"
)

var (
	errSignal       = errors.New("asked to stop")
	errSecondSignal = errors.New("asked to stop at once")
)

// hurriedStep bounds each step of the end after the second signal. The broker notices by itself that a connection is
// gone which was not closed by then.
const hurriedStep = 300 * time.Millisecond

// flushLimit is longer than telemetry takes to end, which has limits of its own; only a second signal cuts it short.
const flushLimit = 10 * time.Second

// A life holds the contexts of a worker, in the order in which they end. There are three because a stop has three
// degrees: finish what is begun, write down what cannot be finished in time, and leave at once.
type life struct {
	intake context.Context // at the first signal: nothing is taken any more
	work   context.Context // when the grace period is over, or at the second signal: what is in hand stops where it is
	hurry  context.Context // at the second signal only: nothing is waited for, not even an orderly close
}

// untilSignalled returns the life of a worker that SIGINT and SIGTERM end. stop must be called.
func untilSignalled(parent context.Context, grace time.Duration) (l life, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	unhook := func() { signal.Stop(signals) }
	l, end := phases(parent, signals, unhook, grace)
	return l, func() {
		end()
		unhook()
	}
}

// phases returns the life of a worker that parent and the signals end. unhook is called at the second signal: from then
// on a signal kills this process, as it does any program that does not handle it. stop ends intake and work and must be
// called.
//
//	taking --signal--> finishing --grace over--> closing
//	                       |                        |
//	                       +--------signal----------+--> hurrying --signal--> killed
func phases(
	parent context.Context, signals <-chan os.Signal, unhook func(), grace time.Duration,
) (l life, stop func()) {
	intake, endIntake := context.WithCancelCause(parent)
	work, endWork := context.WithCancelCause(context.WithoutCancel(parent))
	hurry, endHurry := context.WithCancelCause(context.WithoutCancel(parent))
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		select {
		case <-signals:
			endIntake(errSignal)
		case <-intake.Done():
		case <-stopped:
			return
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		for {
			select {
			case <-signals:
				unhook()
				endHurry(errSecondSignal)
				endWork(errSecondSignal)
				return
			case <-t.C:
				endWork(inbound.ErrGraceOver)
			case <-stopped:
				return
			}
		}
	}()
	return life{intake, work, hurry}, func() {
		close(stopped)
		<-done
		endIntake(errSignal)
		endWork(context.Canceled)
	}
}

// atMost waits for do, for d at most and no longer than hurriedStep after hurry has ended. It does not wait for what
// takes longer, even if that ignores its context: the process ends next.
func atMost(hurry context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hurry), d)
	defer cancel()
	defer context.AfterFunc(hurry, func() {
		select {
		case <-time.After(hurriedStep):
			cancel()
		case <-ctx.Done():
		}
	})()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.Join(context.Cause(hurry), ctx.Err())
	}
}
