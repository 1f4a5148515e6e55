package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// emulators runs `bridge emulate` in this process until the test ends, and gives what it printed.
func emulators(t *testing.T, args ...string) emulated {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		c := run(ctx, append([]string{"bridge", "emulate", "-o", "json", "--servicebus", "127.0.0.1:0", "--dynamics", "127.0.0.1:0"}, args...),
			nil, nil, w, &stderr)
		_ = w.Close() // an emulate that failed must not leave the reader waiting
		code <- c
	}()
	t.Cleanup(func() {
		stop()
		if c := <-code; c != 0 || stderr.Len() > 0 {
			t.Errorf("exit code %d: %s", c, stderr.String())
		}
	})
	var e emulated
	if err := json.NewDecoder(r).Decode(&e); err != nil {
		t.Fatalf("what it printed: %v", err)
	}
	return e
}

// bridgeRun runs another command in this process.
func bridgeRun(t *testing.T, environ []string, args ...string) (stdout string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"bridge"}, args...), environ, strings.NewReader(""), &out, &errs)
	t.Logf("bridge %s: %d\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	return out.String(), code
}

// What emulate prints is enough for the other commands: a configuration is checked online, tokens over TLS included,
// and a file goes in.
func TestEmulateServesTheOtherCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bridge.yaml")
	text := func(url, authority, ca string) string {
		return strings.NewReplacer("$URL", url, "$AUTHORITY", authority, "$CA", ca).Replace(`
serviceBus: {connectionString: {env: BUS}}
sources: [{queue: lanes}, {topic: orders, subscription: fno}]
status: {topic: news}
environments:
  - name: prod
    url: $URL
    identity: {kind: clientSecret, tenantId: contoso.onmicrosoft.com, clientId: 00000000-0000-0000-0000-000000000001, secret: {env: FNO}, authorityHost: "$AUTHORITY", authorityCA: $CA}
routes:
  - {name: all, environment: prod, activity: 2FD2C2A1-8f6d-4b7e-9a8e-3d3f3f1f7c11}
exports:
  - {name: out, environment: prod, activity: 3fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11, queue: exported}
`)
	}
	ca := filepath.Join(dir, "ca.pem")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(ca, nil, 0o600); err != nil { // it is named before it is written
		t.Fatal(err)
	}
	write(text("http://127.0.0.1:1", "https://127.0.0.1:1", "ca.pem"))
	e := emulators(t, "--config", file, "--ca-out", ca, "--faults")
	if got, want := strings.Join(e.ServiceBus.Entities, " "), "exported lanes news news/Subscriptions/watch orders orders/Subscriptions/fno"; got != want {
		t.Errorf("entities %q, want %q", got, want)
	}
	write(text(e.Dynamics.URL, e.Dynamics.AuthorityHost, "ca.pem"))
	environ := []string{"BUS=" + e.ServiceBus.ConnectionString, "FNO=any"}
	if _, code := bridgeRun(t, environ, "validate", "-c", file, "--online"); code != 0 {
		t.Errorf("validate --online: exit code %d", code)
	}
	data := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(data, []byte("a,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := bridgeRun(t, environ, "send", "-c", file, "--entity", "Customer groups", "-o", "json", data)
	var sentFiles []sent
	if err := json.Unmarshal([]byte(out), &sentFiles); err != nil || code != 0 || len(sentFiles) != 1 || sentFiles[0].To != "lanes" {
		t.Errorf("send: exit code %d, %v: %s", code, err, out)
	}
}

func TestEmulatePlaysTheExampleScenario(t *testing.T) {
	e := emulators(t, "-c", "../../examples/bridge.yaml", "--scenario", "../../examples/scenario.json")
	exports := 0
	for _, j := range e.Dynamics.Jobs {
		if j.Kind == "export" {
			exports++
		}
	}
	if len(e.Dynamics.Jobs) < 8 || exports != 2 {
		t.Errorf("jobs: %+v", e.Dynamics.Jobs)
	}
}

func TestEmulateReadsTheConfigurationOfMicrosoftsEmulator(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	text := `{"UserConfig": {"Namespaces": [{"Name": "sbemulatorns", "Queues": [{"Name": "queue.1"}], "Topics": [{"Name": "topic.1", "Subscriptions": [{"Name": "s"}]}]}]}}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e := emulators(t, "--config", file)
	if got, want := strings.Join(e.ServiceBus.Entities, " "), "queue.1 topic.1 topic.1/Subscriptions/s"; got != want {
		t.Errorf("entities %q, want %q", got, want)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, "Queues", "Quewes", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := bridgeRun(t, nil, "emulate", "-c", file); code != int(exitConfig) {
		t.Errorf("exit code %d for a wrong file", code)
	}
}
