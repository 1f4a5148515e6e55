package main

import (
	"context"
	"errors"
	"os"
	"time"

	"fnobridge/internal/inbound"
)

var (
	errSignal       = errors.New("asked to stop")
	errSecondSignal = errors.New("asked to stop at once")
)

// phases gives the two contexts of a worker. intake ends at the first signal, or with parent; work ends when the grace
// period is over, or at the second signal. stop ends both and must be called.
//
//	taking --signal--> finishing --grace over, or signal--> ended
func phases(parent context.Context, signals <-chan os.Signal, grace time.Duration) (intake, work context.Context, stop func()) {
	intake, endIntake := context.WithCancelCause(parent)
	work, endWork := context.WithCancelCause(context.WithoutCancel(parent))
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		select {
		case <-signals:
			endIntake(errSignal)
		case <-intake.Done():
		case <-work.Done():
			return
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-signals:
			endWork(errSecondSignal)
		case <-t.C:
			endWork(inbound.ErrGraceOver)
		case <-work.Done():
		}
	}()
	return intake, work, func() {
		endIntake(errSignal)
		endWork(context.Canceled)
		<-done
	}
}
