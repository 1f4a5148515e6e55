package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/inbound"
)

func TestTheLifeOfAWorkerEndsInSteps(t *testing.T) {
	const grace = 20 * time.Second
	type step struct {
		after               time.Duration
		signal              bool
		intake, work, hurry error
	}
	rows := map[string][]step{
		"the grace period ends it": {
			{after: time.Hour},
			{signal: true, intake: errSignal},
			{after: grace - 1, intake: errSignal},
			{after: 1, intake: errSignal, work: inbound.ErrGraceOver},
			{after: time.Hour, intake: errSignal, work: inbound.ErrGraceOver},
		},
		"a second signal ends it": {
			{signal: true, intake: errSignal},
			{after: time.Second, signal: true, intake: errSignal, work: errSecondSignal, hurry: errSecondSignal},
		},
		"a second signal after the grace period, while everything is closed": {
			{signal: true, intake: errSignal},
			{after: grace, intake: errSignal, work: inbound.ErrGraceOver},
			{after: time.Second, signal: true, intake: errSignal, work: inbound.ErrGraceOver, hurry: errSecondSignal},
		},
	}
	for name, steps := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan os.Signal, 2)
				hooked := true
				l, stop := phases(t.Context(), signals, func() { hooked = false }, grace)
				defer stop()
				for i, s := range steps {
					<-time.After(s.after)
					if s.signal {
						signals <- syscall.SIGTERM
					}
					synctest.Wait()
					for what, c := range map[string]struct {
						ctx  context.Context
						want error
					}{"intake": {l.intake, s.intake}, "work": {l.work, s.work}, "hurry": {l.hurry, s.hurry}} {
						if got := context.Cause(c.ctx); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
							t.Errorf("step %d: %s ended with %v, want %v", i, what, got, c.want)
						}
					}
					if hooked != (s.hurry == nil) {
						t.Errorf("step %d: signals are hooked: %v, so a third one would not kill", i, hooked)
					}
				}
			})
		})
	}
}

func TestNoStepOfTheEndOutlastsASecondSignalForLong(t *testing.T) {
	rows := map[string]struct{ second, takes, want time.Duration }{
		"done in time":                {second: time.Hour, takes: 2 * time.Second, want: 2 * time.Second},
		"it takes too long":           {second: time.Hour, takes: time.Minute, want: 5 * time.Second},
		"hurried from the beginning":  {second: 0, takes: time.Minute, want: hurriedStep},
		"hurried on the way":          {second: time.Second, takes: time.Minute, want: time.Second + hurriedStep},
		"hurried, and just so done":   {second: 0, takes: hurriedStep - 1, want: hurriedStep - 1},
		"hurried shortly before done": {second: 4900 * time.Millisecond, takes: time.Minute, want: 5 * time.Second},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hurry, end := context.WithCancelCause(context.Background())
				if r.second == 0 {
					end(errSecondSignal)
				}
				time.AfterFunc(r.second, func() { end(errSecondSignal) })
				began := time.Now()
				err := atMost(hurry, 5*time.Second, func(context.Context) error { // that ignores its context
					<-time.After(r.takes)
					return nil
				})
				if took := time.Since(began); took != r.want {
					t.Errorf("it was waited for %s, want %s", took, r.want)
				}
				if (err == nil) != (r.takes == r.want) {
					t.Errorf("%v", err)
				}
				<-time.After(r.takes) // what was left behind ends with the bubble
			})
		})
	}
}
