package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"

	"fnobridge/internal/config"
	"fnobridge/internal/failure"
)

func TestExitCodeOfEveryKindOfError(t *testing.T) {
	response := func(status int) error { return &azcore.ResponseError{StatusCode: status} }
	fno := func(r failure.Reason) error { return &failure.Failure{Reason: r} }
	for _, row := range []struct {
		err  error
		want exitCode
	}{
		{nil, exitOK},
		{errors.New("anything"), exitFailure},
		{usagef("wrong"), exitUsage},
		{config.Problems{{What: "wrong"}}, exitConfig},
		{exit(exitPartly, errors.New("some")), exitPartly},
		{advise(usagef("wrong"), "do this"), exitUsage},
		{response(http.StatusUnauthorized), exitAuthorization},
		{response(http.StatusForbidden), exitAuthorization},
		{response(http.StatusNotFound), exitNotFound},
		{response(http.StatusTooManyRequests), exitUnavailable},
		{response(http.StatusBadGateway), exitUnavailable},
		{response(http.StatusConflict), exitFailure},
		{&azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: http.StatusBadRequest}}, exitAuthorization},
		{&azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: http.StatusServiceUnavailable}}, exitUnavailable},
		{&azidentity.AuthenticationFailedError{}, exitUnavailable},
		{azidentity.NewCredentialUnavailableError("none"), exitAuthorization},
		{&azservicebus.Error{Code: azservicebus.CodeUnauthorizedAccess}, exitAuthorization},
		{&azservicebus.Error{Code: azservicebus.CodeNotFound}, exitNotFound},
		{&azservicebus.Error{Code: azservicebus.CodeConnectionLost}, exitUnavailable},
		{&azservicebus.Error{Code: azservicebus.CodeTimeout}, exitUnavailable},
		{&azservicebus.Error{Code: azservicebus.CodeLockLost}, exitFailure},
		{&amqp.Error{Condition: amqp.ErrCondUnauthorizedAccess}, exitAuthorization},
		{&amqp.Error{Condition: amqp.ErrCondNotFound}, exitNotFound},
		{&amqp.Error{Condition: "com.microsoft:server-busy"}, exitUnavailable},
		{&amqp.Error{Condition: amqp.ErrCondNotAllowed}, exitFailure},
		{&amqp.ConnError{}, exitUnavailable},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, exitUnavailable},
		{&net.DNSError{}, exitUnavailable},
		{&tls.CertificateVerificationError{}, exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
		{context.Canceled, exitFailure},
		{&fs.PathError{Op: "open", Path: "f", Err: fs.ErrNotExist}, exitFailure},
		{fno(failure.Unauthorized), exitAuthorization},
		{fno(failure.TokenRefused), exitAuthorization},
		{fno(failure.NotFound), exitNotFound},
		{fno(failure.Throttled), exitUnavailable},
		{fno(failure.NameNotResolved), exitUnavailable},
		{fno(failure.PackageInvalid), exitFailure},
	} {
		if got := codeOf(row.err); got != row.want {
			t.Errorf("%T %v: %d, want %d", row.err, row.err, got, row.want)
		}
		if row.err == nil {
			continue
		}
		if got := codeOf(fmt.Errorf("doing: %w", errors.Join(errors.New("and"), row.err))); got != row.want {
			t.Errorf("%T %v, wrapped: %d, want %d", row.err, row.err, got, row.want)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stderr: &stderr}
	code := a.report("bridge send", fmt.Errorf("send a.csv: %w", advise(&azservicebus.Error{Code: azservicebus.CodeNotFound}, "Check the name.")))
	if code != int(exitNotFound) || !strings.HasPrefix(stderr.String(), "bridge send: send a.csv: ") || !strings.HasSuffix(stderr.String(), "\nCheck the name.\n") {
		t.Errorf("code %d: %q", code, stderr.String())
	}
	stderr.Reset()
	if code := a.report("bridge send", exit(exitConfig, errReported)); code != int(exitConfig) || stderr.Len() > 0 {
		t.Errorf("code %d: %q, want silence about what was told already", code, stderr.String())
	}
}
