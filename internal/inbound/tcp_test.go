package inbound

import (
	"fmt"
	"maps"
	"slices"
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
// under way, which is at every call but the write of an answer and a renewal.
func inDoubt(op servicebus.Op) int {
	switch op {
	case servicebus.OpSetState, servicebus.OpRenew:
		return 1
	}
	return 0
}

// A brokerCall is a call of Service Bus that a fault strikes, with skip of its kind before it.
type brokerCall struct {
	op      servicebus.Op
	address string
	skip    int
}

// brokerCalls are the calls that are struck. A session is taken once, and a lock need not be renewed twice.
func brokerCalls() []brokerCall {
	once := []servicebus.Op{servicebus.OpAccept, servicebus.OpGetState, servicebus.OpRenew, servicebus.OpDeadLetter}
	often := []servicebus.Op{servicebus.OpReceive, servicebus.OpSetState, servicebus.OpComplete}
	setOp := func(c *brokerCall, op servicebus.Op) { c.op = op }
	setSkip := func(c *brokerCall, skip int) { c.skip = skip }
	all := vary([]brokerCall{{address: source}}, once, setOp)
	all = append(all, vary(vary([]brokerCall{{address: source}}, often, setOp), rows(1), setSkip)...)
	return append(all, vary([]brokerCall{{op: servicebus.OpSend, address: "status"}}, rows(1), setSkip)...)
}

// The rows of the matrix that concern Service Bus, with the real SDK over TCP.
func TestEveryBrokerFaultKeepsThePromisesOverTCP(t *testing.T) {
	for _, r := range vary(brokerFaultRows(), brokerCalls(), func(r *tcpRow, c brokerCall) { r.call = c }) {
		fault := brokerFaults[r.fault]
		fault.Op, fault.Entity, fault.Skip = r.call.op, r.call.address, r.call.skip
		if fault.Op == servicebus.OpSend && fault.Effect == servicebus.LoseLock {
			continue // the broker asks for no lock; see TestWhoLostTheSessionDoesNotSpeakOverTCP
		}
		t.Run(fmt.Sprintf("%s/%s/%s/number %d", fault.Op, r.fault, r.policy.name, fault.Skip+1), func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 4*time.Second, r.policy)
			sessions, files, bad := 2, 5, 0
			if alone(fault) { // else it could leave a post of each session in doubt
				sessions, files = 1, 10
			}
			switch fault.Op {
			case servicebus.OpRenew: // what F&O says after that long is published on a proof that is new
				w.fno.Faults().MustAdd(fno.Fault{
					Operation: fno.Status, Times: 2, Act: fno.Delay, Delay: fno.Duration(2 * proofAge),
				})
			case servicebus.OpDeadLetter:
				w.spoil("s0-f1", fmt.Sprintf("s%d-f3", sessions-1))
				bad = 2
			}
			armed := w.sb.Faults().Add(fault)
			w.fill(sessions, files)
			w.start()
			w.start()
			w.drained()
			w.within(w.check(), bad, inDoubt(fault.Op))
			if armed.Count() == 0 {
				t.Error("the fault did not come about")
			}
		})
	}
}

// fnoActs are what F&O can do to a call, and how many outcomes are unknown if it strikes a post.
var fnoActs = map[fno.Act]int{
	fno.ResetBefore: 0, fno.ResetHalf: 1, fno.ResetAfter: 1, fno.Hang: 1, fno.HangAfter: 1, fno.Truncate: 1, fno.HTML: 1,
	fno.Answer: 0, fno.Delay: 0,
}

// The rows that concern F&O, over TCP.
func TestEveryFnoFaultKeepsThePromisesOverTCP(t *testing.T) {
	type row struct {
		fault  fno.Fault
		resend bool
	}
	all := vary([]row{{}}, fnoCalls, func(r *row, op fno.Operation) { r.fault.Operation = op })
	all = vary(all, slices.Sorted(maps.Keys(fnoActs)), func(r *row, act fno.Act) { r.fault.Act = act })
	all = vary(all, []bool{false, true}, func(r *row, resend bool) { r.resend = resend })
	for _, r := range all {
		t.Run(fmt.Sprintf("%s/%s/resend %v", r.fault.Operation, r.fault.Act, r.resend), func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 10*time.Second, tcpPolicies[0])
			w.route.ResendUnknown = r.resend
			w.fno.Faults().MustAdd(fno.Fault{
				Operation: fno.Enqueue, ExternalID: "s0-f2", Times: 1, Act: fno.ImportEnds, Outcome: fno.Deadlock,
			})
			w.spoil("s1-f1")
			fault, doubts := r.fault, 0
			fault.Times, fault.Delay = 1, fno.Duration(100*time.Millisecond)
			switch fault.Operation {
			case fno.Enqueue:
				fault.ExternalID = "s0-f1"
				doubts = fnoActs[fault.Act]
			case fno.Status:
				fault.Skip = 1
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
