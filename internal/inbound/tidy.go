package inbound

import (
	"context"
	"errors"
	"sync"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
)

// quietFor is how long a session is left alone before its state is cleared. Until then the state tells a message that
// comes again from a new one, and one that comes late; an hour after the last file nothing comes again any more: that
// takes a broker that has lost a settlement, or that shows a message late.
const quietFor = time.Hour

// mostQuiet bounds the sessions that are remembered for it. Of more, the state stays until they are used again.
const mostQuiet = 10_000

// A tidier clears the state of sessions that this worker released with nothing to do, once it says nothing more: Service
// Bus keeps it for ever, and sessions with generated names are never used again.
type tidier struct {
	mu       sync.Mutex
	released map[sessionKey]time.Time
}

func newTidier() *tidier { return &tidier{released: map[sessionKey]time.Time{}} }

// note remembers a session that was released with nothing to do.
func (t *tidier) note(k sessionKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.released[k]; known || len(t.released) < mostQuiet {
		t.released[k] = time.Now()
	}
}

// due returns the sessions that have been quiet for long enough, and forgets them.
func (t *tidier) due() []sessionKey {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []sessionKey
	for k, at := range t.released {
		if time.Since(at) >= quietFor {
			due = append(due, k)
			delete(t.released, k)
		}
	}
	return due
}

// tidy clears such states until ctx ends, one after the other.
func (w *Worker) tidy(ctx context.Context) {
	for retry.Wait(ctx, quietFor/6) {
		for _, k := range w.quiet.due() {
			if err := w.clear(ctx, k); err != nil && ctx.Err() == nil {
				w.log.DebugContext(ctx, "state of a session not cleared; it stays", "source", k.source, "session", k.session, "error", err)
			}
		}
	}
}

// clear clears the state of a session that nobody owns and whose ledger says nothing but which files are settled.
func (w *Worker) clear(ctx context.Context, k sessionKey) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := w.source(k.source).Acceptor.AcceptByID(ctx, k.session)
	if errors.Is(err, bus.ErrTaken) {
		return nil // it is in use, and is noted again when it is released
	}
	if err != nil {
		return err
	}
	defer w.giveBack(ctx, s)
	state, err := s.State(ctx)
	if err != nil || len(state) == 0 {
		return err
	}
	l, err := ledger.Decode(state)
	if err != nil || !l.SaysNothing() {
		return err
	}
	return s.SetState(ctx, nil)
}

func (w *Worker) source(name string) *Source {
	for i := range w.o.Sources {
		if w.o.Sources[i].Name == name {
			return &w.o.Sources[i]
		}
	}
	return nil
}
