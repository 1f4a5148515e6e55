package deadletter

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/bus"
	"fnobridge/internal/letter"
	"fnobridge/internal/retry"
)

// fakeBroker is one entity with its dead-letter queue. A fault says separately whether the call took effect and what
// the caller hears.
type fakeBroker struct {
	mu         sync.Mutex
	sessions   bool
	duplicates bool          // duplicate detection
	lockFor    time.Duration // of a dead letter
	fault      func(call string, n int) (skip bool, err error)
	calls      int
	names      []string // of the calls
	seq        int64
	dead       []*fakeMessage
	queue      []*fakeMessage
	states     map[string][]byte
	locked     map[string]*fakeSession
	ids        map[string]bool // that duplicate detection has seen
	other      map[string][]*fakeMessage
	tooLarge   func(*azservicebus.AMQPAnnotatedMessage) bool
	maxLocked  int
	tokens     uint64
}

type fakeMessage struct {
	seq      int64
	m        *azservicebus.AMQPAnnotatedMessage
	enqueued time.Time
	token    bus.Token
	until    time.Time
	deferred bool
}

func (m *fakeMessage) session() string { return deref(m.m.Properties.GroupID) }
func (m *fakeMessage) id() string      { return fmt.Sprint(m.m.Properties.MessageID) }
func (m *fakeMessage) body() string    { return string(m.m.Body.Data[0]) }

func newFake() *fakeBroker {
	return &fakeBroker{
		sessions: true, duplicates: true, lockFor: time.Minute, states: map[string][]byte{}, locked: map[string]*fakeSession{},
		ids: map[string]bool{}, other: map[string][]*fakeMessage{},
	}
}

// put enqueues a message as a producer would and gives its sequence number.
func (b *fakeBroker) put(session, id, body string, props map[string]any) *fakeMessage {
	m := &azservicebus.AMQPAnnotatedMessage{
		ApplicationProperties: map[string]any{}, Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte(body)}},
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: id},
	}
	if b.sessions || session != "" {
		m.Properties.GroupID = &session
	}
	maps.Copy(m.ApplicationProperties, props)
	b.ids[id] = true
	return b.append(m)
}

func (b *fakeBroker) append(m *azservicebus.AMQPAnnotatedMessage) *fakeMessage {
	b.seq++
	fm := &fakeMessage{seq: b.seq, m: m, enqueued: time.Now()}
	b.queue = append(b.queue, fm)
	return fm
}

// kill moves a queued message to the dead-letter queue, as a lane does it. The sequence number stays.
func (b *fakeBroker) kill(fm *fakeMessage, reason string) {
	b.queue = slices.DeleteFunc(b.queue, func(x *fakeMessage) bool { return x == fm })
	fm.m.ApplicationProperties["DeadLetterReason"] = reason
	fm.m.ApplicationProperties["DeadLetterErrorDescription"] = "description"
	fm.m.ApplicationProperties[letter.PropSequenceNumber] = fm.seq
	fm.m.ApplicationProperties[letter.PropAttempts] = int64(3)
	fm.m.ApplicationProperties[letter.PropLastAttempt] = letter.Stamp(time.Now())
	b.dead = append(b.dead, fm)
}

// enter counts a call and asks for its fault. The caller holds no lock.
func (b *fakeBroker) enter(call string) (skip bool, err error) {
	b.mu.Lock()
	n := b.calls
	b.calls++
	b.names = append(b.names, call)
	fault := b.fault
	b.mu.Unlock()
	if fault != nil {
		return fault(call, n)
	}
	return false, nil
}

func received(fm *fakeMessage) *azservicebus.ReceivedMessage {
	rm := &azservicebus.ReceivedMessage{
		SequenceNumber: new(fm.seq), EnqueuedTime: new(fm.enqueued), Body: fm.m.Body.Data[0], ApplicationProperties: maps.Clone(fm.m.ApplicationProperties),
		SessionID: fm.m.Properties.GroupID, LockToken: fm.token, DeliveryCount: 1, RawAMQPMessage: fm.m,
	}
	rm.MessageID, _ = fm.m.Properties.MessageID.(string)
	if !fm.until.IsZero() {
		rm.LockedUntil = new(fm.until)
	}
	if r, ok := rm.ApplicationProperties["DeadLetterReason"].(string); ok {
		rm.DeadLetterReason = &r
	}
	if d, ok := rm.ApplicationProperties["DeadLetterErrorDescription"].(string); ok {
		rm.DeadLetterErrorDescription = &d
	}
	if fm.deferred {
		rm.State = azservicebus.MessageStateDeferred
	}
	return rm
}

