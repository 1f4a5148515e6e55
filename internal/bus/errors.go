package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

var (
	// ErrIdle says that no session with a message came within the wait: idle, not a failure.
	ErrIdle = errors.New("no session has work")
	// ErrLost says that the session is not ours any more, or that nobody can tell: drop the receiver, accept anew.
	ErrLost = errors.New("session lost")
	// ErrTaken says that another receiver holds the session that was asked for by its ID.
	ErrTaken = errors.New("session is held by another receiver")
	// errStall is the cause of a call's own bound.
	errStall = errors.New("no answer within the bound of one call")
)

const (
	condTimeout    = amqp.ErrCond("com.microsoft:timeout")
	condTaken      = amqp.ErrCond("com.microsoft:session-cannot-be-locked")
	condConnForced = amqp.ErrCondConnectionForced
)

// connectionFailed reports whether err says that the connection, not just a link, is gone.
func connectionFailed(err error) bool {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok && e.Code == azservicebus.CodeConnectionLost {
		return true
	}
	if _, ok := errors.AsType[*amqp.ConnError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*amqp.SessionError](err); ok { // leaks through while the connection goes down
		return true
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Condition == condConnForced {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) { // which is a net.Error too, but only says that somebody waited
		return false
	}
	_, isNet := errors.AsType[net.Error](err)
	return isNet || errors.Is(err, io.EOF)
}

// idle reports whether an accept ended because no session had a message.
func idle(err error) bool {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok && e.Code == azservicebus.CodeTimeout {
		return true
	}
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Condition == condTimeout
}

func taken(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Condition == condTaken
}

// bounded runs one call on a generation: it ends with the caller's context, after the bound, or with the generation,
// and reports to the generation what it learnt about the connection. The caller's own stop comes back as the
// caller's cause; everything else as it came from the SDK.
func bounded(ctx context.Context, g *generation, bound func(context.Context) (context.Context, context.CancelFunc), call func(context.Context) error) error {
	ctx2, cancel := bound(ctx)
	defer cancel()
	ctx3, end := context.WithCancelCause(ctx2)
	defer end(nil)
	defer context.AfterFunc(g.ctx, func() { end(context.Cause(g.ctx)) })()

	err := call(ctx3)
	switch {
	case err == nil:
		g.answered()
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.ctx.Err() != nil:
		return fmt.Errorf("%w: %w", context.Cause(g.ctx), err)
	case ctx3.Err() != nil:
		err = fmt.Errorf("%w: %w", context.Cause(ctx3), err)
		if errors.Is(err, errStall) {
			g.stalled(err)
		}
		return err
	case connectionFailed(err):
		g.fail(err)
	default:
		g.answered()
	}
	return err
}
