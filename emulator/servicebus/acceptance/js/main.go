// Command js runs the JavaScript client of Service Bus against the embedded broker, as a second client that shares no
// code with the first:
//
//	go run ./js              # from the folder of this module
//	go run ./js -only topics # one group of checks
//
// It needs node 20 and npm, and installs what package-lock.json names when it is not there. It starts the broker, runs
// run.mjs over plain TCP, TLS and WebSockets, then deadletter.mjs, and fails if a check fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
)

func main() {
	dir := flag.String("dir", "js", "folder of run.mjs")
	only := flag.String("only", "", "run one group of checks, named as in run.mjs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *only); err != nil {
		fmt.Fprintln(os.Stderr, "acceptance/js:", err)
		os.Exit(1)
	}
}

// limit bounds the whole run; it takes about half a minute.
const limit = 10 * time.Minute

func run(ctx context.Context, dir, only string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := install(ctx, dir); err != nil {
		return err
	}
	queue := entity.NewQueue("dead-letters")
	queue.RequiresSession = true
	server, err := servicebus.Start(servicebus.Options{
		Namespace: entity.Namespace{Queues: []entity.QueueDescription{queue}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // the process ends
	temporary, err := os.MkdirTemp("", "acceptance-js")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }() // a temporary folder
	ca := filepath.Join(temporary, "ca.pem")
	if err := os.WriteFile(ca, server.CAPEM(), 0o600); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		return err
	}
	keys := ";SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE"
	secure := "Endpoint=sb://localhost:" + port + "/" + keys
	args := []string{"run.mjs", "--plain", server.ConnectionString(), "--tls", secure}
	if only != "" {
		args = append(args, "--only", only)
	}
	begun := time.Now()
	fmt.Println("@azure/service-bus 7.9.5 against the embedded Service Bus:")
	if err := node(ctx, dir, ca, args...); err != nil {
		return err
	}
	fmt.Printf("in %v\n", time.Since(begun).Round(100*time.Millisecond))
	if only != "" {
		return nil
	}
	return deadLetters(ctx, server, dir, ca)
}

// deadLetters checks the script that others use to get dead letters.
func deadLetters(ctx context.Context, server *servicebus.Server, dir, ca string) error {
	if err := node(ctx, dir, ca, "deadletter.mjs", "--connection", server.ConnectionString(), "--queue", "dead-letters",
		"--messages", "7", "--sessions", "2"); err != nil {
		return err
	}
	counts, _ := server.Counts("dead-letters")
	if n := len(server.Messages("dead-letters/$DeadLetterQueue")); n != 7 || counts.Active != 0 {
		return fmt.Errorf("deadletter.mjs left %d dead letters and %d messages, 7 and 0 wanted", n, counts.Active)
	}
	return nil
}

// install gets the client unless it is there.
func install(ctx context.Context, dir string) error {
	_, err := os.Stat(filepath.Join(dir, "node_modules", "@azure", "service-bus"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci: %w", err)
	}
	return nil
}

func node(ctx context.Context, dir, ca string, args ...string) error {
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca, "HTTPS_PROXY=", "https_proxy=", "HTTP_PROXY=", "http_proxy=")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("node %s: %w", args[0], err)
	}
	return nil
}
