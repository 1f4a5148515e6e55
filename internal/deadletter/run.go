package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"fnobridge/internal/bus"
)

const (
	// batch is how many dead letters are locked by one receive; their bodies are in memory until the next one.
	batch = 100
	// quiet is how long a receive waits before it counts as "nothing there".
	quiet = 2 * time.Second
	// stepTimeout bounds one message from its renewal to its completion, once begun: it outlives an interrupt.
	stepTimeout = 30 * time.Second
	// releaseTimeout bounds giving back what was locked only to get past it. What is left then comes back by itself
	// when its lock ends.
	releaseTimeout = 30 * time.Second
	// renewBefore is how little of a message's lock may be left when its copy is sent.
	renewBefore = 10 * time.Second
)

// Options of a run over one dead-letter queue.
type Options struct {
	Entity   Entity
	Filter   Filter
	DryRun   bool
	Rate     float64             // messages per second; 0 is no limit
	Parallel int                 // sessions worked on at the same time; 8 when 0
	Wait     time.Duration       // for messages and sessions that somebody else has locked
	Lock     time.Duration       // lock duration of the entity's sessions; the shortest that there is when 0
	By       string              // who, for the audit trail
	Audit    func(Record) error  // told of every message; an error stops the run
	Progress func(done, all int) // may be nil
	Waiting  func(n int)         // told when the run waits for locks of others; may be nil

	// Of a resubmit only.
	To    string           // another queue or topic; the entity's own target when empty
	Edit  []byte           // replaces the payload of the one selected message
	Edits map[int64][]byte // by sequence number in the dead-letter queue
	Takes Takes            // of a subscription\'s topic; nil when it could not be found out
	// Unchecked sends to a topic although it cannot be told whether a subscription takes it.
	Unchecked bool
	Ledger    Ledger // nil: sessions are not locked, marks neither honoured nor lifted
	// Ordered says whether a session that cannot be locked may be held or draining; nil means that any may.
	Ordered func(session, entity, company string) bool
}

// lock is what is kept of a received message: enough to settle it over any connection.
type lock struct {
	token bus.Token
	until time.Time
}

// run is one pass over a dead-letter queue.
type run struct {
	o      Options
	b      Broker
	src    Source
	target Target
	act    func(context.Context, *plan, *item) error
	pace   *rate.Limiter

	fresh map[int64]*azservicebus.ReceivedMessage // the last batch; written between, read during the steps
	owner map[int64]*plan                         // by sequence number in the dead-letter queue

	mu     sync.Mutex // guards what follows
	locks  map[int64]lock
	report Report
}

func newRun(b Broker, o Options) *run {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	r := &run{o: o, b: b, src: b.DeadLetters(o.Entity), locks: map[int64]lock{}, owner: map[int64]*plan{}}
	if o.Rate > 0 {
		r.pace = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	return r
}

// work drives the plans until all are done, blocked or out of reach. The dead-letter queue hands out messages in its own
// order and cannot be asked for one: whatever comes before its turn stays locked (as a token, not as a message) until
// its turn comes or the run ends. Giving it back at once would only bring it again.
func (r *run) work(ctx context.Context, plans []*plan) error {
	for _, p := range plans {
		for _, it := range p.items {
			if !it.active {
				r.owner[it.seq] = p
			}
		}
	}
	open, turn := plans, plans
	last, seen := time.Now(), 0
	for {
		moved, err := r.advance(ctx, turn)
		if err != nil {
			return err
		}
		if moved {
			last, seen = time.Now(), 0
		}
		open = slices.DeleteFunc(slices.Clone(open), func(p *plan) bool { return p.head() == nil })
		if len(open) == 0 || ctx.Err() != nil {
			return nil
		}
		got, err := r.src.Receive(ctx, batch, quiet)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive dead letters of %s: %w", r.o.Entity, err)
		}
		if len(got) > 0 {
			turn, seen = r.note(got), seen+len(got)
			// Locks of messages that were passed over may end while we scan, and bring those messages again. Twice
			// round without meeting a wanted one means that the scan is slower than the locks.
			if seen > 2*(len(r.locks)+batch) {
				return r.giveUp(open, fmt.Errorf("the %d dead letters before it come back faster than they can be passed: raise the lock duration, or select them too", len(r.locks)))
			}
			continue
		}
		if turn, err = r.missing(ctx, open); err != nil {
			return err
		}
		if len(turn) > 0 {
			continue
		}
		if time.Since(last) >= r.o.Wait {
			return r.giveUp(open, nil)
		}
		if r.o.Waiting != nil {
			r.o.Waiting(len(open))
		}
	}
}

