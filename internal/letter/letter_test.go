package letter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fnobridge/internal/failure"
)

func full() Letter {
	at := time.Date(2026, 11, 20, 22, 4, 5, 6e6, time.FixedZone("CET", 3600))
	return Letter{
		Reason: failure.ProcessedWithErrors, Description: "record 479625, field CustGroupId: the value 'X' is not found",
		Attempts: 3, FirstAttempt: at, LastAttempt: at.Add(time.Minute), HTTPStatus: 500, FnoMessageID: "2fd2c2a1", ExecutionID: "Groups-2026-11-20T21:04:05-319F",
		Environment: "prod", Activity: "8f6d", Entity: "Customer groups", Company: "usmf",
		SummaryURL: "https://contoso.operations.dynamics.com/?cmp=usmf&mi=DMFExecutionHistoryWorkspace&q=abc&sig=topsecretvalue", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Route: "groups",
		SequenceNumber: 17, Errors: "all of the errors",
	}
}

func TestLetterSaysWhatHappenedAndWhatToDo(t *testing.T) {
	o := full().Options(t.Context(), nil)
	if *o.Reason != "ProcessedWithErrors" {
		t.Fatalf("reason %q", *o.Reason)
	}
	for _, want := range []string{
		"ProcessedWithErrors at prod, entity Customer groups, company usmf, route groups, HTTP 500, after 3 attempts.",
		"record 479625, field CustGroupId", "all of the errors", "What to do: F&O imported the file with errors", "Execution: Groups-2026-11-20T21:04:05-319F",
	} {
		if !strings.Contains(*o.ErrorDescription, want) {
			t.Errorf("the description does not say %q:\n%s", want, *o.ErrorDescription)
		}
	}
	for name, want := range map[string]any{
		PropAttempts: int64(3), PropFirstAttempt: "2026-11-20T21:04:05.006Z", PropLastAttempt: "2026-11-20T21:05:05.006Z", PropHTTPStatus: int64(500),
		PropFnoMessageID: "2fd2c2a1", PropExecutionID: "Groups-2026-11-20T21:04:05-319F", PropEnvironment: "prod", PropActivity: "8f6d",
		PropEntity: "Customer groups", PropCompany: "usmf", PropTraceID: "4bf92f3577b34da6a3ce929d0e0e4736", PropRoute: "groups",
		PropSequenceNumber: int64(17), PropErrors: "all of the errors",
		PropSummaryURL: "https://contoso.operations.dynamics.com/?cmp=usmf&mi=DMFExecutionHistoryWorkspace&q=abc",
	} {
		if o.PropertiesToModify[name] != want {
			t.Errorf("%s = %v, want %v", name, o.PropertiesToModify[name], want)
		}
	}
}

func TestLetterWithNothingButAReason(t *testing.T) {
	o := Letter{Reason: failure.EmptyBody}.Options(t.Context(), nil)
	if len(o.PropertiesToModify) != 0 || !strings.HasPrefix(*o.ErrorDescription, "EmptyBody.\nWhat to do: ") {
		t.Fatalf("%v %q", o.PropertiesToModify, *o.ErrorDescription)
	}
	if o := (Letter{}).Options(t.Context(), nil); *o.Reason != string(failure.Unclassified) {
		t.Fatalf("a letter without a reason became %q", *o.Reason)
	}
}

func TestAdviceIsTotal(t *testing.T) {
	general := Advice("of another program")
	seen := map[string]failure.Reason{}
	for _, r := range failure.Reasons() {
		a := Advice(r)
		if a == general || len(a) < 40 || len(a) > 400 {
			t.Errorf("%s: advice %q", r, a)
		}
		if before, ok := seen[a]; ok {
			t.Errorf("%s and %s have the same advice", r, before)
		}
		seen[a] = r
	}
	for r := range advices {
		if !slices.Contains(failure.Reasons(), r) {
			t.Errorf("advice for %s, which is no reason", r)
		}
	}
}

func TestWhatWasSaidComesBeforeWhatToCheck(t *testing.T) {
	check := Check(failure.Throttled)
	for said, want := range map[string]string{"": check, "slow down": "slow down. " + check, "Slow down.\n": "Slow down. " + check} {
		if got := Explain(failure.Throttled, said); got != want {
			t.Errorf("%q became %q", said, got)
		}
	}
	if got := Explain("Weather", "it rains"); got != "it rains" {
		t.Errorf("a reason that nobody knows: %q", got)
	}
}

