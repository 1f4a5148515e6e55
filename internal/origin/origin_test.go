package origin

import (
	"net/url"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyTLSAndThisMachineAreSafe(t *testing.T) {
	for address, want := range map[string]bool{
		"https://contoso.operations.dynamics.com": true, "http://contoso.operations.dynamics.com": false,
		"http://localhost:81": true, "http://LOCALHOST": true, "http://127.0.0.1": true, "http://127.9.9.9:1": true, "http://[::1]:80": true,
		"http://localhost.example": false, "http://10.0.0.1": false, "http://128.0.0.1": false, "http://": false, "ftp://localhost": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if Safe(u) != want {
			t.Errorf("%s is safe: %v", address, !want)
		}
	}
}

func TestAnOriginHasOneSpelling(t *testing.T) {
	for address, want := range map[string]string{
		"HTTPS://Contoso.Operations.Dynamics.com/": "https://contoso.operations.dynamics.com",
		"https://contoso.example:443/a?b#c":        "https://contoso.example",
		"https://user:secret@contoso.example:80/":  "https://contoso.example:80",
		"http://localhost:80":                      "http://localhost",
		"http://[::1]":                             "http://[::1]",
		"http://[::1]:8080/x":                      "http://[::1]:8080",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := Of(u).String(); got != want {
			t.Errorf("%s became %s, want %s", address, got, want)
		}
	}
}
