package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"
	"fnobridge/internal/config"
	"fnobridge/internal/failure"
	"fnobridge/internal/inbound"
	"fnobridge/internal/telemetry"
)

// The jobs that every F&O of a test world has.
const (
	fileJob    = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	packageJob = "c7f90b12-5d6e-4f83-a1c4-9e2b8d605e15"
)

// A world is a bridge between the emulators, over TCP, as one test wants it.
type world struct {
	t      testing.TB
	cfg    *config.Config
	bus    *servicebustest.Bus
	fno    map[string]*dynamicstest.Environment // by name
	client *azservicebus.Client
	http   *recordingTransport // to F&O and Blob Storage, for tests that look at them; else those of production
	ran    chan struct{}
	left   []inbound.Left
	stop   context.CancelFunc
}

// newWorld starts the emulators: session queues and a topic with a session subscription, and the environments.
func newWorld(t testing.TB, queues []string, environments ...string) *world {
	t.Helper()
	w := &world{t: t, cfg: config.Default(), fno: map[string]*dynamicstest.Environment{}, ran: make(chan struct{})}
	entities := []servicebustest.Option{
		servicebustest.Topic("orders",
			servicebustest.SessionSubscription("fno", func(s *entity.SubscriptionDescription) { s.MaxDeliveryCount = 100 })),
		servicebustest.Topic("fno-status", servicebustest.Subscription("all"),
			func(t *entity.TopicDescription) { t.RequiresDuplicateDetection = true }),
	}
	for _, name := range queues {
		q := servicebustest.SessionQueue(name, func(q *entity.QueueDescription) { q.MaxDeliveryCount = 100 })
		entities = append(entities, q)
		w.cfg.Sources = append(w.cfg.Sources, config.Source{Queue: name})
	}
	w.cfg.Sources = append(w.cfg.Sources, config.Source{Topic: "orders", Subscription: "fno"})
	w.cfg.Status.Topic, w.cfg.Listen, w.cfg.ServiceBus.Lock = "fno-status", "", time.Minute
	w.cfg.Poll = config.Poll{First: 10 * time.Millisecond, Fraction: 0.1, Max: 100 * time.Millisecond}
	w.bus = servicebustest.New(t, entities...)
	for _, name := range environments {
		f := dynamicstest.New(t, func(o *fno.Options) {
			o.ImportTime = 20 * time.Millisecond
			o.Jobs = []fno.Job{{ID: fileJob, CompanyFromMessage: true}, {ID: packageJob, Kind: fno.Package, CompanyFromMessage: true}}
		})
		w.fno[name] = f
		w.cfg.Environments = append(w.cfg.Environments, config.Environment{
			Name: name, URL: f.URL(), Requests: 8, StatusCalls: 1000, Timeout: 10 * time.Second, Identity: config.Identity{ClientID: name},
		})
	}
	w.client = w.bus.Client(&azservicebus.ClientOptions{})
	return w
}

func (w *world) connect(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
	return w.bus.Connect(&azservicebus.ClientOptions{RetryOptions: r})
}

// route adds a route with quick retries; the first that matches wins.
func (w *world) route(name, environment, activity string, match config.Match, change func(*config.Route)) {
	r := config.Route{
		Name: name, Environment: environment, Activity: activity, Match: match, Format: config.FormatFile, Order: config.OrderProcessed,
		Window: 1, UnknownOutcome: config.UnknownDeadLetter, OnFailure: config.FailureSkip, Deadline: time.Minute, MaxSize: config.MB,
		Retry: config.Retry{Attempts: 4, First: 10 * time.Millisecond, Multiplier: 2, Max: time.Second, Total: time.Minute},
	}
	if change != nil {
		change(&r)
	}
	w.cfg.Routes = append(w.cfg.Routes, r)
}

// run starts the bridge; it is stopped, and has stopped, before the emulators are.
func (w *world) run() {
	w.t.Helper()
	w.observed(telemetry.Discard(), func(id config.Identity) (azcore.TokenCredential, error) {
		if f := w.fno[id.ClientID]; f != nil {
			return f.Credential("test"), nil
		}
		return storageCredential{}, nil
	})
}