func TestDescriptionIsBoundedAndKeepsTheAdvice(t *testing.T) {
	for _, size := range []int{0, 100, 3000, 3500, 4000, 5000, 20_000} {
		for _, unit := range []string{"x", "ü", "漢", "🚚"} {
			l := full()
			l.Description = strings.Repeat(unit, size)
			l.Environment = strings.Repeat("e", 500)
			l.ExecutionID = strings.Repeat("i", 5000)
			d := *l.Options(t.Context(), nil).ErrorDescription
			if len(d) > 4096 || !utf8.ValidString(d) || !strings.Contains(d, "What to do: ") {
				t.Fatalf("%d times %s: %d bytes, valid %v", size, unit, len(d), utf8.ValidString(d))
			}
			if size >= 5000 && !strings.Contains(d, "[cut: ") {
				t.Fatal("cut without a note")
			}
		}
	}
}

type store struct {
	names []string
	got   []byte
	err   error
}

func (s *store) Put(_ context.Context, name string, content []byte) (string, error) {
	s.names, s.got = append(s.names, name), content
	return "https://acct.blob.core.windows.net/errors/" + name, s.err
}

func TestLongErrorsGoToTheOverflow(t *testing.T) {
	long := strings.Repeat("record 1: the value is not found\n", 1000) + "access_token=abcdefghijkl"
	l := full()
	l.Errors = long

	s := &store{}
	o := l.Options(t.Context(), s)
	url := o.PropertiesToModify[PropErrorsURL]
	if len(s.names) != 1 || url != "https://acct.blob.core.windows.net/errors/"+s.names[0] {
		t.Fatalf("stored as %v, linked as %v", s.names, url)
	}
	if strings.Contains(string(s.got), "abcdefghijkl") || len(s.got) < 30_000 {
		t.Fatalf("stored %d bytes, or the secret", len(s.got))
	}
	l.Options(t.Context(), s)
	if s.names[0] != s.names[1] {
		t.Fatal("the same errors are stored under two names")
	}

	for name, o := range map[string]Overflow{"none": nil, "failing": &store{err: errors.New("403 for https://acct/x?sig=verysecret")}} {
		p := l.Options(t.Context(), o).PropertiesToModify
		text := p[PropErrors].(string)
		if p[PropErrorsURL] != nil || len(text) > 8<<10 || !strings.Contains(text, fmt.Sprintf("[cut: %d bytes in all]", len(s.got))) {
			t.Errorf("%s: %d bytes, url %v", name, len(text), p[PropErrorsURL])
		}
		if strings.Contains(text, "verysecret") || (o != nil) != strings.Contains(text, "not stored: 403 for https://acct/x]") {
			t.Errorf("%s: ends with %q", name, text[len(text)-100:])
		}
	}

	l.Errors, s.names = "short", nil
	if l.Options(t.Context(), s); len(s.names) != 0 {
		t.Fatal("stored what fits into a property")
	}
}

// The page has a row with the same words for every reason; a failure shows the row to write.
func TestTheOperatorsPageHasTheSameWords(t *testing.T) {
	page, err := os.ReadFile("../../docs/deadletter.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range failure.Reasons() {
		row := fmt.Sprintf("| `%s` | %s | %s |\n", r, advices[r].check, advices[r].then)
		if !strings.Contains(string(page), "\n"+row) {
			t.Errorf("docs/deadletter.md has no such row:\n%s", row)
		}
	}
}

// Whatever field a secret comes in, it does not go out. The shapes of secrets are package redact's.
func TestNoSecretReachesADeadLetter(t *testing.T) {
	for _, text := range []string{
		"GET https://acct.blob.core.windows.net/in/a.csv?sv=2024-05-04&sig=S3CR3T%3D failed", "Authorization: Bearer S3CR3TS3CR3T.abc-def",
		"SharedAccessKey=S3CR3T=;EntityPath=q", `{"client_secret": "S3CR3T with spaces"}`,
	} {
		var l Letter
		v := reflect.ValueOf(&l).Elem() // every field that is text, also those somebody adds later
		for _, field := range v.Fields() {
			if field.Kind() == reflect.String {
				field.SetString(text)
			}
		}
		l.Reason, l.FirstAttempt = failure.ServerError, time.Now()
		l.Errors = text + strings.Repeat("\nharmless", 1200) + text
		s := &store{err: fmt.Errorf("put: %s", text)}
		for range 2 {
			all, err := json.Marshal(l.Options(t.Context(), s))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(all), "S3CR3T") || strings.Contains(string(s.got), "S3CR3T") {
				t.Errorf("%q reaches the dead letter", text)
			}
			s.err = nil
		}
	}
}
