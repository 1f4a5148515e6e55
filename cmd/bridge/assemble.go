package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fnobridge/internal/admission"
	"fnobridge/internal/bus"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/inbound"
	"fnobridge/internal/lease"
	"fnobridge/internal/outbound"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// access is how a bridge reaches everything outside of its process. `bridge run` takes it from the configuration; the
// demo and the tests bring emulators.
type access struct {
	connect    bus.Connect
	server     string // host of the namespace, for spans
	credential func(config.Identity) (azcore.TokenCredential, error)
	transport  http.RoundTripper  // to F&O and to Blob Storage
	at         func(point string) // see inbound.Options.At
}

// A bridge is everything that one configuration describes, wired up. run is its life.
type bridge struct {
	cfg       *config.Config
	tel       *telemetry.Telemetry
	bus       *bus.Bus
	senders   []*bus.Sender
	events    *outbound.Events
	worker    *inbound.Worker // nil without sources
	exports   []*outbound.Export
	endpoints *endpoints
	notices   *outbound.Notices // nil when nothing is published
}

// assemble wires up a bridge. Nothing is dialled yet.
func assemble(cfg *config.Config, tel *telemetry.Telemetry, via access) (*bridge, error) {
	b := &bridge{cfg: cfg, tel: tel, endpoints: &endpoints{gates: map[string]*admission.Gate{}}}
	var err error
	if b.bus, err = bus.Open(bus.Options{Connect: via.connect, Logger: tel.Logger()}); err != nil {
		return nil, err
	}
	environments := map[string]*dynamics.Environment{}
	for _, e := range cfg.Environments {
		if environments[e.Name], err = b.environment(e, via); err != nil {
			return nil, err
		}
	}
	storage, err := via.credential(storageIdentity(cfg))
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if cfg.Status.Topic != "" {
		b.events = outbound.NewEvents(b.sender(cfg.Status.Topic), telemetry.Destination{Name: cfg.Status.Topic, Server: via.server}, tel)
		b.notices = outbound.NewNotices(b.events, tel.Logger())
	}
	if err := b.inbound(environments, storage, via); err != nil {
		return nil, err
	}
	b.outbound(environments, storage, via)
	return b, nil
}

// storageIdentity is who the bridge is to Blob Storage when the configuration does not say.
func storageIdentity(cfg *config.Config) config.Identity {
	switch {
	case cfg.Storage.Identity != nil:
		return *cfg.Storage.Identity
	case cfg.ServiceBus.Identity != nil:
		return *cfg.ServiceBus.Identity
	}
	return config.Identity{Kind: config.IdentityDefault}
}

func (b *bridge) environment(e config.Environment, via access) (*dynamics.Environment, error) {
	cred, err := via.credential(e.Identity)
	if err != nil {
		return nil, fmt.Errorf("environment %q: %w", e.Name, err)
	}
	base := via.transport
	if base == nil {
		t := dynamics.NewTransport()
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, e.Requests) // every slot keeps its connection
		t.MaxIdleConns = t.MaxIdleConnsPerHost
		base = t
	}
	env, err := dynamics.New(dynamics.Options{
		Name: e.Name, URL: e.URL, Credential: cred, Transport: b.tel.HTTPTransport(base, telemetry.Propagate),
		Timeout: e.Timeout, Requests: e.Requests, StatusCalls: e.StatusCalls, Logger: b.tel.Logger(),
	})
	if err != nil {
		return nil, err
	}
	b.endpoints.gates[e.Name] = env.Gate()
	env.Gate().OnChange(b.gateChanged(e.Name))
	return env, nil
}

// gateChanged makes a gate visible: as a log line, a metric, and an event. A probe is neither news nor an event.
func (b *bridge) gateChanged(name string) func(admission.GateState) {
	open := true
	return func(s admission.GateState) {
		if s.Open() == open || s.Phase == admission.GateProbing {
			return
		}
		open = s.Open()
		ctx := context.Background()
		b.tel.GateChanged(ctx, name, !open)
		e := status.Event{Status: status.Resumed, Environment: name, Time: time.Now()}
		if open {
			b.tel.Logger().Info("environment resumed", "environment", name)
		} else {
			b.tel.Logger().Warn("environment paused: nothing is posted, no attempt is counted, it is probed until it answers",
				"environment", name, "reason", s.Reason, "detail", s.Detail, "until", s.Until)
			e.Status, e.Reason, e.Detail = status.Paused, s.Reason, s.Detail
		}
		if b.notices != nil {
			b.notices.Say(e)
		}
	}
}