// observed is run with a telemetry and a way to sign in.
func (w *world) observed(tel *telemetry.Telemetry, sign func(config.Identity) (azcore.TokenCredential, error)) {
	w.t.Helper()
	via := access{connect: w.connect, server: w.bus.Addr(), credential: sign}
	if w.http != nil {
		via.transport = w.http
	}
	b, err := assemble(w.cfg, tel, via)
	if err != nil {
		w.t.Fatal(err)
	}
	intake, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		defer close(w.ran)
		w.left, err = b.run(life{intake, context.Background(), context.Background()})
		if err != nil {
			w.t.Errorf("run: %v", err)
		}
	}()
	w.t.Cleanup(func() { stop(); <-w.ran })
}

// send puts one message on an entity.
func (w *world) send(to string, m *azservicebus.Message) {
	w.t.Helper()
	s, err := w.client.NewSender(to, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	if err := s.SendMessage(w.t.Context(), m, nil); err != nil {
		w.t.Fatal(err)
	}
}

// await waits until check holds, looking whenever something happened in the broker.
func (w *world) await(what string, check func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if err := w.bus.Await(ctx, check); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
}

func message(session, id, body string, props map[string]any) *azservicebus.Message {
	return &azservicebus.Message{SessionID: &session, MessageID: &id, Body: []byte(body), ApplicationProperties: props}
}

func TestBadMessagesGetAReasonAndGoodOddOnesGoThrough(t *testing.T) {
	w := newWorld(t, []string{"in"}, "prod")
	w.route("packages", "prod", packageJob, config.Match{Entity: "Packages"}, func(r *config.Route) { r.Format = config.FormatPackage })
	w.route("small", "prod", fileJob, config.Match{Entity: "Small"}, func(r *config.Route) { r.MaxSize = 10 })
	odd := `A "quoted" & odd + entity, 50% Größe/日本`
	long := strings.Repeat("é", 63) + "ab" // 128 bytes, and odd
	for i, e := range []string{odd, long, "Plain"} {
		w.route(fmt.Sprintf("r%d", i), "prod", fileJob, config.Match{Entity: e}, nil)
	}
	var folder bytes.Buffer
	z := zip.NewWriter(&folder)
	if _, err := z.Create("inside/Manifest.xml"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bad := []struct {
		id     string
		m      *azservicebus.Message
		reason failure.Reason
		say    string
	}{
		{"no-route", message("Nobody", "no-route", "x", nil), failure.NoRoute, "Nobody"},
		{"empty", message("Plain", "empty", "", nil), failure.EmptyBody, "body"},
		{"not-a-zip", message("Packages", "not-a-zip", "this is no zip", nil), failure.PackageInvalid, ""},
		{"folder-in-zip", message("Packages", "folder-in-zip", folder.String(), nil), failure.PackageInvalid, ""},
		{"too-large", message("Small", "too-large", "more than ten bytes", nil), failure.PayloadTooLarge, ""},
		{"wrong-type", message("Plain", "wrong-type", "x", map[string]any{"entity": int64(7)}), failure.BadMessage, "entity"},
		{"company", message("Plain", "company", "x", map[string]any{"company": "toolong"}), failure.BadMessage, "toolong"},
		{"control", message("Plain", "control", "x", map[string]any{"entity": "a\x00b"}), failure.NoRoute, ""},
		{"claim", message("Plain", "claim", "", map[string]any{"dataref": "https://evil.example.com/c/b"}), failure.ClaimCheckRefused, ""},
	}
	for _, b := range bad {
		w.send("in", b.m)
	}
	w.send("in", message(odd, "odd", "A,B\n1,2\n", nil))
	w.send("in", message(long, "long", "A,B\n1,2\n", nil))
	w.send("in", message("Plain", "überlang-"+strings.Repeat("x", 110), "A,B\n1,2\n", map[string]any{"company": "usmf", "other": []byte{1}}))
	w.run()
	w.await("everything ends", func() bool {
		in, _ := w.bus.Counts("in")
		return in.Active == 0 && len(w.bus.Messages("in/$DeadLetterQueue")) == len(bad)
	})
	dead := map[string]servicebus.Message{}
	for _, m := range w.bus.Messages("in/$DeadLetterQueue") {
		dead[m.MessageID] = m
	}
	for _, b := range bad {
		m := dead[b.id]
		if m.DeadLetterReason != string(b.reason) || !strings.Contains(m.DeadLetterDescription, b.say) || !strings.Contains(m.DeadLetterDescription, "What to do") {
			t.Errorf("%s: reason %s, want %s; description %q", b.id, m.DeadLetterReason, b.reason, m.DeadLetterDescription)
		}
	}
	entities := map[string]bool{}
	for _, i := range w.fno["prod"].Imports() {
		entities[i.Entity] = true
		if i.Status != "Processed" {
			t.Errorf("%s ended %s", i.Entity, i.Status)
		}
	}
	if len(entities) != 3 || !entities[odd] || !entities[long] || !entities["Plain"] {
		t.Errorf("F&O saw the entities %v", entities)
	}
}

func TestAnOutageOfOneEnvironmentIsNobodyElses(t *testing.T) {
	w := newWorld(t, []string{"one", "two"}, "prod", "test")
	w.route("to-prod", "prod", fileJob, config.Match{Source: "one"}, nil)
	w.route("to-test", "test", fileJob, config.Match{}, nil)
	w.fno["prod"].Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Refuse, Status: 503})
	w.run()
	w.send("one", message("A", "held", "A\n1\n", nil))
	w.await("the outage is told", func() bool { return len(w.bus.Messages("fno-status/Subscriptions/all")) > 0 })
	w.send("two", message("B", "b", "A\n1\n", nil))
	w.send("orders", message("C", "c", "A\n1\n", nil))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.fno["test"].WaitImports(ctx, 2); err != nil {
		t.Fatalf("the other environment and the other sources stand still: %v", err)
	}
	if n := len(w.fno["prod"].Imports()); n != 0 {
		t.Fatalf("%d imports during the outage", n)
	}
	w.fno["prod"].Faults().Clear()
	if err := w.fno["prod"].WaitImports(ctx, 1); err != nil {
		t.Fatalf("the environment did not resume: %v", err)
	}
	w.await("all is settled", func() bool {
		for _, q := range []string{"one", "two", "orders/Subscriptions/fno"} {
			if c, _ := w.bus.Counts(q); c.Active != 0 {
				return false
			}
		}
		return true
	})
	seen := map[string]int{}
	for _, m := range w.bus.Messages("fno-status/Subscriptions/all") {
		seen[fmt.Sprint(m.Properties["status"])]++
		if m.Properties["environment"] == "test" && m.Properties["status"] == "Paused" {
			t.Error("the healthy environment was paused")
		}
	}
	if seen["Paused"] == 0 || seen["Resumed"] == 0 || seen["Processed"] != 3 || seen["DeadLettered"] != 0 {
		t.Errorf("events %v: want the outage told, three files processed, no attempt burnt", seen)
	}
}

