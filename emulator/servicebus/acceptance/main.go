package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"

	_ "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"       // under test
	_ "github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin" // under test
)

//go:embed skips.txt
var skips string

func main() {
	run := flag.String("run", "", "run only matching tests and show their output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := accept(ctx, *run); err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		os.Exit(1)
	}
}

func accept(ctx context.Context, run string) error {
	dir, err := os.MkdirTemp("", "acceptance")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	server, err := servicebus.Start(servicebus.Options{Namespace: namespace()})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // the process ends
	env, err := environment(dir, server)
	if err != nil {
		return err
	}
	list, err := readSkips(skips)
	if err != nil {
		return err
	}
	begun := time.Now()
	suite := &suite{dir: dir, env: env, list: list, run: run, results: newTally(run != "")}
	if err := suite.test(ctx); err != nil {
		return err
	}
	fmt.Printf("azservicebus v1.11.0, its own live tests, against the embedded Service Bus in %v:\n",
		time.Since(begun).Round(100*time.Millisecond))
	return suite.results.report(list, run != "")
}

// namespace is what the tests expect to exist; they make everything else.
func namespace() entity.Namespace {
	sessions := entity.NewQueue("testQueueWithSessions")
	sessions.RequiresSession, sessions.LockDuration = true, 5*time.Minute
	right := func(name string, r ...entity.Right) entity.AuthorizationRule {
		return entity.AuthorizationRule{Name: name, Key: "key-of-" + name, Rights: r}
	}
	return entity.Namespace{
		Queues: []entity.QueueDescription{entity.NewQueue("testQueue"), sessions},
		AuthorizationRules: []entity.AuthorizationRule{
			right("Root", entity.Manage, entity.Send, entity.Listen),
			right("NoManage", entity.Send, entity.Listen), right("SendOnly", entity.Send), right("ListenOnly", entity.Listen),
		},
	}
}

// environment points the tests at the server, and DefaultAzureCredential at an az command of our own.
func environment(dir string, s *servicebus.Server) ([]string, error) {
	_, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return nil, err
	}
	host := "localhost:" + port
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		return nil, err
	}
	az := "#!/bin/sh\necho '" + `{"accessToken":"x","expiresOn":"2099-01-01 00:00:00.000000","expires_on":4070908800,` +
		`"tokenType":"Bearer","subscription":"x","tenant":"x"}` + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o700); err != nil { //nolint:gosec // it is run
		return nil, err
	}
	key := func(name string) string {
		return fmt.Sprintf("Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=key-of-%s", host, name, name)
	}
	return append(os.Environ(),
		"PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"),
		"SSL_CERT_FILE="+ca,
		"AZURE_RECORD_MODE=live", "AZURE_TOKEN_CREDENTIALS=AzureCLICredential",
		"SERVICEBUS_ENDPOINT="+host, "SERVICEBUS_ENDPOINT_PREMIUM="+host,
		"SERVICEBUS_CONNECTION_STRING="+key("Root"), "SERVICEBUS_CONNECTION_STRING_PREMIUM="+key("Root"),
		"SERVICEBUS_CONNECTION_STRING_NO_MANAGE="+key("NoManage"),
		"SERVICEBUS_CONNECTION_STRING_SEND_ONLY="+key("SendOnly"),
		"SERVICEBUS_CONNECTION_STRING_LISTEN_ONLY="+key("ListenOnly"),
		"HTTPS_PROXY=", "https_proxy=", "HTTP_PROXY=", "http_proxy=",
	), nil
}