func (b *fakeBroker) lock(fm *fakeMessage) {
	b.tokens++
	binary.BigEndian.PutUint64(fm.token[:], b.tokens)
	fm.until = time.Now().Add(b.lockFor)
}

func (b *fakeBroker) DeadLetters(Entity) Source { return &fakeSource{b: b} }

func (b *fakeBroker) Sender(target string) Target { return &fakeTarget{b: b, name: target} }

func (b *fakeBroker) Sessions(context.Context, Entity) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for _, m := range b.queue {
			if !seen[m.session()] && !yield(m.session(), nil) {
				return
			}
			seen[m.session()] = true
		}
	}
}

type fakeSource struct{ b *fakeBroker }

func page(list []*fakeMessage, from int64, most int) (out []*azservicebus.ReceivedMessage) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *fakeMessage) int { return int(a.seq - b.seq) })
	for _, m := range list {
		if m.seq >= from && len(out) < most {
			out = append(out, received(m))
		}
	}
	return out
}

func (s *fakeSource) Peek(_ context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	if _, err := s.b.enter("peek"); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return page(s.b.dead, from, most), nil
}

func (s *fakeSource) Receive(ctx context.Context, most int, wait time.Duration) ([]*azservicebus.ReceivedMessage, error) {
	skip, err := s.b.enter("receive")
	var out []*azservicebus.ReceivedMessage
	if !skip {
		s.b.mu.Lock()
		locked := 0
		for _, m := range s.b.dead {
			if m.deferred {
				continue
			}
			if m.until.After(time.Now()) {
				locked++
				continue
			}
			if len(out) < most {
				s.b.lock(m)
				locked++
				out = append(out, received(m))
			}
		}
		s.b.maxLocked = max(s.b.maxLocked, locked)
		s.b.mu.Unlock()
	}
	if err != nil {
		return nil, err
	}
	if len(out) == 0 && !retry.Wait(ctx, wait) {
		return nil, ctx.Err()
	}
	return out, nil
}

func (s *fakeSource) ReceiveDeferred(_ context.Context, seq int64) (*azservicebus.ReceivedMessage, error) {
	if _, err := s.b.enter("deferred"); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, m := range s.b.dead {
		if m.seq == seq && m.deferred {
			s.b.lock(m)
			return received(m), nil
		}
	}
	return nil, nil
}

