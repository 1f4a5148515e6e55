package dynamics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

func TestEveryStatusHasItsVerdict(t *testing.T) {
	const (
		retry  = failure.Retry
		reject = failure.Reject
		pause  = failure.Pause
		unsure = failure.Unknown
	)
	const job = failure.PauseJob
	rows := []struct {
		from, to                                       int
		before, after, status, explain, dequeue, other failure.Verdict // an enqueue before and after the whole body was sent
		reason                                         failure.Reason
	}{
		{100, 299, retry, unsure, retry, retry, retry, retry, failure.BadAnswer},
		{300, 399, pause, pause, pause, retry, pause, pause, failure.Redirected},
		{400, 400, retry, retry, retry, retry, retry, retry, failure.BadRequest},
		{401, 401, job, job, pause, retry, job, job, failure.Unauthorized},
		{402, 402, reject, reject, retry, retry, reject, reject, failure.Refused},
		{403, 403, job, job, pause, retry, job, job, failure.Forbidden},
		{404, 404, job, job, retry, retry, job, reject, failure.NotFound},
		{405, 406, reject, reject, retry, retry, reject, reject, failure.Refused},
		{407, 407, pause, pause, pause, retry, pause, pause, failure.Refused},
		{408, 408, retry, retry, retry, retry, retry, retry, failure.Timeout},
		{409, 409, reject, reject, retry, retry, reject, reject, failure.Refused},
		{410, 410, job, job, retry, retry, job, reject, failure.NotFound},
		{411, 412, reject, reject, retry, retry, reject, reject, failure.Refused},
		{413, 413, reject, reject, retry, retry, reject, reject, failure.PayloadTooLarge},
		{414, 424, reject, reject, retry, retry, reject, reject, failure.Refused},
		{425, 425, retry, retry, retry, retry, retry, retry, failure.Timeout},
		{426, 428, reject, reject, retry, retry, reject, reject, failure.Refused},
		{429, 429, pause, pause, pause, pause, pause, pause, failure.Throttled},
		{430, 499, reject, reject, retry, retry, reject, reject, failure.Refused},
		{500, 501, retry, unsure, retry, retry, retry, retry, failure.ServerError},
		{502, 502, retry, unsure, retry, retry, retry, retry, failure.BadGateway},
		{503, 503, pause, unsure, pause, pause, pause, pause, failure.Unavailable}, // with Retry-After: Throttled, below
		{504, 504, retry, unsure, retry, retry, retry, retry, failure.GatewayTimeout},
		{505, 599, retry, unsure, retry, retry, retry, retry, failure.ServerError},
	}
	next := 100
	for _, r := range rows {
		if r.from != next {
			t.Fatalf("the table of this test has a hole or an overlap at %d", next)
		}
		next = r.to + 1
		for _, status := range []int{r.from, (r.from + r.to) / 2, r.to} {
			for _, asked := range []bool{false, true} {
				want := r.reason
				if status == 503 && asked {
					want = failure.Throttled
				}
				for a, v := range map[answered]failure.Verdict{
					{kind: kindEnqueue}: r.before, {kind: kindEnqueue, complete: true}: r.after,
					{kind: kindStatus}: r.status, {kind: kindStatus, complete: true}: r.status,
					{kind: kindExplain}: r.explain, {kind: kindExplain, complete: true}: r.explain,
					{kind: kindDequeue}: r.dequeue, {kind: kindConnector, complete: true}: r.other,
				} {
					a.status, a.asked = status, asked
					if got := ruleStatus(a); got != (ruling{v, want}) {
						t.Errorf("%+v: %v %s, want %v %s", a, got.verdict, got.reason, v, want)
					}
				}
			}
		}
	}
	if next != 600 {
		t.Fatalf("the table of this test ends at %d", next-1)
	}
}

func TestOnlyAnEnqueueCanHaveAnUnknownOutcome(t *testing.T) {
	for status := 100; status < 600; status++ {
		for _, k := range []kind{kindStatus, kindExplain, kindDequeue, kindConnector} {
			if got := ruleStatus(answered{kind: k, status: status, complete: true}); got.verdict == failure.Unknown || got.verdict == failure.Undecided {
				t.Errorf("kind %d, HTTP %d: %v", k, status, got.verdict)
			}
		}
		for _, k := range []kind{kindStatus, kindExplain} {
			if got := ruleStatus(answered{kind: k, status: status}); got.verdict == failure.Reject || got.verdict == failure.PauseJob {
				t.Errorf("a question about an import ends in %v of the file at HTTP %d", got.verdict, status)
			}
		}
	}
}

