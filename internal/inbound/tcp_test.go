package inbound

import (
	"fmt"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
)

// brokerFaults are what a broker does to a call, over a real connection.
var brokerFaults = map[string]servicebus.Fault{
	"refused":          {Effect: servicebus.Refuse},
	"lost":             {Effect: servicebus.Lose},
	"reply lost":       {Effect: servicebus.LoseReply},
	"lock lost":        {Effect: servicebus.LoseLock},
	"cut before":       {Effect: servicebus.Lose, Then: servicebus.Cut},
	"cut after":        {Effect: servicebus.LoseReply, Then: servicebus.Cut},
	"detached":         {Effect: servicebus.LoseReply, Then: servicebus.Detach},
	"everybody is cut": {Effect: servicebus.LoseReply, Then: servicebus.CutAll},
}

// alone reports whether a fault may strike every session of its connection, and not just the one it was meant for.
func alone(f servicebus.Fault) bool { return f.Then != servicebus.Nothing }

// inDoubt returns how many posts can be left in doubt by a fault of a call that strikes one session: none where no post is
// under way, or where the message before the intended one is still in the queue.
func inDoubt(op servicebus.Op, f servicebus.Fault, p tcpPolicy) int {
	switch op {
	case servicebus.OpReceive, servicebus.OpSetState, servicebus.OpRenew: // while a post is on its way, or just answered
		return 1
	case servicebus.OpComplete, servicebus.OpDeadLetter: // the intent for the next file was written ahead
		if f.Effect == servicebus.LoseReply && !p.overlap {
			return 1
		}
	}
	return 0
}

// The rows of the matrix that concern Service Bus, with the real SDK over TCP.
func TestEveryBrokerFaultKeepsThePromisesOverTCP(t *testing.T) {
	ops := map[servicebus.Op]struct {
		address string
		nth     []int // with how many before it; a session is taken once, and a lock need not be renewed twice
	}{
		servicebus.OpAccept: {source, []int{0}}, servicebus.OpGetState: {source, []int{0}}, servicebus.OpRenew: {source, []int{0}},
		servicebus.OpDeadLetter: {source, []int{0}}, servicebus.OpReceive: {source, rows(1)}, servicebus.OpSetState: {source, rows(1)},
		servicebus.OpComplete: {source, rows(1)}, servicebus.OpSend: {"status", rows(1)},
	}
	for op, at := range ops {
		for name, fault := range brokerFaults {
			if op == servicebus.OpSend && fault.Effect == servicebus.LoseLock {
				continue // the broker asks for no lock; see TestWhoLostTheSessionDoesNotSpeakOverTCP
			}
			for _, p := range tcpPolicies {
				for _, skip := range at.nth {
					t.Run(fmt.Sprintf("%s/%s/%s/number %d", op, name, p.name, skip+1), func(t *testing.T) {
						t.Parallel()
						w := newTCPWorld(t, 4*time.Second, p)
						fault := fault
						fault.Op, fault.Entity, fault.Skip = op, at.address, skip
						sessions, files, bad := 2, 5, 0
						if alone(fault) { // else it could leave a post of each session in doubt
							sessions, files = 1, 10
						}
						switch op {
						case servicebus.OpRenew: // what F&O says after that long is published on a proof that is new
							w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Status, Times: 2, Act: fno.Delay, Delay: fno.Duration(2 * proofAge)})
						case servicebus.OpDeadLetter:
							w.spoil("s0-f1", fmt.Sprintf("s%d-f3", sessions-1))
							bad = 2
						}
						armed := w.sb.Faults().Add(fault)
						w.fill(sessions, files)
						w.start()
						w.start()
						w.drained()
						w.within(w.check(), bad, inDoubt(op, fault, p))
						if armed.Count() == 0 {
							t.Error("the fault did not come about")
						}
					})
				}
			}
		}
	}
}

// The rows that concern F&O, over TCP.
func TestEveryFnoFaultKeepsThePromisesOverTCP(t *testing.T) {
	acts := map[fno.Act]int{ // and how many outcomes are unknown if it strikes a post
		fno.ResetBefore: 0, fno.ResetHalf: 1, fno.ResetAfter: 1, fno.Hang: 1, fno.HangAfter: 1, fno.Truncate: 1, fno.HTML: 1,
		fno.Answer: 0, fno.Delay: 0,
	}
	for _, op := range []fno.Operation{fno.Enqueue, fno.Status, fno.ExecutionID, fno.Errors, fno.SummaryURL} { // the credential of the emulator makes no call
		for act, doubts := range acts {
			for _, resend := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/resend %v", op, act, resend), func(t *testing.T) {
					t.Parallel()
					w := newTCPWorld(t, 10*time.Second, tcpPolicies[0])
					w.route.ResendUnknown = resend
					w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, ExternalID: "s0-f2", Times: 1, Act: fno.ImportEnds, Outcome: fno.Deadlock})
					w.spoil("s1-f1")
					fault := fno.Fault{Operation: op, Times: 1, Act: act, Delay: fno.Duration(100 * time.Millisecond)}
					doubts := doubts
					switch op {
					case fno.Enqueue:
						fault.ExternalID = "s0-f1"
					case fno.Status:
						fault.Skip = 1
						doubts = 0
					default:
						doubts = 0
					}
					armed := w.fno.Faults().MustAdd(fault)
					w.fill(2, 4)
					w.start()
					w.drained()
					w.within(w.check(), 1, doubts) // the file with bad data; the deadlock passes
					if armed.Fired() == 0 {
						t.Error("the fault did not come about")
					}
				})
			}
		}
	}
}

// Connections that break under load again and again cost time, and nothing else, whichever of them break: a session goes
// to another worker at once when its link is gone, and whoever had it must not say another word.
func TestConnectionsThatBreakAgainAndAgainLoseNothing(t *testing.T) {
	for name, cut := range map[string]func(*servicebus.Faults) int{
		"all":             func(f *servicebus.Faults) int { return f.CutAll() },
		"of the sessions": func(f *servicebus.Faults) int { return f.CutLinks(source, "") },
		"of the senders":  func(f *servicebus.Faults) int { return f.CutLinks("status", "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 10*time.Second, tcpPolicies[0])
			w.route.ResendUnknown = true
			w.fill(20, 20)
			w.start()
			w.start()
			stop := make(chan struct{})
			done := make(chan struct{})
			cuts := 0
			go func() {
				defer close(done)
				tick := time.NewTicker(150 * time.Millisecond)
				defer tick.Stop()
				for range 12 {
					select {
					case <-tick.C:
						cuts += cut(w.sb.Faults())
					case <-stop:
						return
					}
				}
			}()
			w.drained()
			close(stop)
			<-done
			if r := w.check(); r.Processed != 400 {
				t.Errorf("%+v", r)
			}
			if cuts == 0 {
				t.Error("no connection was cut")
			}
		})
	}
}
