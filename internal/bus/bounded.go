package bus

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// abandonAfter is how long a call may take to notice that its context has ended. Most do at once; one that is stuck in
// a write to a peer that reads no more does not for half a minute.
const abandonAfter = 100 * time.Millisecond

// errAbandoned says that a call did not return when its context ended. It goes on by itself; nobody may use what it
// used.
var errAbandoned = errors.New("the call does not return")

// bounded runs one call on a generation: it ends with the caller's context, after bound, or with the
// generation, whether the SDK returns or not, and reports to the generation what it learnt about the connection.
// The caller's own stop comes back as the caller's cause; everything else as it came from the SDK. What an abandoned
// call returns in the end goes to late, which may be nil.
func bounded[T any](
	ctx context.Context, g *generation, bound time.Duration, call func(context.Context) (T, error), late func(T),
) (T, error) {
	if g.ctx.Err() != nil {
		var none T
		return none, context.Cause(g.ctx)
	}
	callCtx, end := context.WithTimeoutCause(ctx, bound, errNoAnswer) // the SDK reads its deadline
	defer end()
	v, err := abandonable(callCtx, end, g, call, late)
	switch {
	case err == nil:
		g.answered()
		return v, nil
	case ctx.Err() != nil && errors.Is(err, errAbandoned):
		g.home.noteFailure() // stuck, as on a connection that is dead; a stop is no strike
		return v, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	case ctx.Err() != nil && !errors.Is(err, errLinkLost): // a loss is one, whoever stops at the same time
		return v, context.Cause(ctx)
	case g.ctx.Err() != nil:
		return v, fmt.Errorf("%w: %w", context.Cause(g.ctx), err)
	case callCtx.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w: %w", context.Cause(callCtx), err)
		g.strike(g.home.silenceStrikes, err)
		return v, err
	case errors.Is(err, errSilence):
		return v, err
	}
	g.judge(err)
	return v, err
}

// judge acts on what an error says about the connection.
func (g *generation) judge(err error) {
	switch healthAfter(err) {
	case dead:
		g.fail(err)
	case doubtful:
		g.strike(doubtStrikes, err)
	case alive:
		g.answered()
	}
}

// abandonable runs a call in a goroutine of the client, which waits for all of them when it is closed. It ends the
// call's context with the generation: it waits here anyway, so that needs no context of its own.
func abandonable[T any](
	ctx context.Context, end context.CancelFunc, g *generation, call func(context.Context) (T, error), late func(T),
) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	g.home.spawn(func() {
		v, err := call(ctx)
		done <- result{v, err}
	})
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
	case <-g.ctx.Done():
		end()
	}
	timer := time.NewTimer(abandonAfter)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.v, r.err
	case <-timer.C:
	}
	if late != nil {
		g.home.spawn(func() {
			if r := <-done; r.err == nil {
				late(r.v)
			}
		})
	}
	var none T
	return none, fmt.Errorf("%w: %w", errAbandoned, ctx.Err())
}
