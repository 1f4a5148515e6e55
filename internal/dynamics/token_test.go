package dynamics

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func TestATokenIsKeptAndReplacedAheadOfItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{life: time.Hour}
		tk := newTokens(c, "https://x/.default")
		get := func() string {
			s, err := tk.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := get()
		elapse(time.Hour - tokenEarly - time.Second)
		if get() != first || c.calls.Load() != 1 {
			t.Errorf("%d fetches while the token holds", c.calls.Load())
		}
		elapse(time.Second)
		if get() == first {
			t.Error("not replaced ahead of its end")
		}
		if got := c.asked[0]; len(got.Scopes) != 1 || got.Scopes[0] != "https://x/.default" || got.Claims != "" {
			t.Errorf("asked for %+v", got)
		}
	})
}

func TestAShortLivedTokenIsNotFetchedForEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{life: time.Minute}
		tk := newTokens(c, "s")
		for range 60 {
			if _, err := tk.get(t.Context()); err != nil {
				t.Fatal(err)
			}
			elapse(time.Second)
		}
		if n := c.calls.Load(); n != 2 {
			t.Errorf("%d fetches in a minute, want 2", n)
		}
	})
}

func TestTheCredentialsOwnHintIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{get: func(_ context.Context, n int64, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: strings.Repeat("t", int(n)), ExpiresOn: time.Now().Add(24 * time.Hour), RefreshOn: time.Now().Add(time.Hour)}, nil
		}}
		tk := newTokens(c, "s")
		for range 3 {
			_, _ = tk.get(t.Context())
			elapse(time.Hour)
		}
		if c.calls.Load() != 3 {
			t.Errorf("%d fetches, want one an hour", c.calls.Load())
		}
	})
}

func TestAFailedReplacementLeavesTheOldTokenInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{get: func(_ context.Context, n int64, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
			if n > 1 {
				return azcore.AccessToken{}, errBoom
			}
			return azcore.AccessToken{Token: "old", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}}
		tk := newTokens(c, "s")
		_, _ = tk.get(t.Context())
		elapse(time.Hour - tokenEarly)
		for range 10 {
			if s, err := tk.get(t.Context()); s != "old" || err != nil {
				t.Errorf("%q %v", s, err)
			}
		}
		if c.calls.Load() != 2 {
			t.Errorf("%d fetches, want no hammering", c.calls.Load())
		}
		elapse(tokenEarly)
		if _, err := tk.get(t.Context()); !errors.Is(err, errBoom) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestOneFetchForAll(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := &fakeCredential{get: func(context.Context, int64, policy.TokenRequestOptions) (azcore.AccessToken, error) {
				elapse(time.Second)
				if fails {
					return azcore.AccessToken{}, errBoom
				}
				return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
			}}
			tk := newTokens(c, "s")
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if s, err := tk.get(t.Context()); fails != errors.Is(err, errBoom) || !fails && s != "t" {
						t.Errorf("%q %v", s, err)
					}
				})
			}
			wg.Wait()
			if c.calls.Load() != 1 {
				t.Errorf("%d fetches", c.calls.Load())
			}
		})
	}
}

func TestWhoWaitsTakesOverFromAFetcherThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{get: func(ctx context.Context, n int64, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
			if n == 1 {
				<-ctx.Done()
				return azcore.AccessToken{}, ctx.Err()
			}
			return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}}
		tk := newTokens(c, "s")
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error), make(chan error)
		go func() { _, err := tk.get(ctx); first <- err }()
		synctest.Wait()
		go func() { _, err := tk.get(t.Context()); second <- err }()
		synctest.Wait()
		cancel()
		if err := <-first; !failure.IsStop(err) {
			t.Errorf("the one that went away: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("the one that waited: %v", err)
		}
	})
}

func TestARefusedTokenIsNotGivenAgain(t *testing.T) {
	c := &fakeCredential{}
	tk := newTokens(c, "s")
	first, _ := tk.get(t.Context())
	second, err := tk.renew(t.Context(), first, "")
	if err != nil || second == first {
		t.Fatalf("%q %v", second, err)
	}
	// Another call that was refused with the first token finds the second there already.
	if again, _ := tk.renew(t.Context(), first, ""); again != second || c.calls.Load() != 2 {
		t.Errorf("%q after %d fetches", again, c.calls.Load())
	}
}

