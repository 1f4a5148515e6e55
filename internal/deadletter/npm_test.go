package deadletter

import (
	"flag"
	"fmt"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fnobridge/internal/contract"
)

var npmDir = flag.String("deadletter.npm", "",
	"folder with deadletter.mjs and its node_modules: tests messages that the npm client dead-lettered")

// Messages that another client in another language dead-lettered: no properties of ours, values of its own types.
func TestWhatTheNpmClientDeadLettered(t *testing.T) {
	if *npmDir == "" {
		t.Skip("needs node and -deadletter.npm")
	}
	w := start(t)
	node := exec.CommandContext(t.Context(), "node", "deadletter.mjs", "--connection", w.ConnectionString(),
		"--queue", "q", "--messages", "40", "--sessions", "2")
	node.Dir = *npmDir
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := 0
	for m, err := range WalkFull(t.Context(), w.svc, q, Filter{Reasons: []string{"js-rejected"}}, 100) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; m.Entity != *m.Session || m.Description != "dead-lettered by @azure/service-bus" ||
			m.ContentType != "application/json" || m.WhatToDo == "" {
			t.Fatalf("%+v", m)
		}
	}
	if n != 40 {
		t.Fatalf("%d listed", n)
	}
	rep, err := Resubmit(t.Context(), w.svc, Options{Source: q, Filter: Filter{Session: new("session-1")}})
	if err != nil || rep.Done != 20 {
		t.Fatalf("%+v %v", rep, err)
	}
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i+1))
	}
	if d := cmp.Diff(want, w.waiting("q", "session-1")); d != "" {
		t.Fatal(d)
	}
	m := w.Messages("q")[0]
	if m.MessageID != fmt.Sprintf("session-1-1~r1-%v", m.Properties[PropOriginalSequenceNumber]) ||
		m.Properties["entity"] != "session-1" || m.Properties[contract.PropKey] != "session-1-1" ||
		m.Properties["DeadLetterReason"] != nil {
		t.Fatalf("%s %v", m.MessageID, m.Properties)
	}
	if rep, err := Purge(t.Context(), w.svc, Options{Source: q}); err != nil || rep.Done != 20 {
		t.Fatalf("%+v %v", rep, err)
	}
}