// sender gives a sender that is closed with the bridge.
func (b *bridge) sender(entity string) *bus.Sender {
	s := b.bus.Sender(entity)
	b.senders = append(b.senders, s)
	return s
}

func (b *bridge) inbound(environments map[string]*dynamics.Environment, storage azcore.TokenCredential, via access) error {
	if len(b.cfg.Sources) == 0 {
		return nil
	}
	o := inbound.Options{
		Payloads: payload.NewOpener(payload.Options{Credential: storage, Transport: b.toStorage(via)}),
		Events:   b.events, Telemetry: b.tel, At: via.at,
		Sessions: b.cfg.Sessions, Accepts: b.cfg.Accepts, Idle: b.cfg.Idle,
	}
	if b.cfg.Storage.Errors != "" {
		var err error
		o.Overflow, err = deadletter.NewBlobOverflow(b.cfg.Storage.Errors, storage, azpolicy.ClientOptions{Transport: &http.Client{Transport: b.toStorage(via)}})
		if err != nil {
			return fmt.Errorf("storage.errors: %w", err)
		}
	}
	for _, s := range b.cfg.Sources {
		src := bus.Source{Queue: s.Queue, Topic: s.Topic, Subscription: s.Subscription}
		o.Sources = append(o.Sources, inbound.Source{
			Name: s.Name(), Acceptor: acceptor{b.bus, src}, Lock: b.cfg.ServiceBus.Lock,
			Destination: telemetry.Destination{Name: s.Queue + s.Topic, Subscription: s.Subscription, Server: via.server},
		})
	}
	names := make([]string, 0, len(b.cfg.Routes))
	for _, r := range b.cfg.Routes {
		env := b.cfg.Environment(r.Environment)
		o.Routes = append(o.Routes, route(r, env, environments[r.Environment], b.cfg.Poll))
		names = append(names, r.Name)
	}
	var err error
	if b.worker, err = inbound.New(o); err != nil {
		return err
	}
	b.endpoints.worker = b.worker
	gates := make([]string, 0, len(environments))
	for name := range environments {
		gates = append(gates, name)
	}
	b.tel.Declare(context.Background(), names, gates)
	return nil
}

// route turns a configured route into the lane's.
func route(r config.Route, e *config.Environment, env *dynamics.Environment, poll config.Poll) *inbound.Route {
	return &inbound.Route{
		Name: r.Name, Source: unstar(r.Match.Source), Match: contract.Pair{Entity: unstar(r.Match.Entity), Company: unstar(r.Match.Company)},
		Fixed:       contract.Pair{Entity: r.Entity, Company: r.Company},
		Environment: env, API: dynamics.Recurring{Environment: env}, Timeout: e.Timeout, Activity: r.Activity,
		Payload: payload.Rule{
			Package: r.Format == config.FormatPackage, Template: r.Template, Containers: r.ClaimCheck, MaxSize: int64(r.MaxSize),
		},
		Window: r.Window, Overlap: r.Order == config.OrderEnqueued, ResendUnknown: r.UnknownOutcome == config.UnknownResend,
		OnFailure: inbound.OnFailure(r.OnFailure), Deadline: r.Deadline,
		Retry: retries(r),
		Poll:  inbound.Poll{First: poll.First, Fraction: poll.Fraction, Max: poll.Max},
	}
}

// retries gives the route's backoff, with that of single reasons.
func retries(r config.Route) retry.Policy {
	backoff := func(r config.Retry) retry.Backoff {
		return retry.Backoff{
			Attempts: r.Attempts, First: r.First, Max: r.Max, Total: r.Total, Multiplier: r.Multiplier, Jitter: r.Jitter,
		}
	}
	p := retry.Policy{Default: backoff(r.Retry), ByReason: map[failure.Reason]retry.Backoff{}}
	for _, x := range r.RetryFor {
		p.ByReason[failure.Reason(x.Reason)] = backoff(x.Retry)
	}
	return p
}

