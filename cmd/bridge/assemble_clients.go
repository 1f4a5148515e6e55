package main

import (
	"fmt"
	"net/http"

	"fnobridge/internal/config"
	"fnobridge/internal/dynamics"
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
	env.Gate().OnChange(b.watch(guarded{environment: e.Name}))
	return env, nil
}

// toStorage returns the traced transport to Blob Storage, which gets no trace of ours: its logs are somebody else's.
func (b *bridge) toStorage(via access) http.RoundTripper {
	base := via.transport
	if base == nil {
		base = dynamics.NewTransport()
	}
	return b.tel.HTTPTransport(base, telemetry.Withhold)
}
