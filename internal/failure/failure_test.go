package failure

import (
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
	if got := (&Failure{Reason: Timeout, Op: "enqueue", Detail: errCause.Error(), Err: errCause}).Error(); got != "enqueue: Timeout: connection reset" {
		t.Errorf("%q: the same words twice", got)
	}
	if (&Failure{Reason: NoRoute}).Error() != "NoRoute" {
		t.Error("a bare reason")
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

func TestScrubKeepsTheCause(t *testing.T) {
	if Scrub(nil) != nil || Scrub(errCause) != errCause { //nolint:errorlint // the same error is the point, not one in its chain
		t.Error("an innocent error was touched")
	}
	inner := fmt.Errorf(`get "https://x?sig=1": %w`, errCause)
	if got := Scrub(inner); got.Error() != `get "https://x": connection reset` || !errors.Is(got, errCause) {
		t.Errorf("%v", got)
	}
	if got := Quiet("other words", inner); got.Error() != "other words" || !errors.Is(got, errCause) {
		t.Errorf("%v", got)
	}
}

func TestTidyGivesOneLine(t *testing.T) {
	if got := Tidy(" a\r\n\tb\x00 \xff c\u2028d https://h/?sig=1 ", 100); got != "a b \ufffd c d https://h/" {
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
