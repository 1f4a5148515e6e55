package dynamics

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"fnobridge/internal/failure"
)

func TestTheURLOfAnEnvironment(t *testing.T) {
	good := map[string]string{
		"https://contoso.operations.dynamics.com":       "https://contoso.operations.dynamics.com",
		" https://CONTOSO.operations.dynamics.com/ ":    "https://contoso.operations.dynamics.com",
		"https://contoso.operations.dynamics.com:443//": "https://contoso.operations.dynamics.com",
		"https://contoso.operations.dynamics.com:8443":  "https://contoso.operations.dynamics.com:8443",
		"http://127.0.0.1:8080":                         "http://127.0.0.1:8080",
		"http://localhost:8080/":                        "http://localhost:8080",
		"http://[::1]:8080":                             "http://[::1]:8080",
		"https://[::1]":                                 "https://[::1]",
	}
	for in, want := range good {
		e, err := New(Options{Name: "prod", URL: in, Credential: &fakeCredential{}})
		if err != nil || e.base.String() != want || e.tokens.scope != want+"/.default" || e.Name() != "prod" {
			t.Errorf("%q: %v, %v", in, e, err)
		}
	}
	bad := []string{
		"", "contoso", "https://", "http://contoso.operations.dynamics.com", "https://u:p@contoso.operations.dynamics.com", "ftp://127.0.0.1",
		"https://contoso.operations.dynamics.com/data", "https://contoso.operations.dynamics.com?x=1", "https://contoso.operations.dynamics.com/#x", "http://127.0.0.1.evil.example", "%",
	}
	for _, in := range bad {
		if _, err := New(Options{URL: in, Credential: &fakeCredential{}}); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
	if _, err := New(Options{URL: "https://x"}); err == nil {
		t.Error("no credential was taken")
	}
	for _, o := range []Options{{Timeout: -1}, {Requests: -1}, {StatusCalls: -1}} {
		o.URL, o.Credential = "https://x", &fakeCredential{}
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestTheWorldAsItIs(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a call over an untrusted connection") }))
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = discardLog()
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("plain HTTP reached a handler") }))
	defer plain.Close()

	rows := []struct {
		name, url string
		reason    failure.Reason
	}{
		{"nobody listens", "http://" + refused, failure.ConnectionRefused},
		{"untrusted certificate", secure.URL, failure.TLSFailed},
		{"plain HTTP where TLS is expected", strings.Replace(plain.URL, "http:", "https:", 1), failure.TLSFailed},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			e := newEnvironment(t, Options{URL: r.url})
			f, _ := aFile("x")
			_, err := e.Enqueue(t.Context(), f)
			got := failed(t, err, failure.Pause, r.reason)
			if got.Detail == "" {
				t.Error("no word on what to do")
			}
			_, err = e.Dequeue(t.Context(), anActivity)
			failed(t, err, failure.Pause, r.reason)
		})
	}
}

func TestTheTransportSpeaksTLS12AndHTTP1(t *testing.T) {
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11} //nolint:gosec // G402: the old version is the point
	old.Config.ErrorLog = discardLog()
	old.StartTLS()
	defer old.Close()
	modern := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	modern.EnableHTTP2 = true
	modern.StartTLS()
	defer modern.Close()

	transport := NewTransport()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // G402: the certificate is not what is tested
	get := func(url string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer drain(resp.Body)
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	if _, err := get(old.URL); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	if proto, err := get(modern.URL); proto != "HTTP/1.1" {
		t.Errorf("%q %v", proto, err)
	}
}

func TestAProxyThatRefusesPauses(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Authorization") != "" {
			t.Errorf("the proxy saw %s %v", r.Method, r.Header)
		}
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := NewTransport()
	defer transport.CloseIdleConnections()
	transport.Proxy = http.ProxyURL(u)
	e := newEnvironment(t, Options{Transport: transport})
	f, _ := aFile("x")
	_, err = e.Enqueue(t.Context(), f)
	if got := failed(t, err, failure.Pause, failure.ConnectionRefused); !strings.Contains(got.Error(), "407") {
		t.Errorf("%v", got)
	}
}
