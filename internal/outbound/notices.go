package outbound

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

const (
	noticesKept = 1000            // events that wait: more come from a gate that flaps while nothing can be published
	finalLimit  = 5 * time.Second // for what still waits at the end
)

// betweenNotices is how long is waited before an event is published again.
var betweenNotices = retry.Doubling{First: 100 * time.Millisecond, Max: time.Second}

// errTooMany says that an event was dropped: too many wait already.
var errTooMany = errors.New("too many events wait to be published")

// Notices publishes events that belong to no file: an environment was closed, or opened again. A gate changes in the
// middle of a lane's call, and no lane may wait for a topic. So the events wait here, and are published in order, as
// soon as the topic takes them.
type Notices struct {
	events Publisher
	log    *slog.Logger
	queue  chan status.Event
}

// NewNotices returns an empty queue of notices; Run publishes them.
func NewNotices(p Publisher, log *slog.Logger) *Notices {
	return &Notices{events: p, log: log, queue: make(chan status.Event, noticesKept)}
}

// Say queues an event. It never waits.
func (n *Notices) Say(e status.Event) {
	select {
	case n.queue <- e:
	default:
		n.lost(e, errTooMany)
	}
}

// Run publishes until ctx ends, then for a few seconds what still waits, unless hurry ends.
func (n *Notices) Run(ctx, hurry context.Context) {
	for {
		var e status.Event
		select {
		case e = <-n.queue:
		case <-ctx.Done():
		}
		if e.Status != "" && n.publish(ctx, e) == nil {
			continue
		}
		if ctx.Err() != nil {
			n.end(hurry, e)
			return
		}
	}
}

// end publishes what was cut short and what still waits, until ctx ends and for finalLimit at most.
func (n *Notices) end(ctx context.Context, e status.Event) {
	ctx, cancel := context.WithTimeout(ctx, finalLimit)
	defer cancel()
	for {
		if e.Status != "" {
			if err := n.publish(ctx, e); err != nil {
				n.lost(e, err)
			}
		}
		select {
		case e = <-n.queue:
		default:
			return
		}
	}
}

// publish goes on until the broker has the event or ctx ends; every try is the same message.
func (n *Notices) publish(ctx context.Context, e status.Event) (err error) {
	for try := 0; ctx.Err() == nil; try++ {
		if err = n.events.Publish(ctx, e); err == nil {
			return nil
		}
		retry.Wait(ctx, betweenNotices.After(try+1))
	}
	return cmp.Or(err, context.Cause(ctx))
}

func (n *Notices) lost(e status.Event, err error) {
	n.log.Warn("environment event not published", "status", e.Status, "environment", e.Environment, "error", err)
}
