package telemetry

import (
	"context"
	"errors"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"fnobridge/internal/failure"
)

// The types of errors that are not named by somebody else.
const (
	canceled = "canceled" // the caller stopped waiting: not a failure
	timeout  = "timeout"
)

// errorType names an error in few words: the reason of a Failure, the code of a Service Bus error, the condition of
// an AMQP error, the code or status of an Azure HTTP error. Never its text, which may be long and may be secret.
func errorType(ctx context.Context, err error) string {
	if f, ok := errors.AsType[*failure.Failure](err); ok {
		return string(f.Reason)
	}
	// An ended context says why in its cause: a lost lease is not a stop.
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	if e, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err); ok {
		return e.ErrorType()
	}
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		return string(e.Code)
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Condition != "" {
		return string(e.Condition)
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		if e.ErrorCode != "" {
			return e.ErrorCode
		}
		return strconv.Itoa(e.StatusCode)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return canceled
	case errors.Is(err, context.DeadlineExceeded):
		return timeout
	}
	if e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && e.Timeout() {
		return timeout
	}
	return semconv.ErrorType(err).Value.AsString() // the Go type of the innermost error
}
