// Package bus is the bridge's one door to Service Bus: session receivers on a client of their own, all other links on
// another.
//
// Why two clients, and why a wrapper at all (azservicebus v1.11.0, read in its source and measured under faults):
//
//   - A session receiver that loses its lock or link re-attaches the same session behind the caller's back and repeats
//     the operation. Here every call on a session receiver is bounded by a few of the round trips that were measured,
//     in the same region below the SDK's first retry delay; no call is retried, and a lock that changed without a
//     renewal of ours is reported as ErrLost. The first failure surfaces; the receiver is never used again.
//   - A receive that ends without a message leaves a credit and a goroutine behind that gives back what then arrives,
//     so that a message which takes longer than the wait never comes. Here the next message is asked for once.
//   - An accept takes twenty round trips, and the SDK lets the accepts of one connection wait for one another. Here
//     they are spread over several.
//   - One failed settle retries on the SDK's own clock (4, 12, 28 s) and may close the healthy connection that all
//     sessions share, again at each retry. Here a client whose connection failed is replaced as a whole, and every call
//     that still waits on the old one returns at once.
//   - A sender or a receiver gets a new link only before the next attempt of the same call, so with the SDK's retries off
//     it never gets one, and with them on it repeats what the caller may have no right to say any more. Here nothing is
//     repeated, and the link is replaced after every failure.
//
// Promised: a nil error means that the broker said so. An ErrLost means that the session is not ours any more and the
// outcome of the call is not known. Not promised: that an ErrLost call took no effect.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
)

// DefaultCallTimeout bounds every call on a session receiver, unless the broker is so far away that its answers need
// more. It must stay under 3 s: the SDK's first retry comes after 4 s less its jitter, and a second attempt may
// re-attach the session silently. From far away that is found out afterwards, by the lock that has changed.
const DefaultCallTimeout = 2 * time.Second

// Connect opens a client with the given retry options; it is called again whenever a client is replaced.
type Connect func(azservicebus.RetryOptions) (*azservicebus.Client, error)

// A Source is a queue, or a subscription of a topic.
type Source = contract.Source

// Options of a Bus.
type Options struct {
	Connect     Connect
	CallTimeout time.Duration // of one call on a session receiver, at least; DefaultCallTimeout when 0
	SendTimeout time.Duration // of one send of little, and a third of getting a link; 5 s when 0
	Connections int           // opened at most so that accepts need not wait for one another; 32 when 0
	Logger      *slog.Logger
}

// A Bus has the two clients. Safe for concurrent use.
type Bus struct {
	sessions    *client // of session receivers
	links       *client // of all other links
	callTimeout time.Duration
	sendTimeout time.Duration
	logger      *slog.Logger
	distance    distance // to the broker

	mu     sync.Mutex
	failed time.Time // the last failure; guarded by mu; only grows
}

// Open prepares a Bus. Nothing is dialled before the first call.
func Open(o Options) (*Bus, error) {
	if o.Connect == nil {
		return nil, errors.New("open service bus: no way to connect was given")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.CallTimeout >= 3*time.Second {
		return nil, fmt.Errorf("open service bus: a call timeout of %s reaches into the SDK's first retry (3 s)", o.CallTimeout)
	}
	if o.SendTimeout == 0 {
		o.SendTimeout = 5 * time.Second
	}
	if o.Connections == 0 {
		o.Connections = acceptConnections
	}
	b := &Bus{callTimeout: o.CallTimeout, sendTimeout: o.SendTimeout, logger: o.Logger}
	b.sessions = newClient("sessions", o.Connect, sessionsPerConnection, silenceStrikes, b.noteFailure, o.Logger)
	b.sessions.spread = o.Connections
	b.links = newClient("links", o.Connect, math.MaxInt, strikesBeforeReplace, b.noteFailure, o.Logger)
	return b, nil
}

// noteFailure notes that a link or a connection failed, or may have. The clients call it with every doubt, before
// anybody can get a new connection: what is asked on that one must count as asked afterwards.
func (b *Bus) noteFailure() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = time.Now()
}

// linkBound returns what getting a link may take: about twenty round trips, as an accept.
func (b *Bus) linkBound() time.Duration {
	return max(3*b.sendTimeout, b.acceptBound())
}

// measure notes what a call that was begun at a time says about the distance. It is for calls that carry little: one
// round trip, and no load.
func (b *Bus) measure(began time.Time, err error) {
	switch {
	case err == nil:
		b.distance.answered(time.Since(began))
	case errors.Is(err, errNoAnswer):
		b.distance.silent()
	}
}

// Close closes both clients, sessions first. Receivers that are still open lose their links; the broker frees their
// sessions at once.
func (b *Bus) Close(ctx context.Context) error {
	return errors.Join(b.sessions.close(ctx), b.links.close(ctx))
}

// lastFailure returns when a link or a connection last failed, or may have; the zero time when none ever did.
func (b *Bus) lastFailure() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}
