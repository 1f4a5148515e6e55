package inbound

import (
	"fmt"
	"testing"
	"time"

	fno "fnobridge/internal/emulator/dynamics"
	"fnobridge/internal/emulator/servicebus"
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

// The rows of the matrix that concern Service Bus, with the real SDK over TCP.
func TestEveryBrokerFaultKeepsThePromisesOverTCP(t *testing.T) {
	ops := map[servicebus.Op]string{
		servicebus.OpAccept: source, servicebus.OpReceive: source, servicebus.OpGetState: source, servicebus.OpSetState: source,
		servicebus.OpRenew: source, servicebus.OpComplete: source, servicebus.OpDeadLetter: source, servicebus.OpSend: "status",
	}
	for op, address := range ops {
		for name, fault := range brokerFaults {
			for _, skip := range rows(1) {
				if op == servicebus.OpSend && fault.Effect == servicebus.LoseLock {
					continue // sending needs no lock
				}
				t.Run(fmt.Sprintf("%s/%s/number %d", op, name, skip+1), func(t *testing.T) {
					t.Parallel()
					w := newTCPWorld(t, 4*time.Second)
					fault.Op, fault.Entity, fault.Skip = op, address, skip
					if op == servicebus.OpRenew { // imports that take longer than half a lease
						w.route.Poll.Max = 50 * time.Millisecond
						w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Status, Times: 6, Act: fno.Delay, Delay: fno.Duration(700 * time.Millisecond)})
						fault.Skip = 0
					}
					if op == servicebus.OpDeadLetter {
						fault.Skip = 0
						for _, id := range []string{"s0-f1", "s1-f2"} {
							w.fno.Faults().MustAdd(fno.Fault{
								Operation: fno.Enqueue, ExternalID: id, Act: fno.ImportEnds, Outcome: "ProcessedWithErrors",
								Errors: []fno.ExecutionError{{RecordID: "1", Field: "NAME", ErrorMessage: "the value is not valid"}},
							})
						}
					}
					armed := w.sb.Faults().Add(fault)
					w.fill(2, 4)
					w.start()
					w.start()
					w.drained()
					r := w.check()
					if armed.Count() == 0 {
						t.Error("the fault did not come about")
					}
					if r.Unknown > 2 {
						t.Errorf("%d unknown outcomes", r.Unknown)
					}
				})
			}
		}
	}
}

// The rows that concern F&O, over TCP.
func TestEveryFnoFaultKeepsThePromisesOverTCP(t *testing.T) {
	acts := map[fno.Act]int{ // and how many outcomes may be unknown if it strikes a post
		fno.ResetBefore: 0, fno.ResetHalf: 1, fno.ResetAfter: 1, fno.Hang: 1, fno.HangAfter: 1, fno.Truncate: 1, fno.HTML: 1,
		fno.Answer: 0, fno.Delay: 0,
	}
	for _, op := range []fno.Operation{fno.Enqueue, fno.Status, fno.ExecutionID, fno.Errors, fno.SummaryURL, fno.Token} {
		for act, unknown := range acts {
			if op == fno.Token {
				continue // the credential of the emulator makes no call
			}
			for _, resend := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/resend %v", op, act, resend), func(t *testing.T) {
					t.Parallel()
					w := newTCPWorld(t, 10*time.Second)
					w.route.ResendUnknown = resend
					w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, ExternalID: "s0-f2", Times: 1, Act: fno.ImportEnds, Outcome: fno.Deadlock})
					w.fno.Faults().MustAdd(fno.Fault{
						Operation: fno.Enqueue, ExternalID: "s1-f1", Act: fno.ImportEnds, Outcome: "ProcessedWithErrors",
						Errors: []fno.ExecutionError{{RecordID: "1", Field: "NAME", ErrorMessage: "the value is not valid"}},
					})
					skip := 1
					if op != fno.Enqueue && op != fno.Status {
						skip = 0
					}
					armed := w.fno.Faults().MustAdd(fno.Fault{Operation: op, Skip: skip, Times: 1, Act: act, Delay: fno.Duration(100 * time.Millisecond)})
					w.fill(2, 4)
					w.start()
					w.drained()
					r := w.check()
					if armed.Fired() == 0 {
						t.Error("the fault did not come about")
					}
					most := unknown
					if op != fno.Enqueue {
						most = 0
					}
					if r.Unknown > most {
						t.Errorf("%d unknown outcomes, at most %d is right", r.Unknown, most)
					}
					if r.DeadLettered > 1+most { // the file with bad data; the deadlock passes
						t.Errorf("%d dead letters", r.DeadLettered)
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
			w := newTCPWorld(t, 10*time.Second)
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
				for n := 0; n < 12; n++ {
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
