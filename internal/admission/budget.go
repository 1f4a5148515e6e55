package admission

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"fnobridge/internal/failure"
)

// A Budget bounds the questions per second that all lanes together ask an environment: F&O throttles OData calls.
type Budget struct {
	limiter *rate.Limiter
	line    chan struct{} // full while the first in line waits for its turn
}

// NewBudget returns a budget of so many questions a second. It saves up at most one second's worth.
func NewBudget(perSecond float64) *Budget {
	return &Budget{rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond))), make(chan struct{}, 1)}
}

// AwaitTurn waits for the right to ask one question, now or never: a turn that is not used is lost. It is taken before
// Gate.AwaitPass, so that callers who wait for the budget do not occupy the calls that uploads need; who then waits out a
// closed gate needs another one.
//
// Turns go first come, first served. Only the first in line reserves one, because a reservation that is cancelled before
// others is lost: a thousand sessions that are refreshed while they wait would leave nobody a turn for minutes.
//
// Unlike rate.Limiter.Wait it never refuses ahead of a deadline: the only error is that ctx ended.
func (b *Budget) AwaitTurn(ctx context.Context) error {
	if ctx.Err() != nil {
		return failure.StoppedCall(ctx)
	}
	select {
	case b.line <- struct{}{}:
		defer func() { <-b.line }()
	case <-ctx.Done():
		return failure.StoppedCall(ctx)
	}
	r := b.limiter.Reserve()
	d := r.Delay()
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		return failure.StoppedCall(ctx)
	}
}