// An environment that goes from "unavailable" to taking files without ever answering would cost one unknown outcome per
// probe of its gate, if the probe were a file.
func TestProbingAnEnvironmentThatHangsCostsNoFile(t *testing.T) {
	w := newWorld(t, []string{"in"}, "prod")
	w.cfg.Environments[0].Timeout = 300 * time.Millisecond
	w.route("all", "prod", fileJob, config.Match{}, nil)
	faults := w.fno["prod"].Faults()
	faults.MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Refuse, Status: 503, Times: 1})
	taken := faults.MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.HangAfter})
	probes := faults.MustAdd(fno.Fault{Operation: fno.Status, Act: fno.Hang, Times: 2})
	w.run()
	w.send("in", message("A", "a", "A\n1\n", nil))
	select {
	case <-probes.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the closed gate was not probed by a question")
	}
	if n := taken.Fired(); n != 0 {
		t.Errorf("%d files were posted into the silence", n)
	}
	faults.Clear()
	w.await("the file is settled", func() bool { c, _ := w.bus.Counts("in"); return c.Active == 0 })
	if n := len(w.bus.Messages("in/$DeadLetterQueue")); n != 0 || len(w.fno["prod"].Imports()) != 1 {
		t.Errorf("%d dead letters, %d imports", n, len(w.fno["prod"].Imports()))
	}
}
