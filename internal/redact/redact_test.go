package redact

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// smuggled are texts with the word S3CR3T in a shape that has leaked somewhere before.
var smuggled = []string{
	"GET https://acct.blob.core.windows.net/in/a.csv?sv=2024-05-04&se=2026&sig=S3CR3T%3D failed",
	"https://acct.blob.core.windows.net/in/a.csv?anything=S3CR3T.",
	"(see https://user:S3CR3T@host.example/path)",
	"amqps://RootManage:S3CR3T@ns.servicebus.windows.net/queue",
	"/in/a.csv?sv=1&sig=S3CR3T",
	"HTTPS://HOST/x#access_token=S3CR3T",
	"Authorization: Bearer S3CR3TS3CR3T.abc-def",
	"authorization: basic UzNDUjNUS3CR3T==",
	"bearer S3CR3T12",
	"token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJTM0NSM1QifQ.S3CR3T_sig was refused",
	"token eyJhbGciOi.S3C.S3CR3T",
	"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=x;SharedAccessKey=S3CR3T=;EntityPath=q",
	"SharedAccessSignature sr=sb%3a%2f%2fns&sig=S3CR3T&se=1&skn=x",
	"SharedAccessSignature=a,S3CR3T}",
	"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=S3CR3T==;EndpointSuffix=core.windows.net",
	`{"client_secret": "S3CR3T with spaces", "error":"x"}`,
	"client_id=1&client_secret=S3CR3T&scope=x",
	"client_secret=a<S3CR3T",
	"client_assertion=S3CR3T",
	`"access_token":"S3CR3T"`, "refresh_token=S3CR3T", "Password: S3CR3T", "pwd='S3CR3T'", "x-functions-key: S3CR3T", "api-key=S3CR3T",
	"Ocp-Apim-Subscription-Key: S3CR3T",
}

func TestNoSecretIsLeft(t *testing.T) {
	for _, text := range smuggled {
		got := Text("before " + text + " after")
		if strings.Contains(got, "S3CR3T") {
			t.Errorf("%q became %q", text, got)
		}
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%q became %q: the words around it are gone", text, got)
		}
	}
}

func TestWhatIsLeftOfAText(t *testing.T) {
	for text, want := range map[string]string{
		`Get "https://x.blob.core.windows.net/a/b?sv=1&sig=abc%3D": EOF`:     `Get "https://x.blob.core.windows.net/a/b": EOF`,
		"amqps://ns.servicebus.windows.net/$cbs?x=1 and http://a?b":          "amqps://ns.servicebus.windows.net/$cbs and http://a",
		"Authorization: Bearer abcdefghijklmnop":                             "Authorization: [redacted]",
		"token eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiIxIn0.c2lnbmF0dXJl end":        "token [redacted] end",
		"Endpoint=sb://ns/;SharedAccessKeyName=k;SharedAccessKey=c2VjcmV0;x": "Endpoint=sb://ns/;SharedAccessKeyName=k;SharedAccessKey=[redacted];x",
		"client_id=1&client_secret=hunter2&x":                                "client_id=1&client_secret=[redacted]&x",
		"a https://h/p?q=1, b":                                               "a https://h/p b",
	} {
		if got := Text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsMeantForPeopleStays(t *testing.T) {
	for _, text := range []string{
		"record 479625, field CustGroupId: the value 'X' in field 'Key' is not found",
		"see https://contoso.operations.dynamics.com/data/Groups.",
		"see https://learn.microsoft.com/dynamics365",
		"(https://host.example/a/b)",
		"The basic currency must be set; bearer of the cheque: Mr. Smith",
		"Import-2026-11-20T21:04:05-319F6ED28C6D4756AC9F4D4E312DC4F9",
		"is it there? no",
		"What is the value? Really?",
		"Kunde „Müller“ nicht gefunden",
		"",
	} {
		if got := Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// What was redacted is clean: a second pass changes nothing.
func TestACleanTextComesBackAsItWas(t *testing.T) {
	words := append([]string{"key=", `"`, "?", "a b", "https://h/", "; x"}, smuggled...)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(words), 1, 6).Draw(t, "parts")
		once := Text(strings.Join(parts, " "))
		if twice := Text(once); twice != once {
			t.Fatalf("%q became %q", once, twice)
		}
	})
}

func TestLinksKeepOnlyWhatOpensThePage(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/?cmp=usmf&mi=DMF&token=x#frag":            "https://h/?cmp=usmf&mi=DMF",
		"https://u:p@h/?mi=action:Display":                   "https://h/?mi=action%3ADisplay",
		"https://h/?q=eyJhbGciOiJub25lIn0.eyJhIjoxfQ.abcdef": "https://h/",
		"javascript:alert(1)":                                "", "": "", "/relative?mi=x": "", "https://[": "",
	} {
		if got := Link(raw); got != want {
			t.Errorf("%q became %q, want %q", raw, got, want)
		}
	}
}
