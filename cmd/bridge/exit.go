package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"fnobridge/internal/config"
	"fnobridge/internal/failure"
)

// An exitCode is what the process tells its caller.
type exitCode int

// The exit codes. They are part of what the commands promise; README and `bridge --help` list them.
const (
	exitOK            exitCode = 0
	exitFailure       exitCode = 1 // anything else
	exitUsage         exitCode = 2 // unknown command, flag or argument
	exitConfig        exitCode = 3 // the configuration is wrong, or not there
	exitAuthorization exitCode = 4 // no token, or one that does not allow it
	exitNotFound      exitCode = 5 // the entity, message or job does not exist
	exitPartly        exitCode = 6 // some of several things failed
	exitUnavailable   exitCode = 7 // nobody answered, or asked to come back later
)

// exitError is an error with its exit code.
type exitError struct {
	code exitCode
	err  error
	hint string // what to do, on a line of its own
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exit returns err with an exit code.
func exit(code exitCode, err error) error { return &exitError{code: code, err: err} }

// advise returns err with a line that says what to do; the exit code is still found in err.
func advise(err error, hint string) error { return &exitError{code: codeOf(err), err: err, hint: hint} }

// usageError is an error in how the command was called.
type usageError struct {
	command string
	err     error
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef returns an error of usage.
func usagef(format string, args ...any) error { return usageError{err: fmt.Errorf(format, args...)} }

// errReported ends a command whose output has said already what failed.
var errReported = errors.New("reported")

// report writes an error for a person and returns the exit code.
func (a *app) report(command string, err error) int {
	if err == nil {
		return int(exitOK)
	}
	code := codeOf(err)
	if errors.Is(err, errReported) {
		return int(code)
	}
	name := strings.TrimSpace(command)
	if problems, ok := errors.AsType[config.Problems](err); ok { // each has its place already
		n := counted(len(problems), "problem")
		_, _ = fmt.Fprintf(a.stderr, "%s\n%s: %s in %s\n", problems, name, n, problems[0].File)
		return int(code)
	}
	_, _ = fmt.Fprintf(a.stderr, "%s: %s\n", name, strings.TrimSpace(err.Error())) // nobody to tell when stderr is gone
	if e, ok := errors.AsType[*exitError](err); ok && e.hint != "" {
		_, _ = fmt.Fprintln(a.stderr, e.hint)
	}
	if code == exitUsage {
		_, _ = fmt.Fprintf(a.stderr, "Run '%s --help' for usage.\n", name)
	}
	return int(code)
}

// codeOf classifies an error by its type or code, never by its text. The order matters: what says its code itself comes
// first, and what only looks like a network error last.
func codeOf(err error) exitCode {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[config.Problems](err); ok {
		return exitConfig
	}
	if f, ok := errors.AsType[*failure.Failure](err); ok {
		return codeOfReason(f.Reason)
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return codeOfStatus(e.StatusCode)
	}
	if e, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		if e.RawResponse == nil || e.RawResponse.StatusCode >= http.StatusInternalServerError {
			return exitUnavailable // the token service gave no answer, or none about the identity
		}
		return exitAuthorization
	}
	if _, ok := errors.AsType[*azidentity.AuthenticationRequiredError](err); ok {
		return exitAuthorization
	}
	if code := codeOfServiceBus(err); code != exitFailure {
		return code
	}
	if _, ok := errors.AsType[unusable](err); ok {
		return exitAuthorization
	}
	return exitFailure
}

// unusable is implemented by azidentity's errors for credentials that cannot be used here: they have no exported type,
// only this method.
type unusable interface {
	error
	NonRetriable()
}

func codeOfServiceBus(err error) exitCode {
	if e, ok := errors.AsType[*azservicebus.Error](err); ok {
		switch e.Code {
		case azservicebus.CodeUnauthorizedAccess:
			return exitAuthorization
		case azservicebus.CodeNotFound:
			return exitNotFound
		case azservicebus.CodeConnectionLost, azservicebus.CodeTimeout:
			return exitUnavailable
		}
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		switch e.Condition {
		case amqp.ErrCondUnauthorizedAccess:
			return exitAuthorization
		case amqp.ErrCondNotFound:
			return exitNotFound
		case "com.microsoft:server-busy", "com.microsoft:timeout", amqp.ErrCondConnectionForced:
			return exitUnavailable
		}
	}
	if _, ok := errors.AsType[*amqp.ConnError](err); ok {
		return exitUnavailable
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return exitUnavailable
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return exitFailure // a file; its errno looks like a net.Error
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return exitUnavailable
	}
	return exitFailure
}

func codeOfReason(r failure.Reason) exitCode {
	switch r {
	case failure.Unauthorized, failure.Forbidden, failure.TokenRefused:
		return exitAuthorization
	case failure.NotFound, failure.ClaimCheckMissing:
		return exitNotFound
	case failure.Throttled, failure.Unavailable, failure.BadGateway, failure.GatewayTimeout, failure.NameNotResolved,
		failure.TLSFailed, failure.ConnectionRefused, failure.ConnectionBroken, failure.Timeout, failure.UnknownOutcome:
		return exitUnavailable
	default:
		return exitFailure
	}
}

func codeOfStatus(status int) exitCode {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return exitAuthorization
	case status == http.StatusNotFound || status == http.StatusGone:
		return exitNotFound
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return exitUnavailable
	default:
		return exitFailure
	}
}
