// Package crash kills the built bridge and looks whether it kept its promises. It holds tests only.
//
// A world is an embedded Service Bus, F&O and Blob Storage in the test process, and a bridge.yaml that points at them.
// A fleet is several `bridge run` processes on it, each started again when it is gone. Processes are killed with
// SIGKILL at seeded random moments, and kill themselves at the points that internal/inbound names (build tag
// crashpoints); at the same time connections are cut, stalled and refused, session locks expire, and F&O throttles,
// fails, resets and hangs. Every other file is a claim check in Blob Storage, which fails at times, and some sessions
// drain (onFailure: drain). When every file has left the queue, internal/history compares what was sent with what F&O
// recorded, what the topic received and what lies in the dead-letter queue.
//
// Promised by a green run: nothing lost, nothing out of order, nothing doubled beyond the reported unknown outcomes,
// no transition missing, and that the faults and the kills really happened. Not promised: that a seed repeats a run
// exactly. It repeats the schedule; what the processes do meanwhile is up to the machine.
//
//	go test ./internal/crash                            a few seconds
//	FNOBRIDGE_CRASH_LONG=1 go test -v -timeout 20m -run Random ./internal/crash
//	FNOBRIDGE_CRASH_RTT=30 go test ./internal/crash     the bridges 30 ms away from Service Bus
//	FNOBRIDGE_CRASH_SEED=n go test ./internal/crash     the schedule of an earlier run
package crash
