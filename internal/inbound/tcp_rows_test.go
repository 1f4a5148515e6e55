package inbound

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/internal/status"
)

// harms are what takes a session from its owner while the owner is busy elsewhere. They report whether it had one.
var harms = map[string]func(*tcpWorld) bool{
	"lock lost": func(w *tcpWorld) bool { return w.sb.Faults().ExpireSession(source, theSession) },
	"cut":       func(w *tcpWorld) bool { return w.sb.Faults().CutLinks(source, theSession) == 1 },
}

// theSession is the first one that fill sends to.
const theSession = "Entity 0"

// A harm tells how far one is. In between the session may have its old owner or its new one.
type harm struct{ begun, done atomic.Bool }

// harm does it once when comes.
func (w *tcpWorld) harm(when <-chan struct{}, do func(*tcpWorld) bool) *harm {
	h := &harm{}
	go func() { // ends with the test at the latest
		select {
		case <-when:
			h.begun.Store(true)
			h.done.Store(do(w))
		case <-w.t.Context().Done():
		}
	}()
	return h
}

// A tcpRow is one run of a world over TCP. A test uses the fields that it names.
type tcpRow struct {
	policy  tcpPolicy
	harm    string // name of one of harms
	fault   string // name of one of brokerFaults
	call    brokerCall
	op      fno.Operation
	workers int
	link    string
}

// tcpPolicyRows returns a row for every policy.
func tcpPolicyRows() []tcpRow {
	return vary([]tcpRow{{}}, tcpPolicies, func(r *tcpRow, p tcpPolicy) { r.policy = p })
}

func harmRows() []tcpRow {
	return vary(tcpPolicyRows(), slices.Sorted(maps.Keys(harms)), func(r *tcpRow, name string) { r.harm = name })
}

func brokerFaultRows() []tcpRow {
	return vary(tcpPolicyRows(), slices.Sorted(maps.Keys(brokerFaults)), func(r *tcpRow, name string) { r.fault = name })
}

// fnoCalls are the calls of F&O. The credential of the emulator makes none.
var fnoCalls = []fno.Operation{fno.Enqueue, fno.Status, fno.ExecutionID, fno.Errors, fno.SummaryURL}

// A session is lost while F&O takes its time over a call of the owner.
func TestASessionLostDuringACallToFnoOverTCP(t *testing.T) {
	all := vary(harmRows(), fnoCalls, func(r *tcpRow, op fno.Operation) { r.op = op })
	all = vary(all, []int{1, 2}, func(r *tcpRow, n int) { r.workers = n })
	for _, r := range all {
		t.Run(fmt.Sprintf("%s/%s/%s/%d workers", r.op, r.harm, r.policy.name, r.workers), func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 4*time.Second, r.policy)
			slow := fno.Fault{Operation: r.op, ExternalID: "s0-f2", Times: 1, Act: fno.Delay, Delay: fno.Duration(200 * time.Millisecond)}
			bad, doubts := 0, 0
			switch r.op {
			case fno.Enqueue:
				doubts = r.workers - 1 // the process that posted it hears the answer
			case fno.ExecutionID, fno.Errors, fno.SummaryURL:
				w.spoil("s0-f2")
				bad = 1
			}
			harmed := w.harm(w.fno.Faults().MustAdd(slow).Done(), harms[r.harm])
			w.fill(1, 5)
			for range r.workers {
				w.start()
			}
			w.drained()
			w.within(w.check(), bad, doubts)
			if !harmed.done.Load() {
				t.Error("the session was not lost during the call")
			}
		})
	}
}

// A witness looks at who may publish. A publish that began before the session was lost, and whose last question comes
// after that, must hear no.
type witness struct {
	Publisher
	t *testing.T
	*harm
	asked chan struct{}
}

func (p witness) PublishIf(ctx context.Context, may func() error, events ...status.Event) error {
	before := !p.begun.Load()
	return p.Publisher.PublishIf(ctx, func() error {
		late := before && p.done.Load()
		err := may()
		if late {
			if err == nil {
				p.t.Error("who lost the session may still publish")
			}
			close(p.asked)
		}
		return err
	}, events...)
}

// The broker asks for no lock to send, so the owner has to ask itself, once it has a link: getting one takes time. That a
// connection was cut is known before its last proof is old: an accept that waited on it has noticed.
func TestWhoLostTheSessionDoesNotSpeakOverTCP(t *testing.T) {
	const anew = "a link made anew"
	all := vary(harmRows(), []string{"the first link", anew}, func(r *tcpRow, link string) { r.link = link })
	for _, r := range all {
		t.Run(fmt.Sprintf("%s/%s/%s", r.harm, r.link, r.policy.name), func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 4*time.Second, r.policy)
			w.sends = w.lock // the owner gets its link in the first try, however busy this machine is
			slow := servicebus.Fault{
				Op: servicebus.OpToken, Entity: "status", Effect: servicebus.Delay, Delay: proofAge + 50*time.Millisecond,
			}
			if r.harm == "cut" {
				slow.Delay = proofAge - 50*time.Millisecond
			}
			if r.link == anew {
				slow.Skip = 1
				w.sb.Faults().Add(servicebus.Fault{
					Op: servicebus.OpSend, Entity: "status", Skip: 2, Effect: servicebus.LoseReply, Then: servicebus.Cut,
				})
			}
			asked := make(chan struct{})
			harmed := w.harm(w.sb.Faults().Add(slow).Struck(), harms[r.harm])
			w.publisher = func(inner Publisher) Publisher { return witness{inner, t, harmed, asked} }
			w.fill(1, 5)
			w.start()
			w.start()
			w.drained() // by the other worker, perhaps before the first one has its link
			select {
			case <-asked:
			case <-time.After(w.lock):
				t.Errorf("the session was lost: %v, and nobody wanted to publish afterwards", harmed.done.Load())
			}
			w.within(w.check(), 0, 0)
		})
	}
}

// A receiver that is due is closed and its session accepted again by its ID. Whatever goes wrong with that costs time.
func TestEveryFaultOfTakingASessionBackOverTCP(t *testing.T) {
	t.Parallel() // the rows wait for seconds
	for _, r := range brokerFaultRows() {
		t.Run(r.fault+"/"+r.policy.name, func(t *testing.T) {
			t.Parallel()
			w := newTCPWorld(t, 4*time.Second, r.policy)
			w.route.Timeout = 2 * time.Second // nothing is wrong with F&O, however busy this machine is
			w.o.Refresh = 150 * time.Millisecond
			w.o.Sessions = 1 // else another accept of the worker has the session first
			w.fno.Faults().MustAdd(fno.Fault{
				Operation: fno.Status, Times: 5, Act: fno.Delay, Delay: fno.Duration(100 * time.Millisecond),
			})
			fault := brokerFaults[r.fault]
			fault.Op, fault.Entity, fault.Session = servicebus.OpAccept, source, theSession
			var once sync.Once
			var armed *servicebus.Armed
			w.takeBack = func(string) { once.Do(func() { armed = w.sb.Faults().Add(fault) }) }
			w.fill(1, 6)
			w.start()
			w.drained()
			w.within(w.check(), 0, 0)
			if armed == nil || armed.Count() == 0 {
				t.Error("the fault did not come about")
			}
		})
	}
}
