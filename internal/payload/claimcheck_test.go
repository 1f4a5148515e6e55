package payload

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhereAClaimCheckMayPoint(t *testing.T) {
	containers := []string{
		"https://acct.blob.core.windows.net/inbound",
		"https://Other.blob.core.windows.net:443/in/deep/",
		"http://127.0.0.1:10000/devstoreaccount1/inbound",
		"not a url",
	}
	good := map[string]string{
		"https://acct.blob.core.windows.net/inbound/a.csv":                  "https://acct.blob.core.windows.net/inbound/a.csv",
		"https://ACCT.blob.core.windows.net:443/inbound/x/y/a.csv":          "https://acct.blob.core.windows.net/inbound/x/y/a.csv",
		"https://acct.blob.core.windows.net/inbound/Gr%C3%B6%C3%9Fe+1%2525": "https://acct.blob.core.windows.net/inbound/Gr%C3%B6%C3%9Fe+1%2525",
		"https://acct.blob.core.windows.net/inbound/%252e%252e/a":           "https://acct.blob.core.windows.net/inbound/%252e%252e/a", // a name, not a step up
		"https://acct.blob.core.windows.net/inbound/..a":                    "https://acct.blob.core.windows.net/inbound/..a",
		"https://other.blob.core.windows.net/in/deep/a":                     "https://other.blob.core.windows.net/in/deep/a",
		"http://127.0.0.1:10000/devstoreaccount1/inbound/a":                 "http://127.0.0.1:10000/devstoreaccount1/inbound/a",
	}
	for in, want := range good {
		if u, err := resolve(in, containers); err != nil || u.String() != want {
			t.Errorf("%s: %v %v, want %s", in, u, err, want)
		}
	}
	bad := []string{
		"", "a.csv", "/inbound/a.csv", "inbound/a.csv", "file:///inbound/a", "mailto:x@y", "https:///inbound/a", "https://acct.blob.core.windows.net",
		"https://acct.blob.core.windows.net/inbound", "https://acct.blob.core.windows.net/inbound/",
		"https://acct.blob.core.windows.net/inbound2/a", "https://acct.blob.core.windows.net/Inbound/a", "https://acct.blob.core.windows.net/inbounda",
		"https://acct.blob.core.windows.net/other/a", "https://acct.blob.core.windows.net//inbound/a", "https://acct.blob.core.windows.net/inbound//a",
		"https://acct.blob.core.windows.net/inbound/../other/a", "https://acct.blob.core.windows.net/inbound/./a", "https://acct.blob.core.windows.net/inbound/x/..",
		"https://acct.blob.core.windows.net/inbound/%2e%2e/other/a", "https://acct.blob.core.windows.net/inbound/%2E%2E%2Fother/a", `https://acct.blob.core.windows.net/inbound/..\other\a`,
		"https://acct.blob.core.windows.net/inbound%2f..%2fother/a", "https://acct.blob.core.windows.net/inbound/a%00b", "https://acct.blob.core.windows.net/inbound/a%0d%0ax",
		"https://acct.blob.core.windows.net/inbound/a?sv=1&sig=x", "https://acct.blob.core.windows.net/inbound/a?", "https://acct.blob.core.windows.net/inbound/a#x", "https://acct.blob.core.windows.net/inbound/a#",
		"https://u:p@acct.blob.core.windows.net/inbound/a", "https://acct.blob.core.windows.net@evil.example/inbound/a", "https://evil.example/inbound/a",
		"https://acct.blob.core.windows.net.evil.example/inbound/a", "https://acct.blob.core.windows.net./inbound/a", "https://acct.blob.core.windows.net:8443/inbound/a",
		"http://acct.blob.core.windows.net/inbound/a", "http://127.0.0.1:10001/devstoreaccount1/inbound/a", "http://localhost:10000/devstoreaccount1/inbound/a", "https://127.0.0.1:10000/devstoreaccount1/inbound/a",
		"https://[::1", "%",
	}
	for _, in := range bad {
		if u, err := resolve(in, containers); err == nil {
			t.Errorf("%s: leads to %s", in, u)
		} else if strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "sig=") {
			t.Errorf("%s is quoted: %v", in, err)
		}
	}
}

func TestNoClaimCheckLeadsOutOfItsContainer(t *testing.T) {
	const container = "https://acct.blob.core.windows.net/inbound"
	pieces := []string{"/", "..", ".", "%2e", "%2E%2e", "%2f", `\`, "%5c", "a", "inbound", "other", "?", "#", "@", ":", "//", "%00", "%", "é", "+", " "}
	rapid.Check(t, func(t *rapid.T) {
		ref := "https://acct.blob.core.windows.net" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
		u, err := resolve(ref, []string{container})
		if err != nil {
			return
		}
		again, err := resolve(u.String(), []string{container})
		if err != nil || again.String() != u.String() || !strings.HasPrefix(u.String(), container+"/") || strings.Contains(u.Path, "/../") {
			t.Fatalf("%s leads to %s", ref, u)
		}
	})
}
