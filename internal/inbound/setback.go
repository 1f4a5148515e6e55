package inbound

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// How long is waited after failures in a row. A session that is lost is handed out again at once, so without a wait a
// call that the broker always refuses is repeated hundreds of times a second.
var (
	sourceSetbacks  = retry.Doubling{First: 250 * time.Millisecond, Max: 10 * time.Second}
	sessionSetbacks = retry.Doubling{First: 250 * time.Millisecond, Max: time.Minute}
)

const (
	// plainAfter is how many refused settlements of a file are enough to try a plainer dead letter.
	plainAfter = 8
	// parkAfter is how many are enough to let the session stand; it is tried again every parkedFor.
	parkAfter = 12
	parkedFor = 10 * time.Minute
	// forgetAfter is when a failure that nothing followed counts no more.
	forgetAfter = 30 * time.Minute
)

// setbacks remembers which sessions this process lost lately, and at which sources nothing can be had. A file that ends
// makes good for its session and its source.
type setbacks struct {
	mu       sync.Mutex
	sources  map[string]*setback
	sessions map[sessionKey]*setback
}

type sessionKey struct{ source, session string }

// A setback is a number of failures in a row.
type setback struct {
	failures int
	at       time.Time // of the last one that counted
	until    time.Time // nothing is tried before

	file     int64 // of a session: the file whose settlement failed
	refusals int   // how often in a row
}

func newSetbacks() *setbacks {
	return &setbacks{sources: map[string]*setback{}, sessions: map[sessionKey]*setback{}}
}

// refused notes that an accept failed that was begun at a time. It returns the number of failures in a row.
func (s *setbacks) refused(source string, began time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source(source).failed(began, sourceSetbacks)
}

// source returns the setback of a source; mu is held.
func (s *setbacks) source(name string) *setback {
	if s.sources[name] == nil {
		s.sources[name] = &setback{}
	}
	return s.sources[name]
}

// lost notes that a session was lost, or broke off, that was accepted at a time.
func (s *setbacks) lost(k sessionKey, accepted time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source(k.source).failed(accepted, sourceSetbacks)
	b := s.session(k)
	b.failed(accepted, sessionSetbacks)
	if b.refusals >= parkAfter {
		b.until = b.at.Add(parkedFor)
	}
}

// session returns the setback of a session, and forgets the old ones of others; mu is held.
func (s *setbacks) session(k sessionKey) *setback {
	for other, b := range s.sessions {
		if time.Since(b.at) > forgetAfter && other != k {
			delete(s.sessions, other)
		}
	}
	if s.sessions[k] == nil {
		s.sessions[k] = &setback{}
	}
	return s.sessions[k]
}

// failed counts a failure of what was begun at a time. What was begun before the last failure met the same trouble and
// counts once.
func (b *setback) failed(began time.Time, waits retry.Doubling) int {
	switch {
	case began.Before(b.at):
		return b.failures
	case time.Since(b.at) > forgetAfter:
		b.failures = 0
	}
	b.failures++
	b.at = time.Now()
	b.until = b.at.Add(waits.After(b.failures))
	return b.failures
}

// answered notes that the broker had no session to give: it is well.
func (s *setbacks) answered(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sources, source)
}

// fileEnded notes that a file of a session has left its queue.
func (s *setbacks) fileEnded(k sessionKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sources, k.source)
	delete(s.sessions, k)
}

// awaitSource waits until another accept may be made. While things go wrong they are made one at a time. It reports
// whether ctx goes on.
func (s *setbacks) awaitSource(ctx context.Context, source string) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		b := s.sources[source]
		wait := time.Duration(0)
		if b != nil {
			wait = time.Until(b.until)
		}
		if b != nil && wait <= 0 {
			b.until = time.Now().Add(sourceSetbacks.After(b.failures))
		}
		s.mu.Unlock()
		if wait <= 0 {
			return true
		}
		retry.Wait(ctx, wait)
	}
	return false
}

// of returns what went wrong with a session lately.
func (s *setbacks) of(k sessionKey) setback {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.sessions[k]; b != nil {
		return *b
	}
	return setback{}
}

// unsettled notes that the settlement of a file failed.
func (s *setbacks) unsettled(k sessionKey, file int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.session(k)
	if b.file != file {
		b.file, b.refusals = file, 0
	}
	b.refusals++
}

// refusals returns how often in a row the settlement of a file has failed.
func (s *setbacks) refusals(k sessionKey, file int64) int {
	if b := s.of(k); b.file == file {
		return b.refusals
	}
	return 0
}

// place names the lane's session among those of this worker.
func (l *lane) place() sessionKey { return sessionKey{l.src.Name, l.ID()} }

// awaitRecovery waits with a session that was lost lately, without a slot, so that the broker is not asked again at once.
// It reports whether waiting was not ended. A session whose file the broker has refused too often to take off its queue
// is shown as one that stands; it is tried again all the same, so that nobody has to do anything once the broker takes it.
func (l *lane) awaitRecovery() bool {
	b := l.w.setbacks.of(l.place())
	d := time.Until(b.until)
	if d <= 0 {
		return true
	}
	l.access.slot.Rest()
	l.view.set(func(v *SessionView) {
		v.Waiting, v.Until = fmt.Sprintf("after %d failures in a row", b.failures), b.until
		if b.refusals >= parkAfter {
			v.Waiting = fmt.Sprintf("the broker refused %d times to settle message %d", b.refusals, b.file)
			v.Parked, v.Reason = ledger.Holding, failure.SettlementRefused
		}
	})
	defer func() { l.began = time.Now() }()
	return retry.Wait(l.waiting, d)
}
