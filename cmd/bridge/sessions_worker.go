package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"fnobridge/internal/contract"
	"fnobridge/internal/inbound"
)

// workerSessions asks a worker what its lanes of one source are doing, by session. Names of sources are compared as the
// configuration writes them.
func workerSessions(ctx context.Context, worker string, e contract.Source) (map[string]inbound.SessionView, error) {
	u, err := url.Parse(worker)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("--worker %q is not a URL as in http://127.0.0.1:8080", worker)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("sessions").String(), nil)
	if err != nil {
		return nil, usagef("--worker: %w", err)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, exit(exitUnavailable, fmt.Errorf("ask the worker: %w", err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, exit(exitUnavailable, fmt.Errorf("ask the worker: %s", res.Status))
	}
	var views []inbound.SessionView
	if err := json.NewDecoder(io.LimitReader(res.Body, 16<<20)).Decode(&views); err != nil {
		return nil, exit(exitUnavailable, fmt.Errorf("ask the worker: its answer is not that of a bridge: %w", err))
	}
	of := map[string]inbound.SessionView{}
	for _, v := range views {
		if e.Is(v.Source) {
			of[v.Session] = v
		}
	}
	return of, nil
}
