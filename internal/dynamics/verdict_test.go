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
	rows := []struct {
		from, to                  int
		enqueue, odata, connector failure.Verdict
		reason                    failure.Reason
	}{
		{100, 299, unsure, retry, retry, failure.BadAnswer},
		{300, 399, pause, pause, pause, failure.Redirected},
		{400, 400, retry, retry, retry, failure.BadRequest},
		{401, 401, pause, pause, pause, failure.Unauthorized},
		{402, 402, reject, retry, reject, failure.Refused},
		{403, 403, pause, pause, pause, failure.Forbidden},
		{404, 404, reject, retry, reject, failure.NotFound},
		{405, 406, reject, retry, reject, failure.Refused},
		{407, 407, pause, pause, pause, failure.Refused},
		{408, 408, retry, retry, retry, failure.Timeout},
		{409, 409, reject, retry, reject, failure.Refused},
		{410, 410, reject, retry, reject, failure.NotFound},
		{411, 412, reject, retry, reject, failure.Refused},
		{413, 413, reject, retry, reject, failure.PayloadTooLarge},
		{414, 424, reject, retry, reject, failure.Refused},
		{425, 425, retry, retry, retry, failure.Timeout},
		{426, 428, reject, retry, reject, failure.Refused},
		{429, 429, pause, pause, pause, failure.Throttled},
		{430, 499, reject, retry, reject, failure.Refused},
		{500, 501, retry, retry, retry, failure.ServerError},
		{502, 502, retry, retry, retry, failure.BadGateway},
		{503, 503, pause, pause, pause, failure.Unavailable}, // with Retry-After: Throttled, below
		{504, 504, unsure, retry, retry, failure.GatewayTimeout},
		{505, 599, retry, retry, retry, failure.ServerError},
	}
	next := 100
	for _, r := range rows {
		if r.from != next {
			t.Fatalf("the table of this test has a hole or an overlap at %d", next)
		}
		next = r.to + 1
		for status := r.from; status <= r.to; status++ {
			for _, asked := range []bool{false, true} {
				want := r.reason
				if status == 503 && asked {
					want = failure.Throttled
				}
				for k, v := range map[kind]failure.Verdict{kindEnqueue: r.enqueue, kindOData: r.odata, kindConnector: r.connector} {
					got := ruleStatus(k, status, asked)
					if got != (ruling{v, want}) {
						t.Errorf("kind %d, HTTP %d, Retry-After %v: %v %s, want %v %s", k, status, asked, got.verdict, got.reason, v, want)
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
		for _, k := range []kind{kindOData, kindConnector} {
			if got := ruleStatus(k, status, false); got.verdict == failure.Unknown || got.verdict == failure.Undecided {
				t.Errorf("kind %d, HTTP %d: %v", k, status, got.verdict)
			}
		}
		if got := ruleStatus(kindOData, status, false); got.verdict == failure.Reject {
			t.Errorf("a question about an import ends in a rejection of the file at HTTP %d", status)
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
	rows := []struct {
		state status.Status
		errs  []ExecutionError
		want  ruling
		ok    bool
	}{
		{"", nil, ruling{}, false},
		{status.Enqueued, nil, ruling{}, false},
		{status.Dequeued, nil, ruling{}, false},
		{status.PreProcessing, nil, ruling{}, false},
		{status.Processing, nil, ruling{}, false},
		{status.Unrecognised, nil, ruling{}, false},
		{status.Processed, nil, ruling{}, false},
		{status.Processed, []ExecutionError{data}, ruling{}, false},
		{status.ProcessedWithErrors, nil, ruling{failure.Reject, failure.ProcessedWithErrors}, true},
		{status.ProcessedWithErrors, []ExecutionError{data}, ruling{failure.Reject, failure.ProcessedWithErrors}, true},
		{status.ProcessedWithErrors, []ExecutionError{deadlock}, ruling{failure.Retry, failure.ImportDeadlock}, true},
		{status.ProcessedWithErrors, []ExecutionError{deadlock, data}, ruling{failure.Reject, failure.ProcessedWithErrors}, true},
		{status.PreProcessingError, nil, ruling{failure.Reject, failure.PreProcessingError}, true},
		{status.PreProcessingError, []ExecutionError{deadlock}, ruling{failure.Retry, failure.ImportDeadlock}, true},
		{status.PostProcessingFailed, nil, ruling{failure.Reject, failure.PostProcessingFailed}, true},
		{status.PostProcessingFailed, []ExecutionError{data, data}, ruling{failure.Reject, failure.PostProcessingFailed}, true},
	}
	for _, r := range rows {
		got, ok := ruleImport(r.state, r.errs)
		if got != r.want || ok != r.ok {
			t.Errorf("%q with %d errors: %v %v, want %v %v", r.state, len(r.errs), got, ok, r.want, r.ok)
		}
		f := ImportFailure(Status{State: r.state, Raw: string(r.state)}, r.errs)
		if (f != nil) != r.ok || f != nil && (f.Verdict != r.want.verdict || f.Detail == "") {
			t.Errorf("%q: failure %v", r.state, f)
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
			f := ImportFailure(read, nil)
			if (f != nil) != bad || f != nil && (f.Verdict != verdict || f.Reason != reason) {
				t.Errorf("%q: %v, want %v %s", word, f, verdict, reason)
			}
			if f := ImportFailure(read, passing); bad && (f == nil || f.Verdict != failure.Retry || f.Reason != failure.ImportDeadlock) {
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
		"DMF1996 and then DMF2018":                 false,
		"DMF2018: near a deadlock":                 false,
		"DMF9999: a deadlock":                      false,
		"The record already exists.":               false,
		"The value '10' in field 'Customer group'": false,
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
		if r := ruleStatus(kindEnqueue, status, false); !slices.Contains(known, r.reason) {
			t.Errorf("HTTP %d: %q", status, r.reason)
		}
	}
}
