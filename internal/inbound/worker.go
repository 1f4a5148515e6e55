package inbound

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/admission"
	"fnobridge/internal/letter"
	"fnobridge/internal/payload"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// A Session is an accepted Service Bus session, as bus.Session is one. An error that wraps bus.ErrLost means that it
// is not ours any more.
type Session interface {
	ID() string
	Lock() (granted, until time.Time)
	RoundTrip() time.Duration // what a question to the broker and its answer take at present; 0 when that is not known
	LastFailure() time.Time   // when a link or a connection of this process last failed
	Renew(ctx context.Context) error
	Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error) // nil, nil: none came
	State(ctx context.Context) ([]byte, error)
	SetState(ctx context.Context, state []byte) error
	Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error
	DeadLetter(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error
	Close(ctx context.Context) error
}

// An Acceptor takes sessions of one source. Its errors are bus.ErrIdle, bus.ErrTaken, or failures of the moment.
type Acceptor interface {
	AcceptNext(ctx context.Context, wait time.Duration) (Session, error)
	AcceptByID(ctx context.Context, id string) (Session, error)
}

// A Publisher publishes status events, in the order given. It may be called again with the same events. It asks may at
// the last moment before they leave, when it has nothing left to wait for, and publishes nothing when that is an error.
type Publisher interface {
	PublishIf(ctx context.Context, may func() error, events ...status.Event) error
}

// A Payloads opens what messages carry.
type Payloads interface {
	Open(ctx context.Context, s payload.Source, r payload.Rule) (*payload.Payload, error)
}

// A Source is one queue or subscription to take sessions from.
type Source struct {
	Name        string // as configured; routes match on it
	Acceptor    Acceptor
	Lock        time.Duration         // the lock duration the queue is configured with, at most
	Destination telemetry.Destination // for spans and metrics
}

// Options of a Worker. All durations are required unless a default is named.
type Options struct {
	Sources   []Source
	Routes    []*Route // first match wins
	Payloads  Payloads
	Events    Publisher
	Overflow  letter.Overflow // where long execution errors go; may be nil
	Telemetry *telemetry.Telemetry

	Sessions   int           // lanes that begin files at most; the others wait for F&O, for time, for an operator or for their turn
	Locks      int           // sessions owned at most, whatever their lanes do; default 1,000, never fewer than Sessions
	Accepts    int           // accepts that wait in parallel, all sources together
	AcceptWait time.Duration // how long one accept waits; default 30 s
	Idle       time.Duration // an empty session is released after this
	FirstWait  time.Duration // how long the message for which a session was handed out may take to arrive; default 1 min
	Refresh    time.Duration // a receiver older than this is closed and accepted again; default 8 min, under the broker's ten
	ParkCheck  time.Duration // after which a parked session first looks for an operator's order, then ever more slowly; default 5 s

	// At is called with the name of each point at which a crash leaves something different behind. Tests crash there;
	// it is nil in production.
	At func(point string)
}

// A Worker takes sessions and runs a lane for each.
type Worker struct {
	o        Options
	log      *slog.Logger
	instance string // names this process in the intents it writes
	flights  *flights
	slots    *admission.Slots
	setbacks *setbacks
	quiet    *tidier
	barren   *barren

	mu         sync.Mutex
	views      map[*view]struct{}
	unreadable map[flightKey]bool // files of which was said that they stand before an unreadable ledger
	report     []Left
}

// New checks the options and returns a worker; Run starts it.
func New(o Options) (*Worker, error) {
	switch {
	case len(o.Sources) == 0:
		return nil, errors.New("inbound: no source")
	case o.Sessions < len(o.Sources):
		return nil, errors.New("inbound: fewer sessions than sources, so some source would never be served")
	case o.Payloads == nil || o.Events == nil:
		return nil, errors.New("inbound: no payloads or no events")
	}
	for _, r := range o.Routes {
		if r.Environment == nil || r.API == nil || r.Timeout <= 0 {
			return nil, fmt.Errorf("inbound: route %q has no environment, no way into it, or no timeout of its calls", r.Name)
		}
	}
	if o.Telemetry == nil {
		o.Telemetry = telemetry.Discard()
	}
	if o.Locks == 0 {
		o.Locks = 1000
	}
	o.AcceptWait = defaulted(o.AcceptWait, 30*time.Second)
	o.FirstWait = defaulted(o.FirstWait, defaultFirstWait)
	o.Refresh = defaulted(o.Refresh, 8*time.Minute)
	o.ParkCheck = defaulted(o.ParkCheck, 5*time.Second)
	if o.At == nil {
		o.At = func(string) {}
	}
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails, says crypto/rand
	w := &Worker{
		o: o, log: o.Telemetry.Logger(), instance: hex.EncodeToString(id[:]), flights: newFlights(),
		slots: admission.NewSlots(o.Sessions, o.Locks), setbacks: newSetbacks(), quiet: newTidier(),
		barren: &barren{of: map[flightKey]int{}}, views: map[*view]struct{}{},
		unreadable: map[flightKey]bool{},
	}
	return w, nil
}

func defaulted(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// enter and leave keep the list of lanes for Sessions.
func (w *Worker) enter(v *view) {
	w.mu.Lock()
	w.views[v] = struct{}{}
	w.mu.Unlock()
}

func (w *Worker) leave(v *view, left []Left) {
	w.mu.Lock()
	delete(w.views, v)
	w.report = append(w.report, left...)
	w.mu.Unlock()
}

// unreadableSaid and noteUnreadable keep what was said about files that stand before an unreadable ledger: the ledger
// itself cannot remember it.
func (w *Worker) unreadableSaid(k flightKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unreadable[k]
}

func (w *Worker) noteUnreadable(k flightKey, said bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if said {
		w.unreadable[k] = true
	} else {
		delete(w.unreadable, k)
	}
}
