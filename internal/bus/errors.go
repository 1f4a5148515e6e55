package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
)

var (
	// ErrIdle says that no session with a message came within the wait: idle, not a failure.
	ErrIdle = errors.New("no session has work")
	// ErrLost says that the session is not ours any more, or that nobody can tell: drop the receiver, accept anew.
	ErrLost = errors.New("session lost")
	// ErrTaken says that another receiver owns the session that was asked for by its ID.
	ErrTaken = errors.New("the session is locked by another receiver")

	// Answers of the broker that another try does not change; see Final.

	// ErrNotFound says that there is no such entity.
	ErrNotFound = errors.New("no such queue or subscription")
	// ErrForbidden says that the right for it is missing.
	ErrForbidden = errors.New("access refused")
	// ErrNoSessions says that a session was asked for where there are none.
	ErrNoSessions = errors.New("the entity has no sessions")
	// ErrNeedSession says that a message without a session was sent to where all have one.
	ErrNeedSession = errors.New("the entity needs a session")
	// ErrLockLost says that somebody else may have the message by now: its lock has ended.
	ErrLockLost = errors.New("the message's lock is lost")

	// errNoAnswer is the cause of a call's own bound.
	errNoAnswer = errors.New("no answer within the bound of one call")
	// errLinkLost is what the SDK means with neither messages nor an error.
	errLinkLost = errors.New("the link was lost")
	// errSilence is the end of a wait in which nothing was heard: no failure, and no sign of life either.
	errSilence = errors.New("nothing came")
)

const (
	condTimeout    = amqp.ErrCond("com.microsoft:timeout")
	condTaken      = amqp.ErrCond("com.microsoft:session-cannot-be-locked")
	condConnForced = amqp.ErrCondConnectionForced
)

// health is what an error says about the connection it came over.
type health int

const (
	alive    health = iota // the broker answered, or somebody on our side gave up
	doubtful               // a link is gone, perhaps with its connection
	dead                   // there is no connection any more
)

// healthAfter judges an error of the SDK. CodeConnectionLost alone proves nothing: the SDK returns it for a detached link
// and for every answer of the broker that it does not know, and hides what is underneath (azservicebus v1.11.0,
// internal/errors.go). What a credential reports is never the connection's fault, whatever it wraps: without a token a
// new connection is no better.
func healthAfter(err error) health {
	if _, ok := errors.AsType[nonRetriable](err); ok {
		return alive
	}
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		if e.Code == azservicebus.CodeConnectionLost {
			return doubtful
		}
		return alive
	}
	if errors.Is(err, errLinkLost) {
		return doubtful
	}
	if _, ok := errors.AsType[*amqp.ConnError](err); ok {
		return dead
	}
	if _, ok := errors.AsType[*amqp.SessionError](err); ok { // leaks through while the connection goes down
		return dead
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok { // in no ConnError: the broker said so of a link
		if e.Condition == condConnForced {
			return dead
		}
		return alive
	}
	if errors.Is(err, context.DeadlineExceeded) { // which is a net.Error too, but only says that somebody waited
		return alive
	}
	// Not net.Error: syscall.Errno is one, and with it whatever goes wrong with a file.
	_, op := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	if op || dns || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return dead
	}
	return alive
}

// nonRetriable marks the errors of azidentity's credentials.
type nonRetriable interface {
	error
	NonRetriable()
}

// idle reports whether an accept ended because no session had a message.
func idle(err error) bool {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok && e.Code == azservicebus.CodeTimeout {
		return true
	}
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Condition == condTimeout
}

// Final reports whether an error is one that another try does not change: such an answer of the broker, settings that no
// client can be made of, or a Bus that is closed.
func Final(err error) bool {
	return slices.ContainsFunc([]error{
		ErrTaken, ErrNotFound, ErrForbidden, ErrNoSessions, ErrNeedSession, ErrLockLost, azservicebus.ErrMessageTooLarge,
		errConnect, errClosed,
	}, func(known error) bool { return errors.Is(err, known) })
}

var (
	byCondition = map[amqp.ErrCond]error{
		amqp.ErrCondNotFound: ErrNotFound, amqp.ErrCondUnauthorizedAccess: ErrForbidden, condTaken: ErrTaken,
		amqp.ErrCondMessageSizeExceeded: azservicebus.ErrMessageTooLarge, // the SDK says so of single messages only
	}
	byCode = map[azservicebus.Code]error{
		azservicebus.CodeLockLost: ErrLockLost, azservicebus.CodeNotFound: ErrNotFound,
		azservicebus.CodeUnauthorizedAccess: ErrForbidden,
	}
)

// named wraps such an answer in the error that says so. Every other error comes back as it is.
func named(err error) error {
	var known error
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		known = byCondition[e.Condition]
	}
	if e, ok := errors.AsType[*azservicebus.Error](err); ok && known == nil {
		known = byCode[e.Code]
	}
	if known == nil || Final(err) {
		return err
	}
	return fmt.Errorf("%w: %w", known, err)
}

// notAllowed reports the broker's word for "not this kind of receiver" and "not without a session".
func notAllowed(err error) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Condition == amqp.ErrCondNotAllowed
}

// sparesLink reports whether a link is as good as before after an error: it is about a message, or the end of a wait.
func sparesLink(err error) bool {
	answer := named(err)
	return errors.Is(err, errSilence) || errors.Is(answer, ErrLockLost) || errors.Is(answer, azservicebus.ErrMessageTooLarge)
}
