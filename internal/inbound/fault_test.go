package inbound

import (
	"fmt"
	"sync"
)

// A faultKind is what goes wrong with one external call.
type faultKind string

const (
	failsBefore faultKind = "fails before" // no effect, an error
	replyLost   faultKind = "reply lost"   // the effect, an error
	hangs       faultKind = "hangs"        // no effect, no answer until the caller gives up
	lockLost    faultKind = "lock lost"    // the session lock is taken away first, then the call goes on
)

var faultKinds = []faultKind{failsBefore, replyLost, hangs, lockLost}

// A faultPlan says which calls go wrong: the nth of an operation, or whatever a function picks.
type faultPlan struct {
	mu    sync.Mutex
	count map[string]int
	armed []*armed
	pick  func(op string, n int) faultKind // may be nil
	log   []string
}

type armed struct {
	op    string
	nth   int
	kind  faultKind
	fired bool
}

func (p *faultPlan) add(op string, nth int, kind faultKind) *armed {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := &armed{op: op, nth: nth, kind: kind}
	p.armed = append(p.armed, a)
	return a
}

// at counts a call and gives its fault, "" for none.
func (p *faultPlan) at(op string) faultKind {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.count[op]++
	n := p.count[op]
	for _, a := range p.armed {
		if a.op == op && a.nth == n {
			a.fired = true
			p.log = append(p.log, fmt.Sprintf("%s #%d %s", op, n, a.kind))
			return a.kind
		}
	}
	if p.pick != nil {
		if k := p.pick(op, n); k != "" {
			p.log = append(p.log, fmt.Sprintf("%s #%d %s", op, n, k))
			return k
		}
	}
	return ""
}

func (p *faultPlan) calls(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[op]
}

// story returns the last faults that came about.
func (p *faultPlan) story() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log[max(0, len(p.log)-30):]
}
