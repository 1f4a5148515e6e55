package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/retry"
)

// A fakeLink is an accepted session.
type fakeLink struct {
	b *fakeBroker
	p *process
	s *fakeSession

	call           chan struct{} // one call at a time, as in bus.Session; a channel, because bubbles do not see through mutexes
	mu             sync.Mutex    // guards what follows
	lost           error
	closed         bool
	granted, until time.Time
	accepted       time.Time
	robbed         bool // guarded by b.mu
}

func (k *fakeLink) ID() string { return k.s.id }

func (k *fakeLink) Lock() (granted, until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.granted, k.until
}

func (k *fakeLink) LastFailure() time.Time {
	k.p.mu.Lock()
	defer k.p.mu.Unlock()
	return k.p.shaken
}

func (k *fakeLink) lose(what string, err error) error {
	k.p.shake()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost == nil {
		k.lost = err
	}
	return fmt.Errorf("%s: %w: %w", what, bus.ErrLost, err)
}

// do makes one call with its fault. effect runs with b.mu held and only if the link still owns the session.
func (k *fakeLink) do(ctx context.Context, op string, effect func()) error {
	k.call <- struct{}{}
	defer func() { <-k.call }()
	k.mu.Lock()
	gone := k.lost
	k.mu.Unlock()
	if gone != nil {
		return fmt.Errorf("%s: %w: %w", op, bus.ErrLost, gone)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	kind := k.b.plan.at(op)
	if !k.p.alive() {
		return k.lose(op, errKilled)
	}
	switch kind {
	case failsBefore:
		return k.lose(op, errors.New("link detached"))
	case hangs:
		if !retry.Wait(ctx, bus.DefaultCallTimeout) {
			return context.Cause(ctx)
		}
		return k.lose(op, context.DeadlineExceeded)
	case lockLost:
		k.b.steal(k.s.id)
	}
	if !retry.Wait(ctx, k.b.delay) {
		return context.Cause(ctx)
	}
	k.b.mu.Lock()
	k.b.expire()
	mine := k.s.owner == k && k.p.alive()
	if mine {
		effect()
	}
	k.b.mu.Unlock()
	switch {
	case !mine:
		return k.lose(op, errors.New("session lock lost"))
	case kind == replyLost:
		return k.lose(op, errors.New("connection reset"))
	}
	return nil
}

func (k *fakeLink) Renew(ctx context.Context) error {
	before := time.Now()
	return k.do(ctx, "renew", func() {
		k.s.until = time.Now().Add(k.b.lock)
		k.mu.Lock()
		k.granted, k.until = before, k.s.until.Add(k.b.skew)
		k.mu.Unlock()
	})
}

func (k *fakeLink) State(ctx context.Context) ([]byte, error) {
	var state []byte
	err := k.do(ctx, "get state", func() { state = slices.Clone(k.s.state) })
	return state, err
}

func (k *fakeLink) SetState(ctx context.Context, state []byte) error {
	return k.do(ctx, "set state", func() { k.s.state = slices.Clone(state) })
}

func (k *fakeLink) Receive(ctx context.Context, d time.Duration) (*azservicebus.ReceivedMessage, error) {
	until := time.Now().Add(min(d, bus.DefaultCallTimeout*7/8))
	var got *fakeMessage
	err := k.do(ctx, "receive", func() { got = k.next() })
	for err == nil && got == nil {
		k.b.mu.Lock()
		changed := k.b.changed
		k.b.mu.Unlock()
		t := time.NewTimer(max(0, time.Until(until)))
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		k.b.mu.Lock()
		k.b.expire()
		if k.s.owner != k || !k.p.alive() {
			err = errors.New("session lock lost")
		} else {
			got = k.next()
		}
		k.b.mu.Unlock()
		if err != nil {
			return nil, k.lose("receive", err)
		}
		if got == nil && !time.Now().Before(until) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	session, seq, sent := k.s.id, got.seq, got.sent
	return &azservicebus.ReceivedMessage{
		MessageID: got.id, Body: got.body, ApplicationProperties: got.props, SessionID: &session,
		SequenceNumber: &seq, EnqueuedTime: &sent,
	}, nil
}

// next returns the first message that was not received under this lock; b.mu is held.
func (k *fakeLink) next() *fakeMessage {
	for i, m := range k.s.messages {
		if m.to != nil {
			continue
		}
		if k.b.skips != nil && i+1 < len(k.s.messages) && k.s.messages[i+1].to == nil && k.b.skips(m) {
			m = k.s.messages[i+1]
		}
		m.to = k
		return m
	}
	return nil
}

// take removes a message; b.mu is held.
func (k *fakeLink) take(seq int64) *fakeMessage {
	for i, m := range k.s.messages {
		if m.seq == seq {
			if m.to != k {
				k.b.broken = append(k.b.broken, fmt.Sprintf("message %d settled by a link that did not receive it", seq))
			}
			k.s.messages = slices.Delete(k.s.messages, i, i+1)
			k.b.touch()
			return m
		}
	}
	k.b.broken = append(k.b.broken, fmt.Sprintf("message %d settled twice", seq))
	return nil
}

func (k *fakeLink) Complete(ctx context.Context, m *azservicebus.ReceivedMessage) error {
	return k.do(ctx, "complete", func() { k.take(*m.SequenceNumber) })
}

func (k *fakeLink) DeadLetter(ctx context.Context, m *azservicebus.ReceivedMessage, o *azservicebus.DeadLetterOptions) error {
	return k.do(ctx, "dead-letter", func() {
		if got := k.take(*m.SequenceNumber); got != nil {
			k.b.dead = append(k.b.dead, deadMessage{
				fakeMessage: *got, session: k.s.id, reason: *o.Reason, detail: *o.ErrorDescription, props: o.PropertiesToModify,
			})
		}
	})
}

func (k *fakeLink) Close(ctx context.Context) error {
	k.call <- struct{}{}
	defer func() { <-k.call }()
	k.mu.Lock()
	again := k.closed
	k.closed = true
	if k.lost == nil {
		k.lost = errors.New("closed")
	}
	k.mu.Unlock()
	if again {
		return nil
	}
	k.b.mu.Lock()
	robbed := k.robbed
	k.b.mu.Unlock()
	if robbed {
		defer k.p.rob(k.s.id, -1)
	}
	if !k.p.alive() {
		return errKilled
	}
	if !retry.Wait(ctx, k.b.delay) {
		return context.Cause(ctx)
	}
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if k.s.owner == k {
		k.b.free(k.s)
	}
	if k.b.held != nil {
		k.b.held(time.Since(k.accepted))
	}
	return nil
}
