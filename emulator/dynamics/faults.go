package dynamics

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An Operation is a kind of call that a fault can hit.
type Operation string

// The operations.
const (
	// Connect is a new connection, before its first byte, or the next call on an open one. Its only act is ResetBefore.
	Connect       Operation = "connect"
	Any           Operation = "*" // every HTTP call, tokens included
	Token         Operation = "token"
	Enqueue       Operation = "enqueue"
	Status        Operation = "status"      // GetMessageStatus
	ExecutionID   Operation = "executionId" // GetExecutionIdByMessageId
	Errors        Operation = "errors"      // GetExecutionErrors
	SummaryURL    Operation = "summaryUrl"
	SummaryStatus Operation = "summaryStatus"
	JobStatus     Operation = "jobstatus"
	Dequeue       Operation = "dequeue"
	Download      Operation = "download"
	Ack           Operation = "ack"
)

// An Act is what a fault does.
type Act string

// The acts. "Before" and "after" are about the effect of the call: what F&O did although the client never heard.
const (
	Answer      Act = "answer"      // read the request, do nothing, answer Status with Headers and Body
	Refuse      Act = "refuse"      // as answer, but before the body is read, as a service that is down does
	AnswerAfter Act = "answerAfter" // do it, then answer as answer does: a gateway that lost the connection behind it
	HTML        Act = "html"        // answer 200 with a sign-in page
	Delay       Act = "delay"       // only the Delay, then as usual
	Hang        Act = "hang"        // do nothing, answer nothing, until the client goes
	ResetBefore Act = "resetBefore" // reset the connection without reading the body
	ResetHalf   Act = "resetHalf"   // read half the body, then reset
	ResetAfter  Act = "resetAfter"  // do it, then reset instead of answering
	HangAfter   Act = "hangAfter"   // do it, then hang
	Truncate    Act = "truncate"    // do it, answer half of the answer, then reset
	ImportEnds  Act = "importEnds"  // accept the file; the import ends with Outcome and Errors
)

// NeverEnds, as the Outcome of ImportEnds, leaves the import InProcess for ever. Deadlock ends it with the error of a
// deadlock.
const (
	NeverEnds = "NeverEnds"
	Deadlock  = "Deadlock"
)

// A Fault says which calls go wrong, and how. Empty filters match everything; all filters must match.
type Fault struct {
	Operation  Operation `json:"operation"`            // required
	Activity   string    `json:"activity,omitempty"`   // GUID of the job
	Entity     string    `json:"entity,omitempty"`     // entity label of the file
	Company    string    `json:"company,omitempty"`    // company in the query
	ExternalID string    `json:"externalId,omitempty"` // x-ms-dyn-externalidentifier of the file

	Skip        int      `json:"skip,omitempty"`        // let this many matching calls pass first
	Times       int      `json:"times,omitempty"`       // then hit this many; 0: no end
	Probability float64  `json:"probability,omitempty"` // hit each matching call with this chance; 0: always
	Seed        uint64   `json:"seed,omitempty"`        // of the chance: the same seed hits the same calls
	For         Duration `json:"for,omitempty"`         // active for this long after it was added; 0: no end

	Act        Act               `json:"act"`                  // required
	Delay      Duration          `json:"delay,omitempty"`      // before the act
	Status     int               `json:"status,omitempty"`     // Answer, Refuse, AnswerAfter: HTTP status, default 500
	Headers    map[string]string `json:"headers,omitempty"`    // Answer
	Body       string            `json:"body,omitempty"`       // Answer
	RetryAfter Duration          `json:"retryAfter,omitempty"` // Answer: the header, in whole seconds rounded up
	RetryDate  bool              `json:"retryDate,omitempty"`  // Answer: write Retry-After as an HTTP date

	Outcome string           `json:"outcome,omitempty"` // ImportEnds: a status of F&O, NeverEnds or Deadlock
	Errors  []ExecutionError `json:"errors,omitempty"`  // ImportEnds
	Broken  bool             `json:"broken,omitempty"`  // ImportEnds: the list of errors is not escaped, as F&O's own is not
	Requeue Duration         `json:"requeue,omitempty"` // ImportEnds: after this long the import goes back into the queue, once
}

// Duration is a time.Duration that JSON writes as "2s".
type Duration time.Duration

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("read duration: %w", err)
	}
	*d = Duration(v)
	return nil
}

func (f Fault) check() error {
	switch f.Operation {
	case Any, Connect, Token, Enqueue, Status, ExecutionID, Errors, SummaryURL, SummaryStatus, JobStatus, Dequeue,
		Download, Ack:
	default:
		return fmt.Errorf("fault: unknown operation %q", f.Operation)
	}
	switch f.Act {
	case Answer, Refuse, AnswerAfter, HTML, Delay, Hang, ResetBefore, ResetHalf, ResetAfter, HangAfter, Truncate:
	case ImportEnds:
		if f.Operation != Enqueue {
			return fmt.Errorf("fault: %s is for operation %s only", ImportEnds, Enqueue)
		}
		if f.Outcome == "" {
			return fmt.Errorf("fault: %s needs an outcome", ImportEnds)
		}
	default:
		return fmt.Errorf("fault: unknown act %q", f.Act)
	}
	if f.Operation == Connect && f.Act != ResetBefore {
		return fmt.Errorf("fault: operation %s can only be %s", Connect, ResetBefore)
	}
	if f.Probability < 0 || f.Probability > 1 {
		return fmt.Errorf("fault: probability %v is not between 0 and 1", f.Probability)
	}
	if f.Times < 0 || f.Skip < 0 || f.For < 0 || f.Delay < 0 || f.RetryAfter < 0 {
		return fmt.Errorf("fault: a count or a time is negative")
	}
	return nil
}

