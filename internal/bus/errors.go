package bus

import (
	"context"
	"errors"
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
	// errWaited is the cause of the end of a long wait, which says nothing about the connection.
	errWaited = errors.New("nothing came within the wait")
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
