package bustest

import (
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/internal/bus"
)

// named wraps an answer of the broker in the error that package bus has for it. Every other error comes back as it is.
func named(err error) error {
	refusal, ok := errors.AsType[*amqp.Error](err)
	if !ok {
		return err
	}
	known, ok := map[amqp.Symbol]error{
		amqp.NotFound: bus.ErrNotFound, amqp.SessionCannotBeLocked: bus.ErrTaken, amqp.MessageLockLost: bus.ErrLockLost,
		amqp.MessageSizeExceeded: azservicebus.ErrMessageTooLarge, amqp.Timeout: bus.ErrIdle,
	}[refusal.Condition]
	if !ok {
		return err
	}
	return fmt.Errorf("%w: %w", known, err)
}

// notAllowed reports the broker's word for "not this kind of receiver" and "not without a session".
func notAllowed(err error) bool { return answered(err, amqp.NotAllowed) }

// answered reports whether an error is that answer of the broker.
func answered(err error, condition amqp.Symbol) bool {
	refusal, ok := errors.AsType[*amqp.Error](err)
	return ok && refusal.Condition == condition
}
