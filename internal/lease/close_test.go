package lease

import (
	"context"
	"testing"
	"time"
)

// A deafSession hears nothing from the broker.
type deafSession struct{}

func (deafSession) Close(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestNobodyWaitsLongToCloseASessionWhenWorkHasEnded(t *testing.T) {
	for ends, want := range map[time.Duration]time.Duration{
		0: hurriedClose, time.Second: time.Second + hurriedClose, closeTimeout: closeTimeout, time.Hour: closeTimeout,
	} {
		bubbled(t, func(t *testing.T) {
			work, end := context.WithCancel(context.Background())
			defer end()
			if ends == 0 {
				end()
			}
			time.AfterFunc(ends, end)
			began := time.Now()
			if err := Close(work, deafSession{}); err == nil {
				t.Error("closed")
			}
			if took := time.Since(began); took != want {
				t.Errorf("work ended after %s: %s, want %s", ends, took, want)
			}
		})
	}
}
