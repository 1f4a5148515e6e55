package deadletter

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/failure"
)

// Each text smuggles the word S3CR3T in a shape that has leaked somewhere before.
var smuggled = []string{
	"GET https://acct.blob.core.windows.net/in/a.csv?sv=2024-05-04&se=2026&sig=S3CR3T%3D failed",
	"https://acct.blob.core.windows.net/in/a.csv?anything=S3CR3T.",
	"(see https://user:S3CR3T@host.example/path)",
	"amqps://RootManage:S3CR3T@ns.servicebus.windows.net/queue",
	"/in/a.csv?sv=1&sig=S3CR3T",
	"HTTPS://HOST/x#access_token=S3CR3T",
	"Authorization: Bearer S3CR3TS3CR3T.abc-def",
	"authorization: basic UzNDUjNUS3CR3T==",
	"token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJTM0NSM1QifQ.S3CR3T_sig was refused",
	"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=x;SharedAccessKey=S3CR3T=;EntityPath=q",
	"SharedAccessSignature sr=sb%3a%2f%2fns&sig=S3CR3T&se=1&skn=x",
	"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=S3CR3T==;EndpointSuffix=core.windows.net",
	`{"client_secret": "S3CR3T with spaces", "error":"x"}`,
	"client_id=1&client_secret=S3CR3T&scope=x",
	"client_assertion=S3CR3T",
	`"access_token":"S3CR3T"`, "refresh_token=S3CR3T", "Password: S3CR3T", "pwd='S3CR3T'", "x-functions-key: S3CR3T", "api-key=S3CR3T",
	"Ocp-Apim-Subscription-Key: S3CR3T",
}

func TestNoSecretReachesADeadLetter(t *testing.T) {
	for _, text := range smuggled {
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
			o := l.Options(t.Context(), s)
			all, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(all), "S3CR3T") || strings.Contains(string(s.got), "S3CR3T") {
				t.Errorf("%q reaches the dead letter: ...%s", text, tail(string(all)))
			}
			s.err = nil
		}
	}
}

// tail shows where the secret stands, not the kilobytes around it.
func tail(s string) string {
	i := strings.LastIndex(s, "S3CR3T")
	return s[max(i-60, 0):min(i+20, len(s))]
}

func TestScrubLeavesWhatIsMeantForPeople(t *testing.T) {
	for _, text := range []string{
		"record 479625, field CustGroupId: the value 'X' in field 'Key' is not found",
		"see https://contoso.operations.dynamics.com/data/Groups.",
		"(https://host.example/a/b)",
		"The basic currency must be set; bearer of the cheque: Mr. Smith",
		"Import-2026-11-20T21:04:05-319F6ED28C6D4756AC9F4D4E312DC4F9",
		"is it there? no",
		"Kunde „Müller“ nicht gefunden",
		"",
	} {
		if got := scrub(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := scrub("a https://h/p?q=1, b"); got != "a https://h/p b" {
		t.Errorf("got %q", got)
	}
}

func TestLinksKeepOnlyWhatOpensThePage(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/?cmp=usmf&mi=DMF&token=x#frag":            "https://h/?cmp=usmf&mi=DMF",
		"https://u:p@h/?mi=action:Display":                   "https://h/?mi=action%3ADisplay",
		"https://h/?q=eyJhbGciOiJub25lIn0.eyJhIjoxfQ.abcdef": "https://h/",
		"javascript:alert(1)":                                "", "": "", "/relative?mi=x": "", "https://[": "",
	} {
		if got := scrubLink(raw); got != want {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}