func (s *fakeSource) settle(call string, t bus.Token, effect func(*fakeMessage)) error {
	skip, err := s.b.enter(call)
	if skip {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	for _, m := range s.b.dead {
		if m.token == t && m.until.After(time.Now()) {
			effect(m)
			return err
		}
	}
	if err == nil {
		err = bus.ErrLockLost
	}
	return err
}

func (s *fakeSource) Complete(_ context.Context, t bus.Token) error {
	return s.settle("complete", t, func(m *fakeMessage) {
		s.b.dead = slices.DeleteFunc(s.b.dead, func(x *fakeMessage) bool { return x == m })
	})
}

func (s *fakeSource) Abandon(_ context.Context, t bus.Token) error {
	return s.settle("abandon", t, func(m *fakeMessage) { m.until = time.Time{} })
}

func (s *fakeSource) Renew(_ context.Context, t bus.Token) (until time.Time, err error) {
	err = s.settle("renew", t, func(m *fakeMessage) {
		m.until = time.Now().Add(s.b.lockFor)
		until = m.until
	})
	return until, err
}

func (s *fakeSource) Stop(context.Context) {}

func (s *fakeSource) Close(context.Context) error { return nil }

type fakeTarget struct {
	b    *fakeBroker
	name string
}

func (t *fakeTarget) Close(context.Context) error { return nil }

func (t *fakeTarget) Send(_ context.Context, m *azservicebus.AMQPAnnotatedMessage) error {
	skip, err := t.b.enter("send")
	if skip {
		return err
	}
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.b.tooLarge != nil && t.b.tooLarge(m) {
		return azservicebus.ErrMessageTooLarge
	}
	if t.name != "q" {
		t.b.other[t.name] = append(t.b.other[t.name], &fakeMessage{m: m})
		return err
	}
	if t.b.sessions && m.Properties.GroupID == nil {
		return bus.ErrNeedSession
	}
	id := fmt.Sprint(m.Properties.MessageID)
	if t.b.duplicates && t.b.ids[id] {
		return err // swallowed, and acknowledged
	}
	t.b.ids[id] = true
	t.b.append(m)
	return err
}

type fakeSession struct {
	b      *fakeBroker
	id     string
	closed bool
}

func (b *fakeBroker) Session(_ context.Context, _ Entity, id string) (Session, error) {
	if _, err := b.enter("session"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.sessions {
		return nil, bus.ErrNoSessions
	}
	if b.locked[id] != nil {
		return nil, bus.ErrTaken
	}
	s := &fakeSession{b: b, id: id}
	b.locked[id] = s
	return s, nil
}

func (s *fakeSession) mine() []*fakeMessage {
	return slices.DeleteFunc(slices.Clone(s.b.queue), func(m *fakeMessage) bool { return m.session() != s.id })
}

func (s *fakeSession) Peek(_ context.Context, from int64, most int) ([]*azservicebus.ReceivedMessage, error) {
	if _, err := s.b.enter("session peek"); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return page(s.mine(), from, most), nil
}

func (s *fakeSession) Receive(ctx context.Context, wait time.Duration) (*azservicebus.ReceivedMessage, error) {
	if _, err := s.b.enter("session receive"); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	for _, m := range s.mine() {
		if !m.until.After(time.Now()) {
			s.b.lock(m)
			m.until = m.until.Add(time.Hour) // with its session
			s.b.mu.Unlock()
			return received(m), nil
		}
	}
	s.b.mu.Unlock()
	retry.Wait(ctx, wait)
	return nil, nil
}

func (s *fakeSession) Complete(_ context.Context, rm *azservicebus.ReceivedMessage) error {
	skip, err := s.b.enter("session complete")
	if skip {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	n := len(s.b.queue)
	s.b.queue = slices.DeleteFunc(s.b.queue, func(m *fakeMessage) bool { return m.token == rm.LockToken })
	if err == nil && n == len(s.b.queue) {
		err = bus.ErrLost
	}
	return err
}

func (s *fakeSession) Lock() (granted, until time.Time) {
	return time.Now(), time.Now().Add(s.b.lockFor)
}
func (s *fakeSession) LastFailure() time.Time      { return time.Time{} }
func (s *fakeSession) Renew(context.Context) error { return nil }

func (s *fakeSession) State(context.Context) ([]byte, error) {
	if _, err := s.b.enter("state"); err != nil {
		return nil, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.b.states[s.id], nil
}

func (s *fakeSession) SetState(_ context.Context, state []byte) error {
	skip, err := s.b.enter("set state")
	if skip {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.states[s.id] = state
	return err
}

func (s *fakeSession) Close(context.Context) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	delete(s.b.locked, s.id)
	for _, m := range s.mine() {
		m.until = time.Time{}
	}
	return nil
}

// fakeLedger keeps a Mark as JSON.
type fakeLedger struct{}

func (fakeLedger) Mark(state []byte) (*Mark, error) {
	if len(state) == 0 {
		return nil, nil
	}
	var m Mark
	if err := json.Unmarshal(state, &m); err != nil {
		return nil, err
	}
	if m.Mode == "" {
		return nil, nil
	}
	return &m, nil
}

func (fakeLedger) Lift(_ []byte, moved []int64) ([]byte, error) {
	return json.Marshal(Mark{Busy: moved})
}

func marked(m Mark) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}
