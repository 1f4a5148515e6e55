package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/inbound"
	"fnobridge/internal/ledger"
)

func TestWhetherALockedSessionMayBeParked(t *testing.T) {
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sessions" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		reply(w, []inbound.SessionView{
			{Source: "in", Session: "parked", Parked: ledger.Holding}, {Source: "in", Session: "busy"},
			{Source: "other", Session: "elsewhere", Parked: ledger.Holding},
		})
	}))
	defer worker.Close()
	in := contract.Source{Queue: "in"}
	seen, err := workerSessions(t.Context(), worker.URL, in)
	if err != nil || len(seen) != 2 {
		t.Fatalf("%v %v", seen, err)
	}
	if _, err := workerSessions(t.Context(), worker.URL+"/elsewhere", in); codeOf(err) != exitUnavailable {
		t.Fatalf("%v", err)
	}
	cfg := &config.Config{Routes: []config.Route{
		{Match: config.Match{Entity: "Groups", Company: "usmf"}, OnFailure: config.FailureHold},
		{Match: config.Match{Entity: "*", Source: "in"}, OnFailure: config.FailureSkip},
		{OnFailure: config.FailureDrain},
	}}
	for _, c := range []struct {
		cfg                      *config.Config
		source                   contract.Source
		session, entity, company string
		want                     bool
	}{
		{cfg, in, "parked", "Vendors", "", true},     // the worker says so
		{cfg, in, "busy", "Groups", "usmf", false},   // and so
		{cfg, in, "unknown", "groups", "USMF", true}, // its route holds
		{cfg, in, "unknown", "Groups", "dat", false}, // the next route skips
		{cfg, contract.Source{Topic: "t", Subscription: "s"}, "unknown", "Groups", "dat", true},
		{&config.Config{}, in, "unknown", "Groups", "", false}, // no route: dead-lettered, the session goes on
		{nil, in, "unknown", "Groups", "", true},               // nobody knows
	} {
		if got := mayBeParked(c.cfg, c.source, seen)(c.session, c.entity, c.company); got != c.want {
			t.Errorf("%s %s %s: %v", c.session, c.entity, c.company, got)
		}
	}
}

func TestNearestNamesComeFirst(t *testing.T) {
	d := &deadLetters{server: "ns", known: []contract.Source{
		{Queue: "zzz"}, {Topic: "orders", Subscription: "fno"}, {Queue: "fno-inbound"}, {Queue: "fno-exports"},
	}}
	const best = "There is no fno-inbond in ns. The configuration names: fno-inbound, fno-exports, "
	if got := d.nearest("fno-inbond"); got != best+"orders/fno." && got != best+"zzz." {
		t.Fatal(got)
	}
}
