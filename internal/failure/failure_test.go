package failure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCause = errors.New("connection reset")

func TestOf(t *testing.T) {
	f := &Failure{Verdict: Reject, Reason: NoRoute}
	if Of(nil) != nil || Of(f) != f || Of(fmt.Errorf("x: %w", f)) != f {
		t.Error("the failure in the chain is not found")
	}
	if got := Of(errCause); got.Verdict != Retry || got.Reason != Unclassified || !errors.Is(got, errCause) {
		t.Errorf("a plain error became %v: it must never reject", got)
	}
}

func TestErrorSaysEverything(t *testing.T) {
	f := &Failure{Verdict: Retry, Reason: ServerError, Op: "enqueue", Status: 500, Detail: "boom", Err: errCause}
	if want := "enqueue: ServerError (HTTP 500): boom: connection reset"; f.Error() != want {
		t.Errorf("%q, want %q", f.Error(), want)
	}
	if (&Failure{Reason: NoRoute}).Error() != "NoRoute" {
		t.Error("a bare reason")
	}
}

func TestStopped(t *testing.T) {
	errLease := errors.New("lease lost")
	live := t.Context()
	dead, cancel := context.WithCancelCause(live)
	cancel(errLease)
	for _, err := range []error{context.Canceled, errLease, &Failure{Err: errLease}, fmt.Errorf("x: %w", context.Canceled)} {
		if !Stopped(dead, err) || Stopped(live, err) {
			t.Errorf("%v: with a dead context %v, with a live one %v", err, Stopped(dead, err), Stopped(live, err))
		}
	}
	if Stopped(dead, nil) || Stopped(dead, errCause) || Stopped(dead, context.DeadlineExceeded) {
		t.Error("another error became a stop")
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for v := Undecided; v <= Unknown; v++ {
		if s := v.String(); s == "" || seen[s] {
			t.Errorf("verdict %d is called %q", v, s)
		} else {
			seen[s] = true
		}
	}
	if Verdict(99).String() != "undecided" {
		t.Error("a verdict that is none decides something")
	}
}

// The set is closed: every constant of reason.go is in Reasons, once.
func TestReasonsAreAll(t *testing.T) {
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\t(\w+)\s+Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	listed := map[Reason]int{}
	for _, r := range Reasons() {
		listed[r]++
	}
	for _, d := range declared {
		if d[1] != d[2] {
			t.Errorf("%s is called %q", d[1], d[2])
		}
		if listed[Reason(d[2])] != 1 {
			t.Errorf("%s is %d times in Reasons", d[2], listed[Reason(d[2])])
		}
	}
	if len(declared) != len(Reasons()) || len(declared) < 30 {
		t.Errorf("%d declared, %d listed", len(declared), len(Reasons()))
	}
}

func TestSecretsAreTakenOut(t *testing.T) {
	rows := map[string]string{
		`Get "https://x.blob.core.windows.net/a/b?sv=1&sig=abc%3D": EOF`:     `Get "https://x.blob.core.windows.net/a/b": EOF`,
		"amqps://ns.servicebus.windows.net/$cbs?x=1 and http://a?b":          "amqps://ns.servicebus.windows.net/$cbs and http://a",
		"Authorization: Bearer abcdefghijklmnop":                             "Authorization: Bearer [token]",
		"token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiIxIn0.c2lnbmF0dXJl end":        "token [token] end",
		"Endpoint=sb://ns/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;x": "Endpoint=sb://ns/;SharedAccessKeyName=k;SharedAccessKey=[removed];x",
		"client_id=1&client_secret=hunter2&x":                                "client_id=1&client_secret=[removed]&x",
		"What is the value? Really?":                                         "What is the value? Really?",
		"see https://learn.microsoft.com/dynamics365":                        "see https://learn.microsoft.com/dynamics365",
	}
	for in, want := range rows {
		if got := Redact(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		err := Scrub(errors.New(in))
		if err.Error() != want {
			t.Errorf("error %q", err)
		}
	}
	if Scrub(nil) != nil || Scrub(errCause) != errCause { //nolint:errorlint // the same error is the point, not one in its chain
		t.Error("an innocent error was touched")
	}
	inner := fmt.Errorf("https://x?sig=1: %w", errCause)
	if !errors.Is(Scrub(inner), errCause) || !errors.Is(Quiet("x", inner), errCause) {
		t.Error("the cause is lost")
	}
}

func TestTidyGivesOneLine(t *testing.T) {
	if got := Tidy(" a\r\n\tb\x00 \xff c\u2028d ", 100); got != "a b \ufffd c d" {
		t.Errorf("%q", got)
	}
}

func TestCutKeepsItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		limit := rapid.IntRange(0, 30).Draw(t, "limit")
		got := Cut(s, limit)
		if len(got) > limit || !utf8.ValidString(got) || len(s) <= limit && got != s {
			t.Fatalf("%q in %d bytes: %q", s, limit, got)
		}
		if len(s) > limit && limit >= 3 && !strings.HasSuffix(got, "…") {
			t.Fatalf("%q does not show that it was cut", got)
		}
	})
}
