package dynamics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Statuses of a message, in the spelling of the documentation. Source: Microsoft Learn, recurring integrations, "Get
// message status"; PostProcessingError and InProcess as the server writes them.
const (
	statusEnqueued      = "Enqueued"
	statusDequeued      = "Dequeued"
	statusPreProcessing = "PreProcessing"
	statusProcessing    = "Processing"
	statusInProcess     = "InProcess"
	statusProcessed     = "Processed"
	statusWithErrors    = "ProcessedWithErrors"
	statusPreError      = "PreProcessingError"
	statusPostError     = "PostProcessingError"
)

// An Import is what F&O recorded of one accepted file.
type Import struct {
	Order       int              `json:"order"` // acceptance order, from 0; unique
	MessageID   string           `json:"messageId"`
	ExternalID  string           `json:"externalId"` // x-ms-dyn-externalidentifier
	Activity    string           `json:"activity"`
	Entity      string           `json:"entity"`  // as sent; for packages the first of the manifest
	Company     string           `json:"company"` // in which it was imported
	SHA256      string           `json:"sha256"`  // of the body, hexadecimal
	Size        int64            `json:"size"`    // bytes
	FileName    string           `json:"fileName,omitempty"`
	Records     int              `json:"records"`
	AcceptedAt  time.Time        `json:"acceptedAt"`
	StartedAt   time.Time        `json:"startedAt"`         // planned, when it is still to come
	EndedAt     time.Time        `json:"endedAt"`           // planned, when it is still to come; zero: never
	Status      string           `json:"status"`            // at the time of the call; in the journal the final one
	Outcome     string           `json:"outcome,omitempty"` // how it will have ended; NeverEnds
	ExecutionID string           `json:"executionId"`
	Errors      []ExecutionError `json:"errors,omitempty"`
	Detail      string           `json:"detail,omitempty"` // why the file could not be read; F&O has no call that tells it
}

// record is an Import in few bytes. Nothing of it changes after it was accepted.
type record struct {
	id       uuid.UUID
	job      *job
	external string
	entity   string
	company  string
	file     string
	sum      [sha256.Size]byte
	size     int64
	records  int
	accepted time.Time
	starts   time.Time
	ends     time.Time
	outcome  string // final status, or NeverEnds
	errors   []ExecutionError
	detail   string
	order    int
	broken   bool          // the list of its errors is written without escaping
	requeue  time.Duration // after this long it waits in the queue again, for as long; 0: never
}

// arrival is a file that has been read and checked, about to be accepted.
type arrival struct {
	job      *job
	external string
	entity   string // for the record
	company  string
	file     string
	sum      [sha256.Size]byte
	size     int64
	keys     []string // what runs one at a time
	found    finding
	unknown  bool // entity label that F&O does not know
	fault    *Fault
	body     []byte // kept when the options say so
}

// imports is the message table.
type imports struct {
	clock   Clock
	journal *journal
	keep    bool

	mu      sync.RWMutex // guards the rest
	list    []*record
	byID    map[uuid.UUID]*record
	running map[string]time.Time // entity key to the end of its last import
	bodies  map[uuid.UUID][]byte
	grown   chan struct{} // closed and replaced when somebody waits for more; nil when nobody does
}

func newImports(clock Clock, keep bool) *imports {
	return &imports{
		clock: clock, keep: keep, byID: map[uuid.UUID]*record{}, running: map[string]time.Time{},
		bodies: map[uuid.UUID][]byte{},
	}
}

