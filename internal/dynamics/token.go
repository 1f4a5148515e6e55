package dynamics

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"fnobridge/internal/failure"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	tokenEarly = 5 * time.Minute  // how long before its end a token is replaced; Entra's live an hour or more
	tokenAgain = 30 * time.Second // after a failed replacement, while the old token still holds
)

// tokens keeps the access token of one environment.
//
// One goroutine fetches at a time; the others wait for what it gets, good or bad. It fetches under its own caller's
// context; when that ends, one of those who wait takes over.
type tokens struct {
	credential azcore.TokenCredential
	scope      string

	mu      sync.Mutex
	current azcore.AccessToken
	header  string    // what carries current
	replace time.Time // when current is to be replaced, before it ends
	flight  *flight   // the fetch under way, nil when there is none
}

// A flight is one fetch. token and err are written before done is closed and only read after.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

func newTokens(c azcore.TokenCredential, scope string) *tokens {
	return &tokens{credential: c, scope: scope}
}

// get returns a token that holds for a while yet.
func (t *tokens) get(ctx context.Context) (string, error) {
	return t.fetch(ctx, "", policy.TokenRequestOptions{Scopes: []string{t.scope}})
}

// renew returns a token other than refused, which F&O answered with 401. Credentials cache, and would give the same one
// again; claims make them ask the token service. challenge is the WWW-Authenticate header of the answer.
func (t *tokens) renew(ctx context.Context, refused, challenge string) (string, error) {
	o := policy.TokenRequestOptions{Scopes: []string{t.scope}, Claims: claimsOf(challenge)}
	if o.Claims == "" {
		// What the challenge for a revoked token says: give me one that was not issued before now.
		o.Claims = fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, time.Now().Unix())
	}
	return t.fetch(ctx, refused, o)
}

// fetch returns the current token when it still holds and is not the refused one, else a new one.
func (t *tokens) fetch(ctx context.Context, refused string, o policy.TokenRequestOptions) (string, error) {
	for {
		t.mu.Lock()
		if t.current.Token != "" && t.current.Token != refused && time.Now().Before(t.replace) {
			defer t.mu.Unlock()
			return t.current.Token, nil
		}
		f := t.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			t.flight = f
			t.mu.Unlock()
			t.fly(ctx, o, f)
			return f.token, f.err
		}
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", failure.StoppedCall(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return "", failure.StoppedCall(ctx)
		case f.err != nil && !failure.IsStop(f.err):
			return "", f.err
		case f.err == nil && f.token != refused:
			return f.token, nil
		}
	}
}

// fly makes the one fetch under way and tells those who wait.
func (t *tokens) fly(ctx context.Context, o policy.TokenRequestOptions, f *flight) {
	a, err := t.credential.GetToken(ctx, o)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil && a.Token == "":
		f.err = errors.New("the credential gave an empty token")
	case err == nil:
		t.current, f.token, t.header = a, a.Token, scheme+a.Token
		// A short-lived token is replaced after half its life rather than at once, again and again.
		t.replace = a.ExpiresOn.Add(-min(tokenEarly, a.ExpiresOn.Sub(now)/2))
		if !a.RefreshOn.IsZero() && a.RefreshOn.Before(t.replace) {
			t.replace = a.RefreshOn
		}
	case ctx.Err() != nil:
		f.err = failure.StoppedCall(ctx)
	case o.Claims == "" && now.Before(t.current.ExpiresOn):
		f.token = t.current.Token // replacing it ahead of time failed, and the old one still holds
		t.replace = now.Add(min(tokenAgain, t.current.ExpiresOn.Sub(now)))
	default:
		f.err = err
	}
	t.flight = nil
	close(f.done)
}

var claimsParam = regexp.MustCompile(`\bclaims="([A-Za-z0-9+/_=-]+)"`)

// claimsOf returns the claims that a challenge asks for, "" when it asks for none.
// Source: Microsoft Learn, "Claims challenges, claims requests and client capabilities".
func claimsOf(challenge string) string {
	m := claimsParam.FindStringSubmatch(challenge)
	if m == nil {
		return ""
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(m[1]); err == nil {
			return string(b)
		}
	}
	return ""
}

const scheme = "Bearer "

// authorize sets the header. It is the only place where a token leaves this file. Tokens are long, so the header is kept
// with the current one.
func (t *tokens) authorize(h http.Header, token string) {
	t.mu.Lock()
	value := t.header
	t.mu.Unlock()
	if strings.TrimPrefix(value, scheme) != token { // it has just been renewed for somebody else
		value = scheme + token
	}
	h.Set("Authorization", value)
}
