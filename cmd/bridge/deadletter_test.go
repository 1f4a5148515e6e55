package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fnobridge/internal/config"
	"fnobridge/internal/deadletter"
	"fnobridge/internal/inbound"
	"fnobridge/internal/ledger"

	"github.com/google/go-cmp/cmp"
)

// The replay must find in session state what the lane wrote there, and leave what the lane still needs.
func TestMarksReadAndLiftTheLanesLedger(t *testing.T) {
	l := ledger.Ledger{
		Watermark: 6, Park: &ledger.Park{Mode: ledger.Holding, Seq: 7, Reason: "Timeout", Since: time.Now()},
		Files: []*ledger.Entry{
			{Seq: 7, Phase: ledger.Waiting}, {Seq: 8, Phase: ledger.InFno, FnoID: "x"}, {Seq: 9, Phase: ledger.Posting}, {Seq: 10, Phase: ledger.Waiting},
		},
	}
	state, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := marks{}.Mark(state)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&deadletter.Mark{Mode: "hold", Seq: 7, Reason: "Timeout", Busy: []int64{8, 9}}, m); d != "" {
		t.Fatal(d)
	}
	lifted, err := marks{}.Lift(state, []int64{7, 10})
	if err != nil {
		t.Fatal(err)
	}
	after, err := ledger.Decode(lifted)
	if err != nil || after.Park != nil {
		t.Fatalf("%+v %v", after, err)
	}
	if after.Watermark != 6 || len(after.Files) != 2 || after.Files[0].Seq != 8 {
		t.Fatalf("the files of the lifted ledger: %+v", after)
	}
	if m, err := (marks{}).Mark(lifted); m != nil || err != nil {
		t.Fatalf("%+v %v", m, err)
	}
	if m, err := (marks{}).Mark(nil); m != nil || err != nil {
		t.Fatalf("no state: %+v %v", m, err)
	}
	if _, err := (marks{}).Mark([]byte("of another program")); !errors.Is(err, ledger.ErrCorrupt) {
		t.Fatalf("%v", err)
	}
}

func TestWhetherALockedSessionMayBeParked(t *testing.T) {
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/sessions" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		reply(w, []inbound.SessionView{
			{Source: "in", Session: "parked", Parked: ledger.Holding}, {Source: "in", Session: "busy"}, {Source: "other", Session: "elsewhere", Parked: ledger.Holding},
		})
	}))
	defer worker.Close()
	in := deadletter.Entity{Queue: "in"}
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
		source                   deadletter.Entity
		session, entity, company string
		want                     bool
	}{
		{cfg, in, "parked", "Vendors", "", true},     // the worker says so
		{cfg, in, "busy", "Groups", "usmf", false},   // and so
		{cfg, in, "unknown", "groups", "USMF", true}, // its route holds
		{cfg, in, "unknown", "Groups", "dat", false}, // the next route skips
		{cfg, deadletter.Entity{Topic: "t", Subscription: "s"}, "unknown", "Groups", "dat", true},
		{&config.Config{}, in, "unknown", "Groups", "", false}, // no route: dead-lettered, the session goes on
		{nil, in, "unknown", "Groups", "", true},               // nobody knows
	} {
		if got := mayBeParked(c.cfg, c.source, seen)(c.session, c.entity, c.company); got != c.want {
			t.Errorf("%s %s %s: %v", c.session, c.entity, c.company, got)
		}
	}
}

func TestNearestNamesComeFirst(t *testing.T) {
	d := &deadLetters{server: "ns", known: []deadletter.Entity{{Queue: "zzz"}, {Topic: "orders", Subscription: "fno"}, {Queue: "fno-inbound"}, {Queue: "fno-exports"}}}
	if got := d.nearest("fno-inbond"); got != "There is no fno-inbond in ns. The configuration names: fno-inbound, fno-exports, orders/fno." && got != "There is no fno-inbond in ns. The configuration names: fno-inbound, fno-exports, zzz." {
		t.Fatal(got)
	}
}