// A timeout as net reports it.
type netTimeout struct{}

func (netTimeout) Error() string   { return "i/o timeout" }
func (netTimeout) Timeout() bool   { return true }
func (netTimeout) Temporary() bool { return true }

// networkRows are all classes of network errors, in the wrapping in which net/http hands them out.
var networkRows = []struct {
	name    string
	err     error
	verdict failure.Verdict
	reason  failure.Reason
	token   failure.Reason // the reason when it is the token that could not be had; the verdict is then always Pause
}{
	{"no such host", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "contoso", IsNotFound: true}}, failure.Pause, failure.NameNotResolved, failure.NameNotResolved},
	{"DNS timeout", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", IsTimeout: true}}, failure.Pause, failure.NameNotResolved, failure.NameNotResolved},
	{"refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, failure.Pause, failure.ConnectionRefused, failure.ConnectionRefused},
	{"refused, no dial around it", fmt.Errorf("call: %w", syscall.ECONNREFUSED), failure.Pause, failure.ConnectionRefused, failure.ConnectionRefused},
	{"host unreachable", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, failure.Pause, failure.ConnectionRefused, failure.ConnectionRefused},
	{"dial timeout", &net.OpError{Op: "dial", Err: netTimeout{}}, failure.Pause, failure.Timeout, failure.Timeout},
	{"proxy not reached", &net.OpError{Op: "proxyconnect", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, failure.Pause, failure.ConnectionRefused, failure.ConnectionRefused},
	{"proxy refuses", fmt.Errorf("connect: %w", &proxyError{407}), failure.Pause, failure.ConnectionRefused, failure.ConnectionRefused},
	{"unknown authority", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"bare unknown authority", x509.UnknownAuthorityError{}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"wrong host in certificate", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "contoso"}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"expired certificate", x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"handshake alert", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"not TLS", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"plain HTTP", http.ErrSchemeMismatch, failure.Pause, failure.TLSFailed, failure.TLSFailed},
	{"read timeout", &net.OpError{Op: "read", Err: netTimeout{}}, failure.Retry, failure.Timeout, failure.Timeout},
	{"deadline", fmt.Errorf("call: %w", context.DeadlineExceeded), failure.Retry, failure.Timeout, failure.Timeout},
	{"our own timeout", errCallTimeout, failure.Retry, failure.Timeout, failure.Timeout},
	{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, failure.Retry, failure.ConnectionBroken, failure.TokenRefused},
	{"broken pipe", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, failure.Retry, failure.ConnectionBroken, failure.TokenRefused},
	{"end of stream", io.EOF, failure.Retry, failure.ConnectionBroken, failure.TokenRefused},
	{"cut short", io.ErrUnexpectedEOF, failure.Retry, failure.ConnectionBroken, failure.TokenRefused},
	{"anything else", errors.New("http: something new"), failure.Retry, failure.ConnectionBroken, failure.TokenRefused},
}

func TestEveryNetworkErrorHasItsVerdict(t *testing.T) {
	for _, row := range networkRows {
		if got := ruleNetwork(row.err); got != (ruling{row.verdict, row.reason}) {
			t.Errorf("%s: %v %s, want %v %s", row.name, got.verdict, got.reason, row.verdict, row.reason)
		}
		if got := ruleToken(row.err); got != (ruling{failure.Pause, row.token}) {
			t.Errorf("%s, of the token service: %v %s, want pause %s", row.name, got.verdict, got.reason, row.token)
		}
	}
}

func TestEveryFinalStatusHasItsVerdict(t *testing.T) {
	deadlock := ExecutionError{Message: "DMF1996: a deadlock occurred"}
	data := ExecutionError{Message: "The value 'X' in field 'Y' is not found in the related table"}
	none := ruling{}
	again := ruling{failure.Retry, failure.ImportDeadlock}
	partly := ruling{failure.Reject, failure.ImportDeadlock}
	bad := ruling{failure.Reject, failure.ProcessedWithErrors}
	unread := ruling{failure.Reject, failure.PreProcessingError}
	after := ruling{failure.Reject, failure.PostProcessingFailed}
	rows := []struct {
		state              status.Status
		errs               []ExecutionError
		otherwise, allowed ruling // as usual, and where a second import does no harm
	}{
		{"", nil, none, none},
		{status.Enqueued, nil, none, none},
		{status.Dequeued, nil, none, none},
		{status.PreProcessing, nil, none, none},
		{status.Processing, nil, none, none},
		{status.Unrecognised, nil, none, none},
		{status.Processed, nil, none, none},
		{status.Processed, []ExecutionError{data}, none, none},
		{status.ProcessedWithErrors, nil, bad, bad},
		{status.ProcessedWithErrors, []ExecutionError{data}, bad, bad},
		{status.ProcessedWithErrors, []ExecutionError{deadlock}, partly, again},
		{status.ProcessedWithErrors, []ExecutionError{deadlock, data}, bad, bad},
		{status.PreProcessingError, nil, unread, unread},
		{status.PreProcessingError, []ExecutionError{deadlock}, again, again},
		{status.PostProcessingFailed, nil, after, after},
		{status.PostProcessingFailed, []ExecutionError{data, data}, after, after},
		{status.PostProcessingFailed, []ExecutionError{deadlock}, after, after}, // the records are in
	}
	for _, r := range rows {
		for repeatable, want := range map[bool]ruling{false: r.otherwise, true: r.allowed} {
			got, ok := ruleImport(r.state, r.errs, repeatable)
			if got != want || ok != (want != none) {
				t.Errorf("%q with %d errors, repeatable %v: %v %v, want %v", r.state, len(r.errs), repeatable, got, ok, want)
			}
			f := ImportFailure(Status{State: r.state, Raw: string(r.state)}, r.errs, repeatable)
			if (f != nil) != ok || f != nil && (f.Verdict != want.verdict || f.Detail == "") {
				t.Errorf("%q: failure %v", r.state, f)
			}
		}
	}
}

// What an import's end means is what the table of statuses says, for a row that is added tomorrow, too.
func TestTheVerdictOnAnImportIsTheTables(t *testing.T) {
	passing := []ExecutionError{{Message: "DMF1996: a deadlock occurred"}}
	for _, s := range status.All() {
		verdict, reason, _ := s.Failure()
		bad := s.Final() && s != status.Processed
		for _, word := range s.Spellings() {
			read := ParseStatus(word)
			if read.State != s || read.Final() != s.Final() {
				t.Errorf("%q is %+v, want %s", word, read, s)
			}
			f := ImportFailure(read, nil, false)
			if (f != nil) != bad || f != nil && (f.Verdict != verdict || f.Reason != reason) {
				t.Errorf("%q: %v, want %v %s", word, f, verdict, reason)
			}
			f = ImportFailure(read, passing, true)
			if again := bad && s != status.PostProcessingFailed; again != (f != nil && f.Verdict == failure.Retry) {
				t.Errorf("%q after a deadlock: %v", word, f)
			}
		}
	}
}

func TestDataManagementErrorsThatPass(t *testing.T) {
	passes := map[string]bool{
		"DMF042": true, "dmf1968: timeout": true, "DMF1995": true, "Error DMF1996.": true, "DMF1997": true, "DMF2008": true,
		"DMF2028": true, "DMF2037": true, "DMF2039": true, "DMF2045": true, "DMF2048": true,
		"Transaction (Process ID 71) was deadlocked on lock resources with another process": true,
		"An update conflict occurred due to another user process":                           true,
		"Cannot select a record. The record has never been selected.":                       true,
		"Lock request time out period exceeded":                                             true,

		"DMF1855": false, "DMF2018": false, "DMF2022": false, "DMF2025": false, "DMF2053": false, "FF004": false, "MAP011": false,
		"DMF1996 and then DMF2018": false,
		"DMF2018: near a deadlock": false,
		"DMF9999: a deadlock":      false,
		"The value 'Deadlock Gym Ltd' in field 'Customer' is not found": false,
		"The record already exists.":                                    false,
		"The value '10' in field 'Customer group'":                      false,
		"": false,
	}
	for message, want := range passes {
		if got := passing(message); got != want {
			t.Errorf("%q passes: %v, want %v", message, got, want)
		}
	}
}

func TestReasonsComeFromTheClosedSet(t *testing.T) {
	known := failure.Reasons()
	for status := 100; status < 600; status++ {
		if r := ruleStatus(answered{kind: kindEnqueue, status: status}); !slices.Contains(known, r.reason) {
			t.Errorf("HTTP %d: %q", status, r.reason)
		}
	}
}
