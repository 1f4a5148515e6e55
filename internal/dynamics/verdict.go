package dynamics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"regexp"
	"slices"
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
	kindStatus                // a question about an import that F&O has: a wrong answer says nothing about the file
	kindExplain               // a question about an import that failed: nothing depends on its answer
	kindDequeue               // the next export of a job
	kindConnector             // download, ack: repeating them is harmless, F&O offers exports until acknowledged
)

// A ruling is one cell of the table.
type ruling struct {
	verdict failure.Verdict
	reason  failure.Reason
}

// An answered call is what the table needs to know of one that had an answer.
type answered struct {
	kind     kind
	status   int
	asked    bool // F&O named a time to wait (Retry-After)
	complete bool // the whole body had been handed to the connection when the answer came: F&O may have the file
}

// ruleStatus rules on an HTTP status that is not the one wanted. For 2xx that means an answer that cannot be used.
func ruleStatus(a answered) ruling {
	switch {
	case a.status < 300:
		// 1xx never ends a call and 2xx with a strange body is not our protocol: a sign-in page, a proxy. F&O may still
		// have taken the file.
		return ruling{a.doubtful(), failure.BadAnswer}
	case a.status < 400:
		return ruling{a.refusal(), failure.Redirected} // wrong host, on-premises, sign-in: true for everybody
	case a.status >= 500:
		return a.serverError()
	}
	switch a.status {
	case http.StatusBadRequest:
		// Two files at the same instant make F&O's own insert collide and answer 400; the same file passes later.
		return ruling{failure.Retry, failure.BadRequest}
	case http.StatusUnauthorized:
		return ruling{a.refusalOfJob(), failure.Unauthorized} // the caller has tried a fresh token already
	case http.StatusForbidden:
		return ruling{a.refusalOfJob(), failure.Forbidden}
	case http.StatusNotFound, http.StatusGone:
		if a.kind == kindEnqueue || a.kind == kindDequeue { // these name the job
			return ruling{failure.PauseJob, failure.NotFound}
		}
		return ruling{a.rejection(), failure.NotFound}
	case http.StatusProxyAuthRequired:
		return ruling{a.refusal(), failure.Refused} // a proxy of ours: nobody gets through
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return ruling{failure.Retry, failure.Timeout} // the request was not taken in whole
	case http.StatusRequestEntityTooLarge:
		return ruling{a.rejection(), failure.PayloadTooLarge}
	case http.StatusTooManyRequests:
		return ruling{failure.Pause, failure.Throttled}
	}
	return ruling{a.rejection(), failure.Refused}
}

// serverError rules on 5xx. A gateway answers so also when it has handed the whole upload to F&O and lost the
// connection behind it, or gave up waiting; and F&O itself when it failed after it had stored the file. Repeating that
// unasked could import the file twice.
func (a answered) serverError() ruling {
	switch a.status {
	case http.StatusBadGateway:
		return ruling{a.doubtful(), failure.BadGateway}
	case http.StatusGatewayTimeout:
		return ruling{a.doubtful(), failure.GatewayTimeout}
	case http.StatusServiceUnavailable:
		// With Retry-After F&O throttles. Without, the service is down: maintenance lasts hours, and no file should
		// use up its attempts on it.
		r := ruling{failure.Pause, failure.Unavailable}
		if a.asked {
			r.reason = failure.Throttled
		}
		if v := a.doubtful(); v == failure.Unknown {
			r.verdict = v
		}
		return r
	}
	return ruling{a.doubtful(), failure.ServerError}
}

// doubtful is the verdict on an answer that does not say whether F&O did what was asked.
func (a answered) doubtful() failure.Verdict {
	if a.kind == kindEnqueue && a.complete {
		return failure.Unknown
	}
	return failure.Retry
}

// refusal is the verdict on an answer that everybody would get. That somebody may not ask for the errors of an import
// stops nobody.
func (a answered) refusal() failure.Verdict {
	if a.kind == kindExplain {
		return failure.Retry
	}
	return failure.Pause
}

// refusalOfJob is the verdict on an answer that says that the client may not do this. F&O refuses by job, so it must
// not stop the others; status questions name no job.
func (a answered) refusalOfJob() failure.Verdict {
	switch a.kind {
	case kindStatus, kindExplain:
		return a.refusal()
	default:
		return failure.PauseJob
	}
}

// rejection is the verdict on an answer that no repetition changes. A question about an import fails without the file,
// which F&O has.
func (a answered) rejection() failure.Verdict {
	if a.kind == kindStatus || a.kind == kindExplain {
		return failure.Retry
	}
	return failure.Reject
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

// ruleToken rules on a token that could not be had. Nobody can call F&O without one, so it always pauses; where the
// token service was not reached at all, the reason is the network's.
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
// fail again, and then the file would have been imported twice for nothing. Nor is it repeated when the records are in
// and only the step after them failed; and when some may be in, only where a second import does no harm (repeatable).
func ruleImport(s status.Status, errs []ExecutionError, repeatable bool) (r ruling, ok bool) {
	if !s.Final() {
		return ruling{}, false
	}
	if r.verdict, r.reason, ok = s.Failure(); !ok {
		return ruling{}, false
	}
	if len(errs) == 0 || s == status.PostProcessingFailed || slices.ContainsFunc(errs, func(e ExecutionError) bool { return !passing(e.Message) }) {
		return r, true
	}
	if s == status.ProcessedWithErrors && !repeatable {
		return ruling{r.verdict, failure.ImportDeadlock}, true
	}
	return ruling{failure.Retry, failure.ImportDeadlock}, true
}

var dmfCode = regexp.MustCompile(`(?i)\b(?:DMF\d{3,4}|FF\d{3}|MAP\d{3})\b`)

// passingCodes are the errors of data management that a later attempt may not meet: deadlocks, locks, a database or a
// service that was not reached. DMF2025 is not among them: it is a missing column far more often than a collision.
// Source: Microsoft Learn, "Data management error descriptions".
var passingCodes = map[string]bool{
	"DMF042": true, "DMF1968": true, "DMF1995": true, "DMF1996": true, "DMF1997": true, "DMF2008": true,
	"DMF2028": true, "DMF2037": true, "DMF2039": true, "DMF2045": true, "DMF2048": true,
}

// passingWords are how F&O and its database word a collision of two imports. The bare word is not here: it may be part
// of the data. Nor is "The record already exists": it is a duplicate in the data as often as a collision.
var passingWords = []string{
	"deadlocked on lock", // SQL Server, error 1205
	"deadlock victim",
	"deadlock occurred",
	"caused a deadlock",
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
