package amqp

import "fmt"

// Error conditions of the specification and of Service Bus.
const (
	InternalError         Symbol = "amqp:internal-error"
	NotFound              Symbol = "amqp:not-found"
	UnauthorizedAccess    Symbol = "amqp:unauthorized-access"
	DecodeError           Symbol = "amqp:decode-error"
	ResourceLimitExceeded Symbol = "amqp:resource-limit-exceeded"
	NotAllowed            Symbol = "amqp:not-allowed"
	InvalidField          Symbol = "amqp:invalid-field"
	NotImplemented        Symbol = "amqp:not-implemented"
	ResourceLocked        Symbol = "amqp:resource-locked"
	PreconditionFailed    Symbol = "amqp:precondition-failed"
	ResourceDeleted       Symbol = "amqp:resource-deleted"
	FrameSizeTooSmall     Symbol = "amqp:frame-size-too-small"
	ConnectionForced      Symbol = "amqp:connection:forced"
	FramingError          Symbol = "amqp:connection:framing-error"
	WindowViolation       Symbol = "amqp:session:window-violation"
	HandleInUse           Symbol = "amqp:session:handle-in-use"
	UnattachedHandle      Symbol = "amqp:session:unattached-handle"
	DetachForced          Symbol = "amqp:link:detach-forced"
	TransferLimitExceeded Symbol = "amqp:link:transfer-limit-exceeded"
	MessageSizeExceeded   Symbol = "amqp:link:message-size-exceeded"

	ServerBusy            Symbol = "com.microsoft:server-busy"
	Timeout               Symbol = "com.microsoft:timeout"
	ArgumentError         Symbol = "com.microsoft:argument-error"
	EntityDisabled        Symbol = "com.microsoft:entity-disabled"
	MessageLockLost       Symbol = "com.microsoft:message-lock-lost"
	MessageNotFound       Symbol = "com.microsoft:message-not-found"
	SessionLockLost       Symbol = "com.microsoft:session-lock-lost"
	SessionCannotBeLocked Symbol = "com.microsoft:session-cannot-be-locked"
	OperationCancelled    Symbol = "com.microsoft:operation-cancelled"
	DeadLetter            Symbol = "com.microsoft:dead-letter"
	EntityAlreadyExists   Symbol = "com.microsoft:entity-already-exists"
)

// Error is an AMQP error; it is a Go error as well.
type Error struct {
	Condition   Symbol
	Description string
	Info        Map
}

// Errorf builds an Error.
func Errorf(condition Symbol, format string, args ...any) *Error {
	return &Error{Condition: condition, Description: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string { return string(e.Condition) + ": " + e.Description }

func (f *fields) error() *Error {
	code, sub, ok := f.described()
	if !ok {
		return nil
	}
	if code != codeError {
		f.fail(malformed("error wanted, descriptor 0x%x found", code))
		return nil
	}
	e := &Error{Condition: Symbol(sub.string()), Description: sub.string(), Info: sub.mapValue()}
	f.fail(sub.err)
	return e
}

func (l *list) error(e *Error) {
	if e == nil {
		l.null()
		return
	}
	l.field()
	sub := beginList(l.b, codeError)
	sub.symbol(e.Condition)
	if e.Description != "" {
		sub.string(e.Description)
	} else {
		sub.null()
	}
	sub.mapOrNull(e.Info)
	l.b = sub.end()
}