// Faults is the set of armed faults of a server. Safe for use by several goroutines.
type Faults struct {
	clock Clock

	armed    atomic.Int64 // len(rules), so that without faults no lock is taken
	connects atomic.Int64 // Connect faults that were ever armed

	mu    sync.Mutex // guards rules and the counts inside them
	rules []*Armed
}

// An Armed fault counts what it hit.
type Armed struct {
	fault Fault
	until time.Time // zero: no end
	rnd   *rand.Rand

	set     *Faults
	matched int
	fired   int
	done    chan struct{}
}

// Add arms a fault. Faults are asked in the order they were added; the first that hits decides.
func (f *Faults) Add(fault Fault) (*Armed, error) {
	if err := fault.check(); err != nil {
		return nil, err
	}
	a := &Armed{fault: fault, set: f, rnd: rand.New(rand.NewPCG(fault.Seed, 0x9e3779b97f4a7c15)),
		done: make(chan struct{})}
	if fault.For > 0 {
		a.until = f.clock.Now().Add(time.Duration(fault.For))
	}
	f.mu.Lock()
	f.rules = append(f.rules, a)
	f.armed.Store(int64(len(f.rules)))
	f.mu.Unlock()
	if fault.Operation == Connect {
		f.connects.Add(1)
	}
	return a, nil
}

// MustAdd is Add for faults written in code; it panics on one that Add refuses.
func (f *Faults) MustAdd(fault Fault) *Armed {
	a, err := f.Add(fault)
	if err != nil {
		panic(err)
	}
	return a
}

// Outage makes every call be refused with status for d, with the time that is left as Retry-After when say is true.
func (f *Faults) Outage(d time.Duration, status int, say bool) (*Armed, error) {
	fault := Fault{Operation: Any, Act: Refuse, Status: status, For: Duration(d)}
	if say {
		fault.RetryAfter = Duration(d)
	}
	return f.Add(fault)
}

// Clear disarms every fault.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
	f.armed.Store(0)
}

// List returns the faults that are still armed.
func (f *Faults) List() []*Armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Armed(nil), f.rules...)
}

// Fault returns the instruction.
func (a *Armed) Fault() Fault { return a.fault }

// Fired says how many calls it has hit.
func (a *Armed) Fired() int {
	a.set.mu.Lock()
	defer a.set.mu.Unlock()
	return a.fired
}

// Done is closed when the fault has hit Times calls; never for one without end.
func (a *Armed) Done() <-chan struct{} { return a.done }

// target is what a call is about, as far as it is known.
type target struct {
	op       Operation
	activity string // lower case, without braces
	entity   string
	company  string
	external string
}

// pick returns the fault that hits the call, with the Retry-After of an outage already counted down, or nil. ends tells
// it to look for ImportEnds faults only, or for all others only.
func (f *Faults) pick(t target, ends bool) *Fault {
	if f.armed.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	for i, a := range f.rules {
		if (a.fault.Act == ImportEnds) != ends || !a.matches(t) {
			continue
		}
		if !a.until.IsZero() && !now.Before(a.until) {
			continue
		}
		a.matched++
		if a.matched <= a.fault.Skip || (a.fault.Probability > 0 && a.rnd.Float64() >= a.fault.Probability) {
			continue
		}
		a.fired++
		if a.fault.Times > 0 && a.fired == a.fault.Times {
			close(a.done)
			f.rules = append(f.rules[:i:i], f.rules[i+1:]...)
			f.armed.Store(int64(len(f.rules)))
		}
		hit := a.fault
		if !a.until.IsZero() && hit.RetryAfter > 0 {
			hit.RetryAfter = Duration(a.until.Sub(now))
		}
		return &hit
	}
	return nil
}

func (a *Armed) matches(t target) bool {
	q := &a.fault
	if q.Operation != t.op && (q.Operation != Any || t.op == Connect) {
		return false
	}
	return (q.Activity == "" || trimGUID(q.Activity) == t.activity) &&
		(q.Entity == "" || fold(q.Entity) == fold(t.entity)) &&
		(q.Company == "" || fold(q.Company) == fold(t.company)) &&
		(q.ExternalID == "" || q.ExternalID == t.external)
}

// header writes what an Answer fault says in the header.
func (q *Fault) header(h http.Header, now time.Time) {
	for k, v := range q.Headers {
		h.Set(k, v)
	}
	if q.RetryAfter <= 0 {
		return
	}
	d := time.Duration(q.RetryAfter)
	if q.RetryDate { // a date has whole seconds: round up, so that no client comes back early
		h.Set("Retry-After", now.Add(d+time.Second-1).Truncate(time.Second).UTC().Format(http.TimeFormat))
		return
	}
	h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
}

// trimGUID brings the spellings of a GUID to one.
func trimGUID(s string) string { return strings.ToLower(strings.Trim(s, "{}\"")) }
