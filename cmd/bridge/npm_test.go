package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Dead letters that another client made, without any property of ours, go through the same commands. The variable names
// the folder with deadletter.mjs and its node_modules; .ci/run sets it once the npm client is installed.
func TestDeadLettersOfTheNpmClientGoThroughTheCommands(t *testing.T) {
	dir := os.Getenv("FNOBRIDGE_NPM")
	if dir == "" {
		t.Skip("needs node, and FNOBRIDGE_NPM naming the folder of deadletter.mjs")
	}
	e := emulators(t)
	environ := []string{"SERVICEBUS_CONNECTION_STRING=" + e.ServiceBus.ConnectionString}
	node := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "deadletter.mjs"), "--connection", e.ServiceBus.ConnectionString,
		"--queue", emulatedQueue, "--messages", "6", "--sessions", "2")
	if out, err := node.CombinedOutput(); err != nil {
		t.Fatalf("the npm client: %v\n%s", err, out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"deadletter", "list", emulatedQueue, "--reason", "js-rejected"}, "session-1"},
		{[]string{"deadletter", "list", emulatedQueue, "--group"}, "js-rejected"},
		{[]string{"deadletter", "show", emulatedQueue, "1"}, "dead-lettered by @azure/service-bus"},
		{[]string{"deadletter", "resubmit", emulatedQueue, "--session", "session-1", "--dry-run"}, "3 would be resubmitted"},
		{[]string{"deadletter", "resubmit", emulatedQueue, "--session", "session-1"}, "3 resubmitted"},
		{[]string{"deadletter", "purge", emulatedQueue, "--yes"}, "3 removed"},
	} {
		out, code := bridgeRun(t, environ, c.args...)
		if code != 0 || !strings.Contains(out, c.want) {
			t.Errorf("bridge %s: exit code %d, want %q in\n%s", strings.Join(c.args, " "), code, c.want, out)
		}
	}
	if out, code := bridgeRun(t, environ, "deadletter", "list", emulatedQueue, "-o", "json"); code != 0 || strings.Contains(out, "session-") {
		t.Errorf("exit code %d, and the dead-letter queue is not empty: %s", code, out)
	}
}
