package servicebus

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// Op is an operation of a client that a fault can strike.
type Op string

// Operations. Renew is of a message or a session lock; Send is a message or a batch on a sending link; settlements are
// by disposition or by request.
const (
	OpAny             Op = ""
	OpAccept          Op = "accept" // of a session
	OpReceive         Op = "receive"
	OpGetState        Op = "get-state"
	OpSetState        Op = "set-state"
	OpRenew           Op = "renew"
	OpSend            Op = "send"
	OpComplete        Op = "complete"
	OpAbandon         Op = "abandon"
	OpRelease         Op = "release"
	OpDefer           Op = "defer"
	OpDeadLetter      Op = "dead-letter"
	OpSchedule        Op = "schedule"
	OpCancel          Op = "cancel"
	OpPeek            Op = "peek"
	OpReceiveDeferred Op = "receive-deferred"
	OpListSessions    Op = "list-sessions"
	OpToken           Op = "put-token"
	OpAddRule         Op = "add-rule"
	OpRemoveRule      Op = "remove-rule"
	OpListRules       Op = "list-rules"
)

// Effect says separately whether the operation happens and what the client hears.
//
//	            applied   answered
//	refuse      no        with Condition
//	lose        no        never
//	lose-reply  yes       never
//	lose-lock   after its lock was taken away, truthfully
//	delay       after Delay, truthfully
//	pass        yes       truthfully; for the sake of Then
type Effect string

// Effects. A lost receive leaves the message where it is; a receive whose reply is lost leaves it locked (or deleted,
// in receive-and-delete).
const (
	Refuse    Effect = "refuse"
	Lose      Effect = "lose"
	LoseReply Effect = "lose-reply"
	LoseLock  Effect = "lose-lock"
	Delay     Effect = "delay"
	Pass      Effect = "pass"
)

// Then is what happens to the client after the effect.
type Then string

// Consequences. Cut closes the TCP connection of the operation without a word once earlier output is written; Detach
// ends the link with amqp:link:detach-forced.
const (
	Nothing Then = ""
	Cut     Then = "cut"
	CutAll  Then = "cut-all"
	Detach  Then = "detach"
	Stall   Then = "stall" // the connection neither reads nor writes until Faults.Unstall
)

// Fault strikes operations that match Op, Entity and Session; empty matches all. For an accept of the next session,
// effects that keep it from happening match on an empty Session only: which one it would be is not known.
type Fault struct {
	Op        Op
	Entity    string // address, such as "q" or "t/Subscriptions/s"
	Session   string
	Skip      int // matching operations to let pass first
	Times     int // operations to strike; 0 means 1, negative all
	Effect    Effect
	Delay     time.Duration // on the emulator's clock
	Condition string        // for Refuse; default com.microsoft:server-busy
	Text      string        // for Refuse: the description
	Then      Then
}

// Armed is a fault that waits to strike.
type Armed struct {
	Fault
	f      *Faults
	left   int // negative: no end
	skip   int
	struck int
	once   sync.Once
	first  chan struct{}
}

// Struck is closed when the fault has struck for the first time: the operation has happened, or will not, or its delay
// has begun.
func (a *Armed) Struck() <-chan struct{} { return a.first }

// Count is how often the fault has struck.
func (a *Armed) Count() int {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	return a.struck
}

// Disarm removes the fault.
func (a *Armed) Disarm() {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	a.f.remove(a)
}

// Faults are a server's faults on demand. All methods may be called at any time.
type Faults struct {
	s     *Server
	armed atomic.Int32 // number of faults, so that none costs nothing

	mu       sync.Mutex
	all      []*Armed
	refusing bool
	until    time.Time // end of refusing; zero: until AcceptConnections
}

// Faults returns the server's faults on demand.
func (s *Server) Faults() *Faults { return &s.faults }

// Add arms a fault. It panics on an unknown effect: only a mistake in a test can cause that.
func (f *Faults) Add(x Fault) *Armed {
	a, err := f.add(x)
	if err != nil {
		panic("servicebus: " + err.Error())
	}
	return a
}

func (f *Faults) add(x Fault) (*Armed, error) {
	switch x.Effect {
	case Refuse, Lose, LoseReply, LoseLock, Delay, Pass:
	default:
		return nil, fmt.Errorf("unknown effect %q", x.Effect)
	}
	switch x.Then {
	case Nothing, Cut, CutAll, Detach, Stall:
	default:
		return nil, fmt.Errorf("unknown consequence %q", x.Then)
	}
	a := &Armed{Fault: x, f: f, left: x.Times, skip: x.Skip, first: make(chan struct{})}
	if x.Times == 0 {
		a.left = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, a)
	f.armed.Add(1)
	return a, nil
}

// Clear disarms all faults and takes connections again.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all, f.refusing = nil, false
	f.armed.Store(0)
}

func (f *Faults) remove(a *Armed) {
	if i := slices.Index(f.all, a); i >= 0 {
		f.all = slices.Delete(f.all, i, i+1)
		f.armed.Add(-1)
	}
}

// strike returns the fault that hits the operation, nil for none. among, when given, limits the effects that can be.
// The caller calls done after the effect.
func (f *Faults) strike(op Op, address, session string, among ...Effect) *Armed {
	if f.armed.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		switch {
		case a.Op != OpAny && a.Op != op,
			a.Entity != "" && !strings.EqualFold(a.Entity, address),
			a.Session != "" && a.Session != session,
			len(among) > 0 && !slices.Contains(among, a.Effect):
			continue
		}
		if a.skip > 0 {
			a.skip--
			continue
		}
		a.struck++
		if a.left > 0 {
			if a.left--; a.left == 0 {
				f.remove(a)
			}
		}
		return a
	}
	return nil
}

// done tells that the effect is there.
func (a *Armed) done() { a.once.Do(func() { close(a.first) }) }

// refusal is the error of a Refuse.
func (a *Armed) refusal() *amqp.Error {
	condition, text := amqp.Symbol(a.Condition), a.Text
	if condition == "" {
		condition = amqp.ServerBusy
	}
	if text == "" {
		text = "The request was terminated on demand."
	}
	return &amqp.Error{Condition: condition, Description: text}
}