func TestAClaimsChallengeIsPassedOn(t *testing.T) {
	claims := `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	challenge := `Bearer realm="", error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(claims)) + `"`
	if got := claimsOf(challenge); got != claims {
		t.Errorf("claims %q", got)
	}
	for _, s := range []string{"", "Bearer", `Bearer claims=""`, `Bearer claims="%%"`, `Bearer claims="a"`} {
		if got := claimsOf(s); got != "" {
			t.Errorf("%q gives claims %q", s, got)
		}
	}
}

func TestNoTokenPausesTheEnvironment(t *testing.T) {
	refusal := func(status int, body string, header ...string) error {
		return authenticationFailed(t, answer(status, body, header...))
	}
	rows := map[string]struct {
		err    error
		reason failure.Reason
		says   string
		after  time.Duration
	}{
		"refused by Entra ID": {
			refusal(401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1\r\nTimestamp: 2"}`, "Content-Type", "application/json"),
			failure.TokenRefused, "AADSTS7000215: Invalid client secret provided", 0,
		},
		"throttled by Entra ID":      {refusal(429, `{"error":"temporarily_unavailable"}`, "Retry-After", "5"), failure.TokenRefused, "temporarily_unavailable", 5 * time.Second},
		"no credential available":    {azidentity.NewCredentialUnavailableError("ManagedIdentityCredential: no endpoint"), failure.TokenRefused, "ManagedIdentityCredential: no endpoint", 0},
		"the service is not reached": {networkRows[0].err, failure.NameNotResolved, "no such host", 0},
		"an error with a secret":     {errors.New("POST https://login/x?client_secret=hunter2&sig=1 failed"), failure.TokenRefused, "POST https://login/x failed", 0},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			c := &fakeCredential{get: func(context.Context, int64, policy.TokenRequestOptions) (azcore.AccessToken, error) {
				return azcore.AccessToken{}, r.err
			}}
			e := newEnvironment(t, Options{Credential: c, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				t.Error("a call without a token")
				return nil, io.EOF
			})})
			f, _ := aFile("x")
			_, err := e.Enqueue(t.Context(), f)
			got := failed(t, err, failure.Pause, r.reason)
			if !strings.Contains(got.Detail, r.says) || got.After != r.after || strings.Contains(got.Error(), "hunter2") || strings.Contains(got.Error(), "\n") {
				t.Errorf("after %v: %v", got.After, got)
			}
			if !errors.Is(err, r.err) {
				t.Errorf("the cause is lost: %v", err)
			}
		})
	}
}

// authenticationFailed has azidentity itself make its error, for its fields are its own.
func authenticationFailed(t *testing.T, resp *http.Response) error {
	t.Helper()
	c, err := azidentity.NewClientSecretCredential("tenant", "client", "hunter2", &azidentity.ClientSecretCredentialOptions{
		DisableInstanceDiscovery: true,
		ClientOptions: azcore.ClientOptions{
			Retry: policy.RetryOptions{MaxRetries: -1},
			Transport: doer(func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.URL.Path, "openid-configuration") {
					return answer(200, `{"token_endpoint":"https://login.microsoftonline.com/tenant/oauth2/v2.0/token","authorization_endpoint":"https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize","issuer":"https://login.microsoftonline.com/tenant/v2.0"}`, "Content-Type", "application/json"), nil
				}
				resp.Request = r
				return resp, nil
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://x/.default"}})
	if err == nil {
		t.Fatal("azidentity gave a token")
	}
	return err
}

type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestAHungTokenServiceEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeCredential{get: func(ctx context.Context, _ int64, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
			<-ctx.Done()
			return azcore.AccessToken{}, ctx.Err()
		}}
		e := newEnvironment(t, Options{Credential: c, Timeout: time.Minute, Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, io.EOF })})
		f, _ := aFile("x")
		begin := time.Now()
		_, err := e.Enqueue(t.Context(), f)
		failed(t, err, failure.Pause, failure.Timeout)
		if time.Since(begin) != time.Minute || failure.IsStop(err) {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		pass, _ := e.Gate().AwaitPass(t.Context(), nil)
		pass.Leave(err)
		if e.Gate().State().Open() {
			t.Error("the gate does not hear of it")
		}
	})
}

// A token that was renewed for another call in between does not take the place of the one that this call is about: a 401
// is then held against the right one.
func TestACallCarriesItsOwnToken(t *testing.T) {
	tokens := &tokens{header: scheme + "newer"}
	for _, token := range []string{"newer", "older"} {
		h := http.Header{}
		tokens.authorize(h, token)
		if got := h.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("the call with the token %q carries %q", token, got)
		}
	}
}
