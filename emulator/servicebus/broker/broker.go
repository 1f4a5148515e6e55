package broker

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/entity"
)

// Broker is one namespace.
type Broker struct {
	clock   Clock
	running sync.WaitGroup // clock callbacks that may still run

	mu        sync.Mutex // guards everything below and all entities
	queues    map[string]*queue
	namespace entity.Namespace // name and authorization rules; entities live in queues
	pending   deadlines
	armed     time.Time // when timer fires; zero = no timer
	timer     Timer
	closed    bool
	rng       *rand.ChaCha8
	created   time.Time
	changed   chan struct{} // closed when something happened; nil when nobody waits
}

// New builds a namespace with the given entities. The description must be valid.
func New(clock Clock, n entity.Namespace) (*Broker, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	var seed [32]byte
	for i := range 4 {
		binary.LittleEndian.PutUint64(seed[8*i:], rand.Uint64())
	}
	n = n.Clone()
	n.Name = cmp.Or(n.Name, "sbemulatorns") // the name that Microsoft's emulator uses
	if len(n.AuthorizationRules) == 0 {
		n.AuthorizationRules = []entity.AuthorizationRule{entity.RootRule()}
	}
	b := &Broker{
		clock: clock, queues: map[string]*queue{}, rng: rand.NewChaCha8(seed), created: clock.Now(),
		namespace: entity.Namespace{Name: n.Name, AuthorizationRules: n.AuthorizationRules},
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range n.Queues {
		b.addQueue(q)
	}
	for _, t := range n.Topics {
		if err := b.addTopic(t); err != nil {
			return nil, err
		}
	}
	b.arm()
	return b, nil
}

// Close stops the clock. Links must be closed by their owner before.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed = true
	if b.timer != nil && b.timer.Stop() {
		b.running.Done()
	}
	b.timer = nil
	b.mu.Unlock()
	b.running.Wait()
}

// Now is the broker's time.
func (b *Broker) Now() time.Time { return b.clock.Now() }

// Clock returns the broker's clock.
func (b *Broker) Clock() Clock { return b.clock }

// arm makes sure the clock calls tick no later than the first deadline. A timer that fires too early costs one empty
// tick, which is cheaper than moving it with every lock.
func (b *Broker) arm() {
	if b.closed || len(b.pending) == 0 {
		return
	}
	at := b.pending[0].at
	if !b.armed.IsZero() && !at.Before(b.armed) {
		return
	}
	if b.timer != nil && b.timer.Stop() {
		b.running.Done()
	}
	b.armed = at
	b.running.Add(1)
	b.timer = b.clock.AfterFunc(at.Sub(b.clock.Now()), b.tick)
}

// tick runs everything that is due.
func (b *Broker) tick() {
	defer b.running.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.armed, b.timer = time.Time{}, nil
	b.runDue(b.clock.Now())
	b.arm()
	b.notify()
}

// notify wakes whoever waits in Await.
func (b *Broker) notify() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *Broker) runDue(now time.Time) {
	for len(b.pending) > 0 && !b.pending[0].at.After(now) {
		d := b.pending[0]
		b.pending.clear(d)
		d.run()
	}
}

// enter locks the broker and brings it up to date: a lock that ended a moment ago is gone even if the timer has not
// fired yet. It returns the time and the function that leaves.
func (b *Broker) enter() time.Time {
	b.mu.Lock()
	now := b.clock.Now()
	if len(b.pending) > 0 && !b.pending[0].at.After(now) {
		b.runDue(now)
		b.notify()
	}
	return now
}

// unlock leaves after looking only: it wakes nobody, so that Await may look.
func (b *Broker) unlock() {
	b.arm()
	b.mu.Unlock()
}

func (b *Broker) leave() {
	b.arm()
	b.notify()
	b.mu.Unlock()
}

func (b *Broker) newUUID() (u amqp.UUID) {
	binary.LittleEndian.PutUint64(u[:8], b.rng.Uint64())
	binary.LittleEndian.PutUint64(u[8:], b.rng.Uint64())
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

const (
	suffixDeadLetter = "/$deadletterqueue"
	suffixTransfer   = "/$transfer/$deadletterqueue"
)

// find resolves an address; sub-queues included. Nil when there is none.
func (b *Broker) find(address string) *queue {
	key := strings.Trim(strings.ToLower(address), "/")
	if q := b.queues[key]; q != nil {
		return q
	}
	if base, ok := strings.CutSuffix(key, suffixTransfer); ok {
		if q := b.queues[base]; q != nil && q.topic == nil {
			return q.transfer
		}
		return nil
	}
	if base, ok := strings.CutSuffix(key, suffixDeadLetter); ok {
		if q := b.queues[base]; q != nil && q.topic == nil {
			return q.dlq
		}
	}
	return nil
}

// Exists reports whether the address names an entity, a sub-queue, or either with /$management behind it.
func (b *Broker) Exists(address string) bool {
	b.enter()
	defer b.unlock()
	return b.find(trimManagement(address)) != nil
}

func trimManagement(address string) string {
	const suffix = "/$management"
	a := strings.TrimRight(address, "/")
	if len(a) > len(suffix) && strings.EqualFold(a[len(a)-len(suffix):], suffix) {
		return a[:len(a)-len(suffix)]
	}
	return a
}

func notFound(address string) *amqp.Error {
	return amqp.Errorf(amqp.NotFound, "The messaging entity '%s' could not be found.", address)
}

// RootKey returns the name and key of the first authorization rule with all rights, or of the first one.
func (b *Broker) RootKey() (name, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.namespace.AuthorizationRules {
		if r.Allows(entity.Manage) {
			return r.Name, r.Key
		}
	}
	r := b.namespace.AuthorizationRules[0]
	return r.Name, r.Key
}

// Keys returns the authorization rules of the namespace and of the entity that the address lies in.
func (b *Broker) Keys(address string) []entity.AuthorizationRule {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := append([]entity.AuthorizationRule(nil), b.namespace.AuthorizationRules...)
	if q := b.find(trimManagement(address)); q != nil {
		for q.main != nil {
			q = q.main
		}
		if q.of != nil {
			q = q.of
		}
		out = append(out, q.storage.AuthorizationRules...)
	}
	return out
}
