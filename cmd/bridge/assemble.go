package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fnobridge/internal/admission"
	"fnobridge/internal/bus"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/inbound"
	"fnobridge/internal/lease"
	"fnobridge/internal/letter"
	"fnobridge/internal/outbound"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
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
		to := telemetry.Destination{Name: cfg.Status.Topic, Server: via.server}
		b.events = outbound.NewEvents(b.sender(cfg.Status.Topic), to, tel)
		b.notices = outbound.NewNotices(b.events, tel.Logger())
	}
	b.watchJobs(environments)
	if err := b.inbound(environments, storage, via); err != nil {
		return nil, err
	}
	b.outbound(environments, storage, via)
	return b, nil
}

// sender returns a sender that is closed with the bridge.
func (b *bridge) sender(entity string) *bus.Sender {
	s := b.bus.Sender(entity)
	b.senders = append(b.senders, s)
	return s
}

func (b *bridge) inbound(envs map[string]*dynamics.Environment, storage azcore.TokenCredential, via access) error {
	if len(b.cfg.Sources) == 0 {
		return nil
	}
	o := inbound.Options{
		Payloads: payload.NewOpener(payload.Options{Credential: storage, Transport: b.toStorage(via)}),
		Events:   b.events, Telemetry: b.tel, At: via.at,
		Sessions: b.cfg.Sessions, Locks: b.cfg.Locks, Accepts: b.cfg.Accepts, Idle: b.cfg.Idle,
	}
	if b.cfg.Storage.Errors != "" {
		var err error
		client := azpolicy.ClientOptions{Transport: &http.Client{Transport: b.toStorage(via)}}
		o.Overflow, err = letter.NewBlobOverflow(b.cfg.Storage.Errors, storage, client)
		if err != nil {
			return fmt.Errorf("storage.errors: %w", err)
		}
	}
	for _, s := range b.cfg.Sources {
		src := bus.Source(s)
		o.Sources = append(o.Sources, inbound.Source{
			Name: s.Name(), Acceptor: acceptor{b.bus, src}, Lock: b.cfg.ServiceBus.Lock,
			Destination: telemetry.Destination{Name: s.Queue + s.Topic, Subscription: s.Subscription, Server: via.server},
		})
	}
	names := make([]string, 0, len(b.cfg.Routes))
	for _, r := range b.cfg.Routes {
		env := b.cfg.Environment(r.Environment)
		o.Routes = append(o.Routes, route(r, env, envs[r.Environment], b.cfg.Poll))
		names = append(names, r.Name)
	}
	var err error
	if b.worker, err = inbound.New(o); err != nil {
		return err
	}
	b.endpoints.worker = b.worker
	b.tel.Declare(context.Background(), names, slices.Collect(maps.Keys(envs)))
	return nil
}

// route turns a configured route into the lane's.
func route(r config.Route, e *config.Environment, env *dynamics.Environment, poll config.Poll) *inbound.Route {
	return &inbound.Route{
		Name: r.Name, Source: unstar(r.Match.Source),
		Match:       contract.Pair{Entity: unstar(r.Match.Entity), Company: unstar(r.Match.Company)},
		Fixed:       contract.Pair{Entity: r.Entity, Company: r.Company},
		Environment: env, API: dynamics.Recurring{Environment: env}, Timeout: e.Timeout, Activity: r.Activity,
		Payload: payload.Rule{
			Package: r.Format == config.FormatPackage, Template: r.Template, Containers: r.ClaimCheck, MaxSize: int64(r.MaxSize),
		},
		Window: r.Window, Overlap: r.Order == config.OrderEnqueued, ResendUnknown: r.UnknownOutcome == config.UnknownResend,
		RepeatPartial: r.PartialImport == config.PartialRepeat, OnFailure: inbound.OnFailure(r.OnFailure), Deadline: r.Deadline,
		Retry: retries(r),
		Poll:  inbound.Poll{First: poll.First, Fraction: poll.Fraction, Max: poll.Max},
	}
}

// retries returns the route's backoff, with that of single reasons.
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

// unstar returns a pattern as the lane wants it: there, empty matches everything.
func unstar(s string) string {
	if s == "*" {
		return ""
	}
	return s
}

func (b *bridge) outbound(envs map[string]*dynamics.Environment, storage azcore.TokenCredential, via access) {
	for _, e := range b.cfg.Exports {
		o := outbound.ExportOptions{
			Name: e.Name, Environment: envs[e.Environment], Activity: e.Activity, Entity: e.Entity, Company: e.Company,
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

// turn returns a function that makes this replica the only one to do what name means. The right to do it is the lock of
// a session of that name in the first source; nobody sends to it.
func (b *bridge) turn(s config.Source, name string) func(context.Context) (context.Context, func(), error) {
	a := acceptor{b.bus, bus.Source(s)}
	return func(ctx context.Context) (context.Context, func(), error) {
		return lease.TakeTurn(ctx, a.AcceptByID, name, b.cfg.ServiceBus.Lock)
	}
}

// run serves until intake ends and everything in hand is finished or written down, or until work ends. It returns what
// was left. It stops what depends on others first: sessions and exports, then the notices that they caused, then the
// senders and Service Bus. Telemetry is the caller's and comes last.
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
	var publishing sync.WaitGroup
	if b.notices != nil {
		publishing.Go(func() { b.notices.Run(notices, l.hurry) })
	}

	var left []inbound.Left
	var working sync.WaitGroup
	if b.worker != nil {
		working.Go(func() { left = b.worker.Run(intake, work) })
	}
	for _, x := range b.exports {
		working.Go(func() { x.Run(intake, work) })
	}
	working.Wait()
	<-intake.Done() // a bridge without sources and exports serves its endpoints until then
	endNotices()
	publishing.Wait()
	return left, atMost(l.hurry, 5*time.Second, func(ctx context.Context) error {
		errs := []error{}
		for _, s := range b.senders {
			errs = append(errs, s.Close(ctx))
		}
		return errors.Join(append(errs, b.bus.Close(ctx), stopEndpoints(ctx))...)
	})
}

// acceptor adapts the sessions of one source to what a lane wants of them.
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
