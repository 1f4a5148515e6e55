package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
)

const (
	// mostInBatch is how many dead letters are locked by one receive at most.
	mostInBatch = 100
	// shortQuiet is how long a receive waits for small messages.
	shortQuiet = 2 * time.Second
	// stepTimeout bounds one message from its renewal to its completion, once begun: it outlives an interrupt.
	stepTimeout = 30 * time.Second
)

// Options of a run over one dead-letter queue.
type Options struct {
	Source   contract.Source
	Filter   Filter
	DryRun   bool
	Rate     float64             // messages per second; 0 is no limit
	Parallel int                 // sessions worked on at the same time; 8 when 0
	Wait     time.Duration       // for messages and sessions that somebody else has locked
	Lock     time.Duration       // lock duration of the source's sessions; the shortest that there is when 0
	By       string              // who, for the audit trail
	Audit    func(Record) error  // told of every message; an error stops the run
	Progress func(done, all int) // may be nil
	Waiting  func(n int)         // told when the run waits for locks of others; may be nil

	// LeaveOut are reasons that need a look first: such a dead letter is not selected unless the filter names its
	// reason or its message ID.
	LeaveOut []failure.Reason
	Limit    int // at most so many, the first ones of the dead-letter queue; 0 is no limit

	// Of a resubmit only.
	To    string           // another queue; the source's own target when empty
	Edit  []byte           // replaces the payload of the one selected message
	Edits map[int64][]byte // by sequence number in the dead-letter queue
	Takes Takes            // of a subscription's topic; nil when it could not be found out
	// Unchecked sends to a topic although it cannot be told whether a subscription takes it.
	Unchecked bool
	// MayBeParked says whether a session that cannot be locked may be held or draining; nil means that any may.
	MayBeParked func(session, entity, company string) bool
}

// LeavesOut reports whether a dead letter that the filter matches needs a look first, and is not selected.
func (o Options) LeavesOut(m Message) bool {
	reason := failure.Reason(m.Reason)
	return slices.Contains(o.LeaveOut, reason) && len(o.Filter.Reasons) == 0 && o.Filter.MessageID == ""
}

// to is where the copies go.
func (o Options) to() string {
	if o.To != "" {
		return o.To
	}
	return o.Source.Target()
}

// A run is one pass over a dead-letter queue.
type run struct {
	o      Options
	b      Broker
	queue  Queue
	target Target // nil for a purge
	act    func(context.Context, *plan, *item) error
	pace   *rate.Limiter
	locks  *locks

	fresh map[int64]*azservicebus.ReceivedMessage // the last batch; written between, read during the steps
	owner map[int64]*plan                         // by sequence number in the dead-letter queue

	largest int // bytes of the largest dead letter, selected or not

	mu     sync.Mutex // guards report, and that one audit line is written at a time
	report Report
}

func newRun(b Broker, o Options) *run {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	q := b.DeadLetters(o.Source)
	r := &run{o: o, b: b, queue: q, locks: &locks{queue: q, by: map[int64]lock{}}, owner: map[int64]*plan{}}
	if o.Rate > 0 {
		r.pace = rate.NewLimiter(rate.Limit(o.Rate), 1)
	}
	return r
}

// index selects what the run works on, and begins the report.
func (r *run) index(ctx context.Context) (*index, error) {
	leftOut, n, last := 0, 0, int64(0)
	ix, err := makeIndex(ctx, r.queue, r.o.Source, r.o.to(), func(m Message) bool {
		switch {
		case r.o.Limit > 0 && n == r.o.Limit || !r.o.Filter.Match(m):
			return false
		case r.o.LeavesOut(m):
			leftOut++
			return false
		}
		n, last = n+1, m.SequenceNumber
		return true
	})
	if err != nil {
		return nil, err
	}
	if n > 0 && n == r.o.Limit { // whoever selects again stays within it
		r.o.Filter.To = last
	}
	r.largest = ix.largest
	r.report = Report{Selected: ix.selected, LeftOut: leftOut, Highest: ix.highest, DryRun: r.o.DryRun}
	return ix, nil
}

// work drives the plans until all are done, blocked or out of reach. The dead-letter queue hands out messages in its
// own order and cannot be asked for one: whatever comes before its turn stays locked (as a token, not as a message)
// until its turn comes or the run ends. Giving it back at once would only bring it again.
func (r *run) work(ctx context.Context, plans []*plan) error {
	for _, p := range plans {
		for _, it := range p.items {
			if it.place != waiting {
				r.owner[it.seq] = p
			}
		}
	}
	batch := batchOf(r.largest)
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
		got, err := r.queue.Receive(ctx, batch, quiet(r.largest))
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive dead letters of %s: %w", r.o.Source, err)
		}
		if len(got) > 0 {
			turn, seen = r.note(got), seen+len(got)
			// Locks of messages that were passed over may end while we scan, and bring those messages again. Twice
			// round without meeting a wanted one means that the scan is slower than the locks.
			if n := r.locks.count(); seen > 2*(n+batch) {
				block(open, fmt.Errorf("the %d dead letters before it come back faster than they can be passed: "+
					"raise the lock duration, or select them too", n))
				return nil
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
			block(open, errLockedElsewhere)
			return nil
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
		r.locks.note(rm)
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

// missing looks what became of heads that do not come: those that are not there any more are passed.
func (r *run) missing(ctx context.Context, open []*plan) (turn []*plan, err error) {
	for _, p := range open {
		it := p.head()
		rm, err := fetch(ctx, r.queue, it)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil:
			return nil, err
		case rm != nil:
			continue
		}
		if err := r.finish(p, it, it.missing(), nil); err != nil {
			return nil, err
		}
		turn = append(turn, p)
	}
	return turn, nil
}

// fetch reads the message of an item once more; nil when it is not there.
func fetch(ctx context.Context, from peeker, it *item) (*azservicebus.ReceivedMessage, error) {
	page, err := from.Peek(ctx, it.seq, 1)
	if err != nil {
		return nil, fmt.Errorf("read message %d: %w", it.seq, err)
	}
	if len(page) == 0 || seqOf(page[0]) != it.seq {
		return nil, nil
	}
	return page[0], nil
}

// block ends plans that cannot go on.
func block(open []*plan, why error) {
	for _, p := range open {
		p.blocked = why
	}
}

// advance lets every plan of turn go on as far as its locks reach, several at the same time. Messages of one plan
// never run at the same time. An error of one ends all.
func (r *run) advance(ctx context.Context, turn []*plan) (moved bool, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Parallel)
	var any atomic.Bool
	for _, p := range turn {
		g.Go(func() error {
			for ctx.Err() == nil && p.head() != nil {
				went, err := r.step(ctx, p, p.head())
				if err != nil || !went {
					return err
				}
				any.Store(true)
			}
			return nil
		})
	}
	err = g.Wait()
	return any.Load(), err
}

// step works on the head of a plan. It reports false when the head has to come (again) first.
func (r *run) step(ctx context.Context, p *plan, it *item) (went bool, err error) {
	if it.place != waiting {
		if ok, err := r.locks.has(ctx, it); err != nil || !ok {
			return false, err
		}
	}
	if r.pace != nil && r.pace.Wait(ctx) != nil {
		return false, nil // stopped while waiting for its turn
	}
	// Once begun, a message is finished even if the run is interrupted: that keeps the doubt small.
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout+2*quiet(it.size))
	defer cancel()
	err = r.act(sctx, p, it)
	if errors.Is(err, errAgain) {
		return false, nil
	}
	return err == nil, err
}
