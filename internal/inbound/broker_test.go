package inbound

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"fnobridge/internal/bus"
	"fnobridge/internal/retry"
)

// A fakeBroker is a small session broker: sessions with locks that expire, state, redelivery and a dead-letter queue.
// Its sessions behave as bus.Session does: the first failure loses them.
type fakeBroker struct {
	lock  time.Duration
	skew  time.Duration // of the broker's clock against ours
	delay time.Duration // of every call
	plan  *faultPlan

	fair bool // "next available" is the session that has been free for longest; else the first by name

	skips func(*fakeMessage) bool // whether a message is handed out behind the next one, as no broker should; may be nil

	held func(time.Duration) // told of every receiver that is closed, how long it was held; may be nil

	mu       sync.Mutex
	expiry   time.Time     // no lock runs out before; zero when nothing is locked
	changed  chan struct{} // closed and replaced whenever something changed
	sessions map[string]*fakeSession
	seq      int64
	dead     []deadMessage
	broken   []string // promises that were seen broken
}

type fakeSession struct {
	id       string
	messages []*fakeMessage
	state    []byte
	owner    *fakeLink
	until    time.Time // our clock
	freed    time.Time
}

type fakeMessage struct {
	seq   int64
	id    string
	body  []byte
	props map[string]any
	sent  time.Time
	to    *fakeLink // who has received it under the present lock
}

type deadMessage struct {
	fakeMessage
	session, reason, detail string
	props                   map[string]any
}

var errKilled = errors.New("the process is dead")

// A process is what dies as a whole.
type process struct {
	name   string
	mu     sync.Mutex
	dead   bool
	stolen map[string]int // links whose lock was taken away and that it has not given up yet, by session
	shaken time.Time      // when a connection of it last failed
}

func (p *process) shake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shaken = time.Now()
}

func (p *process) rob(id string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stolen == nil {
		p.stolen = map[string]int{}
	}
	p.stolen[id] += n
}

func (p *process) robbed(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stolen[id] > 0
}

func (p *process) kill() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

func newFakeBroker(lock time.Duration, plan *faultPlan) *fakeBroker {
	return &fakeBroker{lock: lock, plan: plan, delay: time.Millisecond, changed: make(chan struct{}), sessions: map[string]*fakeSession{}}
}

// touch tells everybody who waits that something changed; mu is held.
func (b *fakeBroker) touch() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *fakeBroker) session(id string) *fakeSession {
	s := b.sessions[id]
	if s == nil {
		s = &fakeSession{id: id}
		b.sessions[id] = s
	}
	return s
}

func (b *fakeBroker) send(session, id string, body []byte, props map[string]any) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	s := b.session(session)
	s.messages = append(s.messages, &fakeMessage{seq: b.seq, id: id, body: body, props: props, sent: time.Now()})
	b.touch()
	return b.seq
}

// await waits until ok, which is called with mu held, or the time is over.
func (b *fakeBroker) await(ctx context.Context, ok func() bool) error {
	for {
		b.mu.Lock()
		if ok() {
			b.mu.Unlock()
			return nil
		}
		changed := b.changed
		next := b.nextExpiry()
		b.mu.Unlock()
		var timer <-chan time.Time
		var t *time.Timer
		if next > 0 {
			t = time.NewTimer(next)
			timer = t.C
		}
		select {
		case <-changed:
		case <-timer:
			b.mu.Lock()
			b.expire()
			b.mu.Unlock()
		case <-ctx.Done():
		}
		if t != nil {
			t.Stop()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// nextExpiry returns the time after which a lock may have run out, 0 when nothing is locked; mu is held.
func (b *fakeBroker) nextExpiry() time.Duration {
	if b.expiry.IsZero() {
		return 0
	}
	return max(time.Until(b.expiry), time.Nanosecond)
}

// expire ends the locks that have run out; mu is held.
func (b *fakeBroker) expire() {
	if b.expiry.IsZero() || time.Now().Before(b.expiry) {
		return
	}
	b.expiry = time.Time{}
	for _, s := range b.sessions {
		switch {
		case s.owner == nil:
		case !time.Now().Before(s.until):
			b.free(s)
		default:
			b.expires(s.until)
		}
	}
}

// expires notes that a lock runs out at a time; mu is held.
func (b *fakeBroker) expires(at time.Time) {
	if b.expiry.IsZero() || at.Before(b.expiry) {
		b.expiry = at
	}
}

// free takes the session from its owner; mu is held.
func (b *fakeBroker) free(s *fakeSession) {
	for _, m := range s.messages {
		m.to = nil
	}
	s.owner, s.freed = nil, time.Now()
	b.touch()
}

// cut frees every session of a process at once, as a connection that was reset does.
func (b *fakeBroker) cut(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		if s.owner != nil && s.owner.p == p {
			b.free(s)
		}
	}
}

// steal takes the lock of a session away, as a broker that moves a partition does.
func (b *fakeBroker) steal(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sessions[id]; s != nil && s.owner != nil {
		s.owner.robbed = true
		s.owner.p.rob(id, 1)
		b.free(s)
	}
}

// has reports whether a message is still in the queue.
func (b *fakeBroker) has(session string, seq int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.session(session).messages, func(m *fakeMessage) bool { return m.seq == seq })
}

// holds reports whether the process has the session's lock, whatever it could know.
func (b *fakeBroker) holds(p *process, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	s := b.sessions[id]
	return s != nil && s.owner != nil && s.owner.p == p
}

// owned reports whether the process may act for the session: it holds its lock, or lost it in a way that nobody could
// know of.
func (b *fakeBroker) owned(p *process, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	s := b.sessions[id]
	if s == nil {
		return false
	}
	if s.owner != nil && s.owner.p == p {
		return true
	}
	return p.robbed(id)
}

// ownedByAnother reports whether another process holds the session, and the first could have known.
func (b *fakeBroker) ownedByAnother(p *process, id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	s := b.sessions[id]
	return s != nil && s.owner != nil && s.owner.p != p && !p.robbed(id) && p.alive()
}

func (b *fakeBroker) wrong(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
}

// left returns the number of messages still in the queue; mu is held.
func (b *fakeBroker) left() int {
	n := 0
	for _, s := range b.sessions {
		n += len(s.messages)
	}
	return n
}

func (b *fakeBroker) stateOf(id string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.session(id).state)
}