// note keeps the locks of a batch and returns the plans that own some of it.
func (r *run) note(got []*azservicebus.ReceivedMessage) []*plan {
	r.fresh = make(map[int64]*azservicebus.ReceivedMessage, len(got))
	var turn []*plan
	for _, rm := range got {
		l := lock{token: rm.LockToken}
		if rm.LockedUntil != nil {
			l.until = *rm.LockedUntil
		}
		r.locks[seqOf(rm)] = l
		p := r.owner[seqOf(rm)]
		if p == nil || p.head() == nil {
			continue
		}
		r.fresh[seqOf(rm)] = rm
		if !slices.Contains(turn, p) {
			turn = append(turn, p)
		}
	}
	return turn
}

// missing looks what became of heads that do not come: gone ones are passed, deferred ones fetched.
func (r *run) missing(ctx context.Context, open []*plan) (turn []*plan, err error) {
	for _, p := range open {
		it := p.head()
		page, err := r.src.Peek(ctx, it.seq, 1)
		if err != nil {
			if ctx.Err() != nil {
				return nil, nil
			}
			return nil, fmt.Errorf("look for dead letter %d: %w", it.seq, err)
		}
		if len(page) > 0 && seqOf(page[0]) == it.seq {
			continue
		}
		outcome := OutcomeGone
		if it.sent { // the completion did arrive, its answer did not
			outcome = OutcomeDone
		}
		if err := r.finish(p, it, outcome, nil); err != nil {
			return nil, err
		}
		turn = append(turn, p)
	}
	return turn, nil
}

// giveUp closes the plans that cannot go on.
func (r *run) giveUp(open []*plan, why error) error {
	for _, p := range open {
		p.locked = why == nil
		p.blocked = why
		if why == nil {
			p.blocked = errors.New("somebody else has it locked; its lock ends within the entity's lock duration")
		}
	}
	return nil
}

// advance lets every plan of turn go on as far as its locks reach, several at the same time. Messages of one plan
// never run at the same time.
func (r *run) advance(ctx context.Context, turn []*plan) (moved bool, err error) {
	var g errgroup.Group
	g.SetLimit(r.o.Parallel)
	var mu sync.Mutex
	stop := false
	for _, p := range turn {
		g.Go(func() error {
			for {
				mu.Lock()
				halt := stop
				mu.Unlock()
				it := p.head()
				if it == nil || halt || ctx.Err() != nil {
					return nil
				}
				ok, err := r.ready(ctx, p, it)
				if err == nil && !ok {
					return nil
				}
				if err == nil && r.pace != nil && r.pace.Wait(ctx) != nil {
					return nil // stopped while waiting for its turn
				}
				if err == nil {
					// Once begun, a message is finished even if the run is interrupted: that keeps the doubt small.
					sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
					err = r.act(sctx, p, it)
					cancel()
				}
				mu.Lock()
				moved = moved || err == nil
				mu.Unlock()
				switch {
				case err == nil:
				case errors.Is(err, errAgain): // its lock was lost: it will come again
					return nil
				default:
					mu.Lock()
					stop = true
					mu.Unlock()
					return err
				}
			}
		})
	}
	err = g.Wait()
	return moved, err
}

// errAgain says that a message has to be received once more before it can go on.
var errAgain = errors.New("the message comes again")

// ready reports whether the item is locked by this run.
func (r *run) ready(ctx context.Context, p *plan, it *item) (bool, error) {
	if it.active {
		return true, nil
	}
	r.mu.Lock()
	_, ok := r.locks[it.seq]
	r.mu.Unlock()
	if ok || !it.deferred {
		return ok, nil
	}
	rm, err := r.src.ReceiveDeferred(ctx, it.seq)
	if err != nil || rm == nil {
		return false, err
	}
	r.mu.Lock()
	r.locks[it.seq] = lock{token: rm.LockToken, until: time.Now().Add(renewBefore)} // renewed first: its lock time is not told
	r.mu.Unlock()
	return true, nil
}

// secure returns the item's token with enough of its lock left.
func (r *run) secure(ctx context.Context, it *item) (bus.Token, error) {
	r.mu.Lock()
	l := r.locks[it.seq]
	r.mu.Unlock()
	if time.Until(l.until) > renewBefore {
		return l.token, nil
	}
	until, err := r.src.Renew(ctx, l.token)
	if errors.Is(err, bus.ErrLockLost) {
		r.forget(it)
		return bus.Token{}, errAgain
	}
	if err != nil {
		return bus.Token{}, err
	}
	r.mu.Lock()
	r.locks[it.seq] = lock{token: l.token, until: until}
	r.mu.Unlock()
	return l.token, nil
}

func (r *run) forget(it *item) {
	r.mu.Lock()
	delete(r.locks, it.seq)
	r.mu.Unlock()
}

// complete takes the dead letter away.
func (r *run) complete(ctx context.Context, it *item, t bus.Token) error {
	err := r.src.Complete(ctx, t)
	if errors.Is(err, bus.ErrLockLost) {
		r.forget(it)
		return errAgain
	}
	if err == nil {
		r.forget(it)
	}
	return err
}