// accept fixes the life of a file and puts it into the table, and into the journal before anybody hears of it.
func (t *imports) accept(a arrival) (*record, error) {
	r := &record{
		id: uuid.New(), job: a.job, external: a.external, entity: a.entity, company: a.company, file: a.file,
		sum: a.sum, size: a.size, records: a.found.records, errors: a.found.errors,
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.accepted = t.clock.Now()
	r.starts = r.accepted.Add(a.job.PickUp)
	collides := false
	for _, k := range a.keys {
		end := t.running[k]
		if !end.After(r.starts) {
			continue
		}
		if a.job.InOrder {
			r.starts = end
		} else {
			collides = true
		}
	}
	r.ends = r.starts.Add(a.job.ImportTime)
	r.outcome, r.errors, r.detail = a.outcome(collides)
	if r.outcome == NeverEnds {
		r.ends = time.Time{}
	}
	if a.fault != nil {
		r.broken, r.requeue = a.fault.Broken, time.Duration(a.fault.Requeue)
	}
	r.order = len(t.list)
	if t.journal != nil {
		line := r.export(r.accepted)
		line.Status = r.outcome
		if err := t.journal.write(line); err != nil {
			return nil, err
		}
	}
	t.add(r, a.keys)
	if t.keep {
		t.bodies[r.id] = a.body
	}
	if t.grown != nil {
		close(t.grown)
		t.grown = nil
	}
	return r, nil
}

// add puts a record into the table; the caller holds the lock.
func (t *imports) add(r *record, keys []string) {
	t.list = append(t.list, r)
	t.byID[r.id] = r
	for _, k := range keys {
		if t.running[k].Before(r.ends) {
			t.running[k] = r.ends
		}
	}
}

// outcome decides how the import ends. A fault decides first, then the label, the file, a running import, the records.
func (a *arrival) outcome(collides bool) (string, []ExecutionError, string) {
	switch {
	case a.fault != nil && a.fault.Outcome == Deadlock:
		return statusWithErrors, deadlock(a.entity), ""
	case a.fault != nil:
		return a.fault.Outcome, a.fault.Errors, "decided by a fault"
	case a.unknown:
		return NeverEnds, nil, "no entity has this label"
	case a.found.broken != nil:
		return statusPreError, nil, a.found.broken.Error()
	case collides:
		return statusWithErrors, deadlock(a.entity), ""
	case len(a.found.errors) > 0:
		return statusWithErrors, a.found.errors, ""
	default:
		return statusProcessed, nil, ""
	}
}

// deadlock is the error of an import that met another one of its entity. Source: Microsoft Learn, "Data management
// error descriptions", DMF1996; the words around the code are this emulator's.
func deadlock(entity string) []ExecutionError {
	return []ExecutionError{{ErrorMessage: fmt.Sprintf(
		"DMF1996: The import of '%s' was chosen as the deadlock victim: a concurrent import for the same project "+
			"is interfering with it (update conflict). Rerun the import.\r\n", entity)}}
}

// status is what F&O says about the message at a time.
func (r *record) status(now time.Time) string {
	if now.Before(r.starts) {
		return statusEnqueued
	}
	if r.outcome == NeverEnds {
		return statusInProcess
	}
	if !now.Before(r.ends) {
		return r.outcome
	}
	if since := now.Sub(r.starts); r.requeue > 0 && since >= r.requeue && since < 2*r.requeue {
		return statusEnqueued
	}
	switch done := float64(now.Sub(r.starts)) / float64(r.ends.Sub(r.starts)); {
	case done < 0.10:
		return statusDequeued
	case done < 0.25:
		return statusPreProcessing
	default:
		return statusProcessing
	}
}

// ended reports whether the import is over, and how.
func (r *record) ended(now time.Time) bool { return r.outcome != NeverEnds && !now.Before(r.ends) }

// execution is the execution ID: project, time, and 32 digits from which the message is found again.
func (r *record) execution() string {
	return r.job.Project + "-" + r.starts.Format("2006-01-02T15:04:05") + "-" +
		strings.ToUpper(hex.EncodeToString(flip(r.id)))
}

// flip turns a message ID into the digits of its execution and back; the two always differ.
func flip(id uuid.UUID) []byte {
	out := make([]byte, len(id))
	for i, b := range id {
		out[i] = ^b
	}
	return out
}

// export returns the record as others see it at a time.
func (r *record) export(now time.Time) Import {
	return Import{
		Order: r.order, MessageID: r.id.String(), ExternalID: r.external, Activity: r.job.id.String(), Entity: r.entity,
		Company: r.company, SHA256: hex.EncodeToString(r.sum[:]), Size: r.size, FileName: r.file, Records: r.records,
		AcceptedAt: r.accepted, StartedAt: r.starts, EndedAt: r.ends, Status: r.status(now), Outcome: r.outcome,
		ExecutionID: r.execution(), Errors: slices.Clone(r.errors), Detail: r.detail,
	}
}

// byMessage finds a message by its ID, whatever its spelling; nil when there is none.
func (t *imports) byMessage(id string) *record {
	u, err := uuid.Parse(trimGUID(id))
	if err != nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byID[u]
}

// byExecution finds a message by its execution; nil when there is none, or when it has not started.
func (t *imports) byExecution(id string, now time.Time) *record {
	digits := id[max(len(id)-32, 0):]
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(uuid.UUID{}) {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	r := t.byID[uuid.UUID(flip(uuid.UUID(raw)))]
	if r == nil || now.Before(r.starts) || r.execution() != id {
		return nil
	}
	return r
}

// snapshot returns everything that was accepted, in order.
func (t *imports) snapshot() []Import {
	now := t.clock.Now()
	t.mu.RLock()
	list := t.list[:len(t.list):len(t.list)]
	t.mu.RUnlock()
	out := make([]Import, len(list))
	for i, r := range list {
		out[i] = r.export(now)
	}
	return out
}

// wait blocks until n files have been accepted.
func (t *imports) wait(ctx context.Context, n int) error {
	for {
		t.mu.Lock()
		if len(t.list) >= n {
			t.mu.Unlock()
			return nil
		}
		if t.grown == nil {
			t.grown = make(chan struct{})
		}
		grown := t.grown
		t.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
