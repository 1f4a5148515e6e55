package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"fnobridge/internal/admission"
	"fnobridge/internal/config"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/letter"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// storageIdentity returns who the bridge is to Blob Storage: as configured, else as to Service Bus, else as the machine
// says.
func storageIdentity(cfg *config.Config) config.Identity {
	switch {
	case cfg.Storage.Identity != nil:
		return *cfg.Storage.Identity
	case cfg.ServiceBus.Identity != nil:
		return *cfg.ServiceBus.Identity
	}
	return config.Identity{Kind: config.IdentityDefault}
}

// environment opens the client of one F&O. Its gate is shown by the endpoints and announced when it changes.
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

// gateChanged returns a function that makes a change of a gate visible: as a log line, a metric, and an event. A probe
// changes nothing for anybody outside.
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
				"environment", name, "reason", s.Reason, "detail", s.Detail, "check", letter.Check(s.Reason), "until", s.Until)
			e.Status, e.Reason, e.Detail = status.Paused, s.Reason, letter.Explain(s.Reason, s.Detail)
		}
		if b.notices != nil {
			b.notices.Say(e)
		}
	}
}

// toStorage returns the traced transport to Blob Storage, which gets no trace of ours: its logs are somebody else's.
func (b *bridge) toStorage(via access) http.RoundTripper {
	base := via.transport
	if base == nil {
		base = dynamics.NewTransport()
	}
	return b.tel.HTTPTransport(base, telemetry.Withhold)
}
