package inbound

import (
	"context"
	"sync"
	"time"

	"fnobridge/internal/history"
	"fnobridge/internal/payload"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

// A fakeTopic records status events and drops duplicates, as a topic with duplicate detection does.
type fakeTopic struct {
	plan *faultPlan
	b    *fakeBroker

	// connecting is what happens while a publisher makes itself a link, before it asks whether it still may; may be nil.
	connecting func(p *process, session string)

	mu   sync.Mutex
	seen map[string]bool
	list []status.Event // each ID once
	raw  int            // how many were published in all
}

type fakePublisher struct {
	t *fakeTopic
	p *process
}

func (r fakePublisher) PublishIf(ctx context.Context, may func() error, events ...status.Event) error {
	t := r.t
	if !r.p.Alive() {
		return errKilled
	}
	if t.connecting != nil {
		t.connecting(r.p, events[0].Session)
	}
	if err := may(); err != nil {
		return err
	}
	for _, e := range events {
		if t.connecting != nil && !r.p.Owns(theFiles, e.Session) {
			t.b.wrong("%s published %s of %s after session %q had gone to another", r.p.name, e.Status, e.MessageID, e.Session)
		}
		if e.Session != "" && !t.b.owned(r.p, e.Session) {
			if !r.p.Alive() { // killed and cut since the question above
				return errKilled
			}
			t.b.wrong("%s published %s of %s without the lock of session %q", r.p.name, e.Status, e.MessageID, e.Session)
		}
	}
	kind := t.plan.at("publish")
	switch kind {
	case failsBefore:
		return errReset
	case hangs:
		if !retry.Wait(ctx, 5*time.Second) {
			return context.Cause(ctx)
		}
		return context.DeadlineExceeded
	case lockLost:
		for _, e := range events {
			t.b.steal(e.Session)
		}
	}
	if !retry.Wait(ctx, t.b.delay) {
		return context.Cause(ctx)
	}
	if !r.p.Alive() {
		return errKilled
	}
	t.mu.Lock()
	for _, e := range events {
		t.raw++
		if id := e.ID(); !t.seen[id] {
			t.seen[id] = true
			t.list = append(t.list, e)
		}
	}
	t.mu.Unlock()
	if kind == replyLost {
		return errReset
	}
	return nil
}

func (t *fakeTopic) events() []history.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []history.Event
	for n, e := range t.list {
		all = append(all, history.FromEvent(e, n))
	}
	return all
}

// of returns the statuses of one file, in order.
func (t *fakeTopic) of(id string) []status.Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []status.Status
	for _, e := range t.list {
		if e.MessageID == id {
			all = append(all, e.Status)
		}
	}
	return all
}

// A fakePayloads is the real opener with faults before it.
type fakePayloads struct {
	plan   *faultPlan
	b      *fakeBroker
	opener *payload.Opener
}

func (o fakePayloads) Open(ctx context.Context, s payload.Source, r payload.Rule) (*payload.Payload, error) {
	kind := o.plan.at("open payload")
	switch kind {
	case failsBefore, replyLost:
		return nil, storageFailed()
	case hangs:
		if !retry.Wait(ctx, 10*time.Second) {
			return nil, context.Cause(ctx)
		}
		return nil, storageFailed()
	case lockLost:
		o.b.steal(s.Entity)
	}
	return o.opener.Open(ctx, s, r)
}