func unstar(s string) string {
	if s == "*" {
		return ""
	}
	return s
}

func (b *bridge) outbound(environments map[string]*dynamics.Environment, storage azcore.TokenCredential, via access) {
	for _, e := range b.cfg.Exports {
		o := outbound.ExportOptions{
			Name: e.Name, Environment: environments[e.Environment], Activity: e.Activity, Entity: e.Entity, Company: e.Company,
			Sender: b.sender(e.Queue), To: telemetry.Destination{Name: e.Queue, Server: via.server},
			MaxInline: int64(e.MaxInline), Poll: e.Poll, Telemetry: b.tel,
		}
		if b.events != nil {
			o.Events = b.events
		}
		if len(b.cfg.Sources) > 0 {
			o.Turn = b.turn(b.cfg.Sources[0], "fnobridge-export-"+e.Name)
		}
		if e.ClaimCheck != "" {
			o.Store = outbound.NewBlobStore(e.ClaimCheck, storage, &http.Client{Transport: b.toStorage(via)})
		}
		b.exports = append(b.exports, outbound.NewExport(o))
	}
}

// turn lets one replica at a time do what a name stands for, by a session of the first source that never has messages.
func (b *bridge) turn(s config.Source, name string) func(context.Context) (context.Context, func(), error) {
	a := acceptor{b.bus, bus.Source{Queue: s.Queue, Topic: s.Topic, Subscription: s.Subscription}}
	return func(ctx context.Context) (context.Context, func(), error) {
		return lease.TakeTurn(ctx, a.AcceptByID, name, b.cfg.ServiceBus.Lock)
	}
}

// toStorage gives the traced transport to Blob Storage, which gets no trace of ours: its logs are somebody else's.
func (b *bridge) toStorage(via access) http.RoundTripper {
	base := via.transport
	if base == nil {
		base = dynamics.NewTransport()
	}
	return b.tel.HTTPTransport(base, telemetry.KeepToOurselves)
}

// run serves until intake ends and everything in hand is finished or written down, or until work ends. It gives what
// was left. Stopping goes in the order of the promises: sessions, then exports, then Service Bus; telemetry is the
// caller's and comes last.
func (b *bridge) run(l life) ([]inbound.Left, error) {
	intake, work := l.intake, l.work
	stopEndpoints, err := b.endpoints.serve(b.cfg.Listen, b.tel.Logger())
	if err != nil {
		return nil, err
	}
	b.endpoints.taking.Store(true)
	defer context.AfterFunc(intake, func() { b.endpoints.taking.Store(false) })()

	notices, endNotices := context.WithCancel(context.WithoutCancel(work))
	defer endNotices()
	var said sync.WaitGroup
	if b.notices != nil {
		said.Go(func() { b.notices.Run(notices, l.hurry) })
	}

	var left []inbound.Left
	var wg sync.WaitGroup
	if b.worker != nil {
		wg.Go(func() { left = b.worker.Run(intake, work) })
	}
	for _, x := range b.exports {
		wg.Go(func() { x.Run(intake, work) })
	}
	wg.Wait()
	<-intake.Done() // with nothing to do there is nothing to stop
	endNotices()
	said.Wait()
	return left, atMost(l.hurry, 5*time.Second, func(ctx context.Context) error {
		errs := []error{}
		for _, s := range b.senders {
			errs = append(errs, s.Close(ctx))
		}
		return errors.Join(append(errs, b.bus.Close(ctx), stopEndpoints(ctx))...)
	})
}

// acceptor gives bus sessions as the lane's.
type acceptor struct {
	bus *bus.Bus
	src bus.Source
}

func (a acceptor) AcceptNext(ctx context.Context, wait time.Duration) (inbound.Session, error) {
	s, err := a.bus.AcceptNext(ctx, a.src, wait)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (a acceptor) AcceptByID(ctx context.Context, id string) (inbound.Session, error) {
	s, err := a.bus.AcceptByID(ctx, a.src, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}
