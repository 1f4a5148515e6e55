package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/rogpeppe/go-internal/testscript"

	"fnobridge/cmd/bridge/embedded"
	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// TestScripts runs the commands as a user does. Each script has a Service Bus and an F&O of its own, of which it knows
// CONNECTION, FNO_URL, FNO_AUTHORITY and ca.pem. The queues are in (sessions, lock 5m), short (sessions, lock 1m), brief (sessions, time to live 1h) and
// plain (no sessions); the topic is events, with the subscription watch.
//
// More commands: exits CODE bridge ARG..., fill SRC DST ($VAR in a file), messages ENTITY, publish STATUS ENTITY ID.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "fill": scriptFill, "messages": scriptMessages, "publish": scriptPublish,
			"deadletter": scriptDeadletter, "park": scriptPark, "lock": scriptLock, "orders": scriptOrders, // deadletter_script_test.go
		},
	})
}

const scriptBus = "service bus"

func setUpScript(env *testscript.Env) error {
	in, short := embedded.SessionQueue("in", 5*time.Minute), embedded.SessionQueue("short", time.Minute)
	brief := embedded.SessionQueue("brief", 5*time.Minute)
	brief.DefaultMessageTimeToLive = time.Hour
	bus, err := servicebus.Start(servicebus.Options{Namespace: entity.Namespace{
		Queues: []entity.QueueDescription{in, short, brief, entity.NewQueue("plain")},
		Topics: []entity.TopicDescription{embedded.Topic("events", "watch")},
		AuthorizationRules: []entity.AuthorizationRule{
			entity.RootRule(),
			{Name: "listen", Key: "LISTEN_KEY", Rights: []entity.Right{entity.Listen}}, {Name: "send", Key: "SEND_KEY", Rights: []entity.Right{entity.Send}},
		},
	}})
	if err != nil {
		return err
	}
	env.Defer(func() { _ = bus.Close() })
	erp, err := fno.Start(fno.Options{
		AnyEntity: true, Jobs: []fno.Job{{ID: emulatedJob}},
		Clients: map[string]string{"00000000-0000-0000-0000-000000000001": "right"},
	})
	if err != nil {
		return err
	}
	env.Defer(func() { _ = erp.Close() })
	env.Values[scriptBus] = bus
	env.Setenv("CONNECTION", bus.ConnectionString())
	env.Setenv("TLS_CONNECTION", bus.TLSConnectionString())
	as := func(name, key string) string {
		return "Endpoint=sb://" + bus.Addr() + ";SharedAccessKeyName=" + name + ";SharedAccessKey=" + key + ";UseDevelopmentEmulator=true"
	}
	env.Setenv("LISTEN_CONNECTION", as("listen", "LISTEN_KEY"))
	env.Setenv("SEND_CONNECTION", as("send", "SEND_KEY"))
	if err := os.WriteFile(filepath.Join(env.WorkDir, "bus-ca.pem"), bus.CAPEM(), 0o600); err != nil {
		return err
	}
	env.Setenv("FNO_URL", erp.URL())
	env.Setenv("FNO_AUTHORITY", erp.AuthorityHost())
	return os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), erp.CertificatePEM(), 0o600)
}

// scriptExits runs a program and wants its exit code; stdout and stderr are matched afterwards.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fill SRC DST")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// scriptMessages prints what lies in an entity, a line each.
func scriptMessages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: messages ENTITY")
	}
	messages := ts.Value(scriptBus).(*servicebus.Server).Messages(args[0])
	if len(messages) == 0 {
		_, err := fmt.Fprintln(ts.Stdout(), "nothing")
		ts.Check(err)
	}
	for _, m := range messages {
		parts := []string{"session=" + m.SessionID, "id=" + m.MessageID, "body=" + string(m.Body)}
		for _, k := range slices.Sorted(maps.Keys(m.Properties)) {
			parts = append(parts, fmt.Sprintf("%s=%v", k, m.Properties[k]))
		}
		_, err := fmt.Fprintln(ts.Stdout(), strings.ReplaceAll(strings.Join(parts, " "), "\n", "|"))
		ts.Check(err)
	}
}

// scriptPublish publishes a status event as the bridge does.
func scriptPublish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: publish STATUS ENTITY MESSAGE-ID")
	}
	e := status.Event{
		Status: status.Status(args[0]), Entity: args[1], Company: "usmf", MessageID: args[2], Environment: "prod",
		FileName: "a b.csv", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Session: "usmf/" + args[1],
	}
	if e.Status == status.DeadLettered {
		e.Reason, e.Detail = failure.ProcessedWithErrors, "line 3: \x1b[31mno such group"
	}
	_, body, err := e.Encode()
	ts.Check(err)
	client, err := azservicebus.NewClientFromConnectionString(ts.Getenv("CONNECTION"), nil)
	ts.Check(err)
	defer closeQuietly(client)
	sender, err := client.NewSender("events", nil)
	ts.Check(err)
	id := e.ID()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the emulator answers at once, or never
	defer cancel()
	ts.Check(sender.SendMessage(ctx, &azservicebus.Message{Body: body, MessageID: &id}, nil))
}
