package dynamics

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tokens is the Entra side: what was issued, to whom and for what.
type tokens struct {
	mu     sync.RWMutex // guards issued
	issued map[string]grant
	swept  time.Time
}

type grant struct {
	client   string
	audience string
	expires  time.Time
}

// issue makes a token. It has the three parts of a JWT so that a client may look inside. It is not signed: the third
// part is random.
func (t *tokens) issue(now time.Time, g grant, tenant string) string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`))
	claims, _ := json.Marshal(map[string]any{ // strings and numbers always marshal
		"aud": g.audience, "appid": g.client, "oid": "5f8b6c2e-0000-4000-8000-000000000001", "tid": tenant,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": g.expires.Unix(), "ver": "1.0",
	})
	token := head + "." + base64.RawURLEncoding.EncodeToString(claims) + "." + rand.Text()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.swept) > time.Minute { // keep the table as small as the tokens that are alive
		t.swept = now
		for k, v := range t.issued {
			if !now.Before(v.expires) {
				delete(t.issued, k)
			}
		}
	}
	t.issued[token] = g
	return token
}

// holder returns whom a bearer was issued to; false when it was not, or has expired.
func (t *tokens) holder(now time.Time, token string) (grant, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	g, ok := t.issued[token]
	return g, ok && now.Before(g.expires)
}

// revoke makes every token invalid at once, as a secret rotation does.
func (t *tokens) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.issued)
}

// token is the client credentials grant. Source: Microsoft identity platform, OAuth 2.0 client credentials flow.
func (s *Server) token(w http.ResponseWriter, r *http.Request, tenant string, v1 bool) {
	if err := r.ParseForm(); err != nil {
		refuseToken(w, http.StatusBadRequest, "invalid_request", "AADSTS900144: The request body could not be read.")
		return
	}
	f := r.PostForm
	client, now := fold(f.Get("client_id")), s.clock.Now()
	resource, ok := audience(f, v1)
	switch {
	case s.options.Tenant != "" && fold(tenant) != fold(s.options.Tenant):
		refuseToken(w, http.StatusBadRequest, "invalid_request", "AADSTS90002: Tenant '"+tenant+"' not found.")
	case f.Get("grant_type") != "client_credentials":
		refuseToken(w, http.StatusBadRequest, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.")
	case client == "":
		refuseToken(w, http.StatusBadRequest, "invalid_request", "AADSTS900144: The request body must contain 'client_id'.")
	case !ok:
		refuseToken(w, http.StatusBadRequest, "invalid_scope", "AADSTS1002012: The scope must end in /.default.")
	case !s.proves(client, f, now):
		refuseToken(w, http.StatusUnauthorized, "invalid_client",
			"AADSTS7000215: Invalid client secret or assertion provided.")
	default:
		g := grant{client: client, audience: resource, expires: now.Add(s.options.TokenLife)}
		life := int64(s.options.TokenLife / time.Second)
		answer := map[string]any{
			"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": s.tokens.issue(now, g, tenant),
		}
		if v1 { // the older endpoint writes numbers as strings and tells the moment
			answer["expires_in"] = fmt.Sprint(life)
			answer["expires_on"] = fmt.Sprint(g.expires.Unix())
			answer["resource"] = resource
		}
		writeJSON(w, http.StatusOK, answer)
	}
}

// audience is whom the token is for: the scope without /.default, or the resource of the older endpoint.
func audience(f url.Values, v1 bool) (string, bool) {
	if v1 && f.Get("resource") != "" {
		return f.Get("resource"), true
	}
	for scope := range strings.FieldsSeq(f.Get("scope")) { // MSAL adds openid and others of its own
		if a, ok := strings.CutSuffix(scope, "/.default"); ok && a != "" {
			return a, true
		}
	}
	return "", false
}

// proves reports whether the client showed its secret, or an assertion that names it and has not expired.
func (s *Server) proves(client string, f url.Values, now time.Time) bool {
	secret, known := s.secrets[client]
	if len(s.secrets) > 0 && !known {
		return false
	}
	if a := f.Get("client_assertion"); a != "" {
		return f.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && asserts(a, now)
	}
	given := f.Get("client_secret")
	return given != "" && (!known || subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1)
}

// asserts reports whether an assertion is a JWT that has not expired. A certificate's assertion names the client as its
// issuer, a workload identity's names a cluster: who it is from is not checked, nor is its signature.
func asserts(jwt string, now time.Time) bool {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || parts[2] == "" {
		return false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Subject string  `json:"sub"`
		Expires float64 `json:"exp"`
	}
	return json.Unmarshal(body, &claims) == nil && claims.Subject != "" && claims.Expires > float64(now.Unix())
}

func refuseToken(w http.ResponseWriter, status int, kind, text string) {
	writeJSON(w, status, map[string]any{
		"error": kind, "error_description": text, "error_codes": []int{}, "correlation_id": "", "timestamp": "",
	})
}

// discovery is the OpenID configuration that MSAL reads before it asks for a token; the issuer must be on the host that
// was asked.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request, tenant string) {
	base := origin(r) + "/" + tenant
	writeJSON(w, http.StatusOK, map[string]any{
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"issuer":                                base + "/v2.0",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		"response_types_supported":              []string{"code", "id_token", "token"},
		"scopes_supported":                      []string{"openid"},
	})
}

// instance is the metadata a client asks for to learn whether it may trust a host: this one is its only alias.
func (s *Server) instance(w http.ResponseWriter, r *http.Request) {
	tenant := "common"
	if u, err := url.Parse(r.URL.Query().Get("authorization_endpoint")); err == nil {
		if first, _, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); ok && first != "" {
			tenant = first
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": origin(r) + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host},
		}},
	})
}

// origin is how the client addressed this server.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// credential issues tokens without the token endpoint.
type credential struct {
	s      *Server
	client string
}

// Credential issues tokens to a client ID without a call, for clients in the same process that do not test sign-in.
func (s *Server) Credential(client string) azcore.TokenCredential { return credential{s, fold(client)} }

// GetToken issues a token for the first scope.
func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) == 0 {
		return azcore.AccessToken{}, fmt.Errorf("get a token: no scope")
	}
	now := c.s.clock.Now()
	g := grant{client: c.client, audience: strings.TrimSuffix(o.Scopes[0], "/.default"),
		expires: now.Add(c.s.options.TokenLife)}
	return azcore.AccessToken{Token: c.s.tokens.issue(now, g, o.TenantID), ExpiresOn: g.expires}, nil
}