// A fakeAcceptor is the broker as one process sees it.
type fakeAcceptor struct {
	b *fakeBroker
	p *process
}

func (a fakeAcceptor) AcceptNext(ctx context.Context, d time.Duration) (Session, error) {
	asked := time.Now()
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	kind := a.b.plan.at("accept")
	switch {
	case !a.p.alive():
		return nil, errKilled
	case kind == failsBefore:
		return nil, errors.New("accept: connection refused")
	case kind == hangs:
		<-bounded.Done()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, bus.ErrIdle
	}
	var k *fakeLink
	err := a.b.await(bounded, func() bool {
		a.b.expire()
		if !a.p.alive() {
			return true
		}
		s := a.b.next()
		if s != nil {
			k = a.b.grant(s, a.p, asked)
		}
		return s != nil
	})
	switch {
	case ctx.Err() != nil:
		if k != nil {
			_ = k.Close(context.WithoutCancel(ctx))
		}
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, bus.ErrIdle
	case k == nil:
		return nil, errKilled
	case kind == replyLost: // granted, and nobody knows: the lock has to run out
		return nil, errors.New("accept: connection reset")
	case kind == lockLost:
		a.b.steal(k.s.id)
	}
	return k, nil
}

func (a fakeAcceptor) AcceptByID(ctx context.Context, id string) (Session, error) {
	kind := a.b.plan.at("accept by id")
	if !retry.Wait(ctx, a.b.delay) {
		return nil, context.Cause(ctx)
	}
	switch {
	case !a.p.alive():
		return nil, errKilled
	case kind == failsBefore:
		return nil, errors.New("accept: connection refused")
	case kind == hangs:
		if !retry.Wait(ctx, 5*time.Second) {
			return nil, context.Cause(ctx)
		}
		return nil, context.DeadlineExceeded
	}
	a.b.mu.Lock()
	a.b.expire()
	s := a.b.session(id)
	if s.owner != nil {
		a.b.mu.Unlock()
		return nil, bus.ErrTaken
	}
	k := a.b.grant(s, a.p, time.Now())
	a.b.mu.Unlock()
	switch kind {
	case replyLost:
		return nil, errors.New("accept: connection reset")
	case lockLost:
		a.b.steal(id)
	}
	return k, nil
}

// grant returns the session to a process; mu is held.
func (b *fakeBroker) grant(s *fakeSession, p *process, asked time.Time) *fakeLink {
	k := &fakeLink{b: b, p: p, s: s, granted: asked, accepted: time.Now(), call: make(chan struct{}, 1)}
	s.owner, s.until = k, time.Now().Add(b.lock)
	k.until = s.until.Add(b.skew)
	b.expires(s.until)
	return k
}

// next returns the next available session; nil when there is none; mu is held.
func (b *fakeBroker) next() (next *fakeSession) {
	before := func(s, o *fakeSession) bool {
		if b.fair && !s.freed.Equal(o.freed) {
			return s.freed.Before(o.freed)
		}
		return s.id < o.id
	}
	for _, s := range b.sessions {
		if s.owner == nil && len(s.messages) > 0 && (next == nil || before(s, next)) {
			next = s
		}
	}
	return next
}

// locked returns how many sessions are owned; mu is held.
func (b *fakeBroker) locked() int {
	n := 0
	for _, s := range b.sessions {
		if s.owner != nil {
			n++
		}
	}
	return n
}
