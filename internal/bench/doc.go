// Package bench measures the built bridge beside what one would write by hand. It holds tests only.
//
// A stage is an embedded Service Bus and an embedded F&O in the test process. A contender is a process of its own that
// empties the stage's queue:
//
//	bridge  `bridge run`, everything on
//	go      a loop on azservicebus with its defaults: receive, post, ask once, publish one event, complete
//	node    the same loop on @azure/service-bus with its defaults (loop.mjs beside the acceptance checks)
//
// The loops have no ledger, no lease, no gate, no backoff and no telemetry; what they lose and double is part of the
// result. CPU and memory are those of the contender's process alone. All share the machine with both emulators, so only
// figures of one run are to be compared. docs/measured.md has them, with the commands. Nothing here is asserted but that
// the contenders do their work.
//
//	go test -run '^$' -bench . -benchtime 1x -timeout 60m ./internal/bench
//
// The third contender takes part when FNOBRIDGE_NPM names the folder of loop.mjs, with its node_modules.
package bench
