package dynamics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	anActivity  = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	aMessageID  = "7b0e1c52-0d3e-4a51-8f7e-0c9a4bb1f001"
	secretToken = "eyJsecretsecret.payload.signature" //nolint:gosec // G101: a token nobody takes; the tests look for it in errors
)

// A fakeCredential gives numbered tokens, so that a test sees which one was sent.
type fakeCredential struct {
	life  time.Duration
	calls atomic.Int64
	mu    sync.Mutex
	asked []policy.TokenRequestOptions
	get   func(ctx context.Context, n int64, o policy.TokenRequestOptions) (azcore.AccessToken, error) // default: a new token each time
}

func (c *fakeCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	n := c.calls.Add(1)
	c.mu.Lock()
	c.asked = append(c.asked, o)
	c.mu.Unlock()
	if c.get != nil {
		return c.get(ctx, n, o)
	}
	life := c.life
	if life == 0 {
		life = time.Hour
	}
	return azcore.AccessToken{Token: fmt.Sprintf("%s-%d", secretToken, n), ExpiresOn: time.Now().Add(life)}, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer returns a response as a transport would.
func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// newEnvironment returns a client of url, or of a fake host when a transport is given.
func newEnvironment(t *testing.T, o Options) *Environment {
	t.Helper()
	if o.URL == "" {
		o.URL = "https://contoso.operations.dynamics.com"
	}
	if o.Credential == nil {
		o.Credential = &fakeCredential{}
	}
	if o.StatusCalls == 0 {
		o.StatusCalls = 1000
	}
	if o.Transport == nil {
		transport := NewTransport()
		t.Cleanup(transport.CloseIdleConnections)
		o.Transport = transport
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// serve starts a server on loopback and a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Environment {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newEnvironment(t, Options{URL: s.URL})
}

// aFile returns a file whose openings are counted.
func aFile(content string) (File, *atomic.Int64) {
	var opened atomic.Int64
	return File{
		Activity:   anActivity,
		Entity:     "Customer groups",
		ExternalID: "m-1",
		Size:       int64(len(content)),
		Open: func(context.Context) (io.ReadCloser, error) {
			opened.Add(1)
			return io.NopCloser(strings.NewReader(content)), nil
		},
	}, &opened
}

// failed asserts verdict and reason, and that no secret is in the words.
func failed(t *testing.T, err error, v failure.Verdict, r failure.Reason) failure.Failure {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v %s", v, r)
	}
	f, ok := err.(*failure.Failure) //nolint:errorlint // the promise is the type itself, not something in its chain
	if !ok {
		t.Fatalf("%T is not a *failure.Failure: %v", err, err)
	}
	if f.Verdict != v || f.Reason != r {
		t.Errorf("%v %s, want %v %s: %v", f.Verdict, f.Reason, v, r, f)
	}
	for _, s := range []string{f.Error(), f.Detail} {
		if strings.Contains(s, "eyJsecret") || strings.Contains(s, "?entity=") || strings.Contains(s, "sig=") {
			t.Errorf("a secret or a query in: %s", s)
		}
	}
	return *f
}

var errBoom = errors.New("boom")

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// elapse lets time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }
