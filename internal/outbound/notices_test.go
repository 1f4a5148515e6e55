package outbound

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

// A topic is away until a moment.
type topic struct {
	until time.Time
	tries int
	got   []string
}

func (p *topic) Publish(_ context.Context, events ...status.Event) error {
	p.tries++
	if time.Now().Before(p.until) {
		return errors.New("the broker is away")
	}
	for _, e := range events {
		p.got = append(p.got, string(e.Status)+" "+e.Environment)
	}
	return nil
}

func TestNoticesWaitForTheTopicAndStayInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &topic{until: time.Now().Add(10 * time.Minute)}
		n := NewNotices(p, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx, context.Background()); close(done) }()
		n.Say(status.Event{Status: status.Paused, Environment: "prod"})
		retry.Wait(t.Context(), time.Minute)
		n.Say(status.Event{Status: status.Resumed, Environment: "prod"})
		n.Say(status.Event{Status: status.Paused, Environment: "test"})
		retry.Wait(t.Context(), 10*time.Minute)
		n.Say(status.Event{Status: status.Resumed, Environment: "test"})
		stop()
		<-done
		want := []string{"Paused prod", "Resumed prod", "Paused test", "Resumed test"}
		if d := cmp.Diff(want, p.got); d != "" {
			t.Errorf("published (-want +got):\n%s", d)
		}
	})
}

func TestNoticesAtTheEnd(t *testing.T) {
	for away, want := range map[time.Duration]int{finalLimit - time.Second: 2, time.Hour: 0} {
		synctest.Test(t, func(t *testing.T) {
			p := &topic{until: time.Now().Add(away)}
			n := NewNotices(p, slog.New(slog.DiscardHandler))
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { n.Run(ctx, context.Background()); close(done) }()
			n.Say(status.Event{Status: status.Paused, Environment: "prod"})
			n.Say(status.Event{Status: status.Resumed, Environment: "prod"})
			synctest.Wait()
			stop()
			began := time.Now()
			<-done
			if d := time.Since(began); d > finalLimit {
				t.Errorf("the end took %s", d)
			}
			if len(p.got) != want {
				t.Errorf("away for %s: published %v, want %d", away, p.got, want)
			}
		})
	}
}

// Whoever asks a second time to stop does not wait for what is left to say.
func TestNoticesHaveNoLastWordsInAHurry(t *testing.T) {
	for name, after := range map[string]time.Duration{"from the beginning": 0, "on the way": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &topic{until: time.Now().Add(time.Hour)}
				n := NewNotices(p, slog.New(slog.DiscardHandler))
				ctx, stop := context.WithCancel(t.Context())
				hurry, second := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { n.Run(ctx, hurry); close(done) }()
				n.Say(status.Event{Status: status.Paused, Environment: "prod"})
				n.Say(status.Event{Status: status.Resumed, Environment: "prod"})
				synctest.Wait()
				if after == 0 {
					second()
				}
				time.AfterFunc(after, second)
				began, tries := time.Now(), p.tries
				stop()
				<-done
				if d := time.Since(began); d != after {
					t.Errorf("the end took %s, want %s", d, after)
				}
				if after == 0 && p.tries != tries {
					t.Errorf("%d more tries", p.tries-tries)
				}
			})
		})
	}
}

func TestNoticesNeverWait(t *testing.T) {
	n := NewNotices(&topic{}, slog.New(slog.DiscardHandler))
	for range noticesKept + 1 { // nobody publishes
		n.Say(status.Event{Status: status.Paused, Environment: "prod"})
	}
	if len(n.queue) != noticesKept {
		t.Errorf("%d wait", len(n.queue))
	}
}
