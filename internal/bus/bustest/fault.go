package bustest

import (
	"context"
	"time"
)

// An Op is a kind of call.
type Op string

// The kinds of calls.
const (
	OpAccept     Op = "accept"
	OpAcceptByID Op = "accept by id"
	OpReceive    Op = "receive"
	OpDeferred   Op = "receive deferred"
	OpPeek       Op = "peek"
	OpComplete   Op = "complete"
	OpAbandon    Op = "abandon"
	OpDeadLetter Op = "dead-letter"
	OpRenew      Op = "renew"
	OpGetState   Op = "get state"
	OpSetState   Op = "set state"
	OpSend       Op = "send"
	OpSessions   Op = "list sessions"
)

// A Call is one call on the broker.
type Call struct {
	Op      Op
	Address string // of a queue or topic, a subscription, or the sub-queue of one
	Session string // whose session it is made on; "" for none, and for an accept of the next one
	By      *Client
	N       int // of all calls on this broker; the first is 0
}

// A Fault is what goes wrong with one call. The zero value is no fault.
type Fault struct {
	First func()        // happens before the call, for example a lock is taken away; may be nil
	Then  func(Call)    // happens once it took effect; told of the session that an accept got; may be nil
	Delay time.Duration // on top of the broker's
	Skip  bool          // the call takes no effect
	Err   error         // what the caller hears in place of the answer
	Hang  bool          // no effect, and no answer before the bound of the call
}

// do makes one call with its fault. effect is the call itself.
func (c *Client) do(ctx context.Context, call *Call, bound time.Duration, effect func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	call.By = c
	f := c.b.fault(call)
	switch {
	case !c.Alive():
		return ErrKilled
	case f.Hang && !c.wait(ctx, bound):
		return c.interrupted(ctx)
	case f.Hang:
		return context.DeadlineExceeded
	}
	if f.First != nil {
		f.First()
	}
	if f.Delay > 0 && !c.wait(ctx, f.Delay) {
		return c.interrupted(ctx)
	}
	if f.Skip {
		return f.Err
	}
	if c.b.Delay > 0 && !c.wait(ctx, c.b.Delay) {
		return c.interrupted(ctx)
	}
	if !c.Alive() {
		return ErrKilled
	}
	err := effect()
	if err == nil && f.Then != nil {
		f.Then(*call)
	}
	if f.Err != nil {
		return f.Err
	}
	return err
}

// fault counts a call and returns what goes wrong with it.
func (b *Broker) fault(call *Call) Fault {
	b.mu.Lock()
	call.N = b.called
	b.called++
	b.calls[call.Op]++
	b.mu.Unlock()
	if b.Fault == nil {
		return Fault{}
	}
	return b.Fault(*call)
}

// wait reports whether d passed before ctx ended or the process died.
func (c *Client) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-c.dead:
	}
	return false
}

// interrupted returns why a wait was cut short.
func (c *Client) interrupted(ctx context.Context) error {
	if !c.Alive() {
		return ErrKilled
	}
	return context.Cause(ctx)
}
