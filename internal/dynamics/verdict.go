package dynamics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// This file is the verdict table: what every way in which a call or an import can fail means for the file. It is total;
// its test walks all of it. Where a row departs from what one would guess, it says why.

// A kind is what a call is for, on which its verdict depends.
type kind int

const (
	kindEnqueue   kind = iota // the upload: its failure is the file's
	kindOData                 // a question about an import that F&O has: a wrong answer says nothing about the file
	kindConnector             // dequeue, download, ack: repeating them is harmless, F&O offers exports until acknowledged
)

// A ruling is one cell of the table.
type ruling struct {
	verdict failure.Verdict
	reason  failure.Reason
}

// ruleStatus rules on an HTTP status that is not the one wanted. For 2xx that means an answer that cannot be used. asked
// says that F&O named a time to wait (Retry-After).
func ruleStatus(k kind, status int, asked bool) ruling {
	switch {
	case status < 300:
		// 1xx never ends a call and 2xx with a strange body is not our protocol: a sign-in page, a proxy. F&O may still
		// have taken the file.
		return ruling{pick(k, failure.Unknown, failure.Retry, failure.Retry), failure.BadAnswer}
	case status < 400:
		return ruling{failure.Pause, failure.Redirected} // wrong host, on-premises, sign-in: true for everybody
	}
	switch status {
	case http.StatusBadRequest:
		// Two files at the same instant make F&O's own insert collide and answer 400; the same file passes later.
		return ruling{failure.Retry, failure.BadRequest}
	case http.StatusUnauthorized:
		return ruling{failure.Pause, failure.Unauthorized} // the caller has tried a fresh token already
	case http.StatusForbidden:
		return ruling{failure.Pause, failure.Forbidden}
	case http.StatusNotFound, http.StatusGone:
		// A wrong activity concerns the files of one route, so it must not close the gate for all. Reads about an import
		// name no activity: there the file is in F&O and only the question failed.
		return ruling{pick(k, failure.Reject, failure.Retry, failure.Reject), failure.NotFound}
	case http.StatusProxyAuthRequired:
		return ruling{failure.Pause, failure.Refused} // a proxy of ours: nobody gets through
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return ruling{failure.Retry, failure.Timeout} // the request was not taken in whole
	case http.StatusRequestEntityTooLarge:
		return ruling{pick(k, failure.Reject, failure.Retry, failure.Reject), failure.PayloadTooLarge}
	case http.StatusTooManyRequests:
		return ruling{failure.Pause, failure.Throttled}
	case http.StatusBadGateway:
		return ruling{failure.Retry, failure.BadGateway} // the gateway did not reach F&O
	case http.StatusServiceUnavailable:
		// With Retry-After F&O throttles. Without, the service is down: maintenance lasts hours, and no file should
		// use up its attempts on it.
		if asked {
			return ruling{failure.Pause, failure.Throttled}
		}
		return ruling{failure.Pause, failure.Unavailable}
	case http.StatusGatewayTimeout:
		// The gateway handed the whole upload to F&O and gave up waiting for the answer. F&O may well have taken it, so
		// this is not the plain retry that 500 and 502 are: repeating it unasked could import the file twice.
		return ruling{pick(k, failure.Unknown, failure.Retry, failure.Retry), failure.GatewayTimeout}
	}
	if status < 500 {
		return ruling{pick(k, failure.Reject, failure.Retry, failure.Reject), failure.Refused}
	}
	return ruling{failure.Retry, failure.ServerError}
}

// pick chooses by kind.
func pick(k kind, enqueue, odata, connector failure.Verdict) failure.Verdict {
	switch k {
	case kindEnqueue:
		return enqueue
	case kindOData:
		return odata
	default:
		return connector
	}
}

// ruleNetwork rules on a call that got no answer and whose body, if it is an upload, was not handed over in whole: F&O
// can have taken nothing.
func ruleNetwork(err error) ruling {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return ruling{failure.Pause, failure.NameNotResolved}
	}
	if isTLS(err) {
		return ruling{failure.Pause, failure.TLSFailed}
	}
	if _, ok := errors.AsType[*proxyError](err); ok {
		return ruling{failure.Pause, failure.ConnectionRefused}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		// Nobody there, whatever the words of the operating system. A firewall that drops packets shows as a timeout.
		if op.Timeout() {
			return ruling{failure.Pause, failure.Timeout}
		}
		return ruling{failure.Pause, failure.ConnectionRefused}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ruling{failure.Pause, failure.ConnectionRefused}
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return ruling{failure.Retry, failure.Timeout}
	}
	return ruling{failure.Retry, failure.ConnectionBroken} // reset, end of stream, broken pipe, and what we do not know
}

func isTLS(err error) bool {
	if errors.Is(err, http.ErrSchemeMismatch) { // plain HTTP where TLS was expected
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}

// ruleToken rules on a token that could not be had. Nobody can call F&O without one, so it always pauses; where the token
// service was not reached at all, the reason is the network's.
func ruleToken(err error) ruling {
	switch r := ruleNetwork(err); r.reason {
	case failure.NameNotResolved, failure.TLSFailed, failure.ConnectionRefused, failure.Timeout:
		return ruling{failure.Pause, r.reason}
	default:
		return ruling{failure.Pause, failure.TokenRefused}
	}
}

// ruleImport rules on a final status and the errors that came with it. ok is false for an import that did not fail.
//
// An import is repeated only when every record that failed did so for a passing reason. One record with bad data would
// fail again, and then the file would have been imported twice for nothing.
func ruleImport(s status.Status, errs []ExecutionError) (r ruling, ok bool) {
	if !s.Final() {
		return ruling{}, false
	}
	if r.verdict, r.reason, ok = s.Failure(); !ok {
		return ruling{}, false
	}
	for _, e := range errs {
		if !passing(e.Message) {
			return r, true
		}
	}
	if len(errs) > 0 {
		return ruling{failure.Retry, failure.ImportDeadlock}, true
	}
	return r, true
}

var dmfCode = regexp.MustCompile(`(?i)\b(?:DMF\d{3,4}|FF\d{3}|MAP\d{3})\b`)

// passingCodes are the errors of data management that a later attempt may not meet: deadlocks, locks, a database or a
// service that was not reached. DMF2025 is not among them: it is a missing column far more often than a collision.
// Source: Microsoft Learn, "Data management error descriptions".
var passingCodes = map[string]bool{
	"DMF042": true, "DMF1968": true, "DMF1995": true, "DMF1996": true, "DMF1997": true, "DMF2008": true,
	"DMF2028": true, "DMF2037": true, "DMF2039": true, "DMF2045": true, "DMF2048": true,
}

// passingWords are how F&O and its database word a collision of two imports. "The record already exists" is not here: it
// is a duplicate in the data as often as a collision.
var passingWords = []string{
	"deadlock",
	"update conflict",
	"updateconflict",
	"record has never been selected",
	"lock request time out",
}

// passing reports whether F&O's words name something that passes. A known code decides, else the words do.
func passing(message string) bool {
	codes := dmfCode.FindAllString(message, -1)
	for _, c := range codes {
		if !passingCodes[strings.ToUpper(c)] {
			return false
		}
	}
	if len(codes) > 0 {
		return true
	}
	low := strings.ToLower(message)
	for _, w := range passingWords {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}
