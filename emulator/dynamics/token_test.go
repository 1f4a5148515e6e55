package dynamics

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// These hold what the package comment says about azidentity.
func TestAzidentityGetsTokensThatTheEnvironmentTakes(t *testing.T) {
	const tenant = "3f0c9c0e-7d3d-4c7b-9a52-0f6f1b1f0001"
	for _, secure := range []bool{false, true} {
		b := begin(t, func(o *Options) {
			o.TLS, o.Clock, o.Tenant, o.Clients = secure, Real{}, tenant, map[string]string{"bridge": "hush"}
		})
		options := azcore.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: b.AuthorityHost()},
			Transport: b.Client(),
			Retry:     policy.RetryOptions{MaxRetries: -1},
		}
		bySecret, err := azidentity.NewClientSecretCredential(tenant, "bridge", "hush",
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		wrongSecret, err := azidentity.NewClientSecretCredential(tenant, "bridge", "loud",
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		byAssertion, err := azidentity.NewClientAssertionCredential(tenant, "bridge",
			func(context.Context) (string, error) { return assertion(time.Now().Add(time.Hour)), nil },
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		cert, key := certificate(t)
		byCertificate, err := azidentity.NewClientCertificateCredential(tenant, "bridge", []*x509.Certificate{cert}, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]azcore.TokenCredential{
			"secret": bySecret, "assertion": byAssertion, "certificate": byCertificate, "in process": b.Credential("bridge"),
		} {
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}})
			if err != nil {
				t.Fatalf("%s, TLS %v: %v", name, secure, err)
			}
			if left := time.Until(token.ExpiresOn); left < 50*time.Minute || left > time.Hour {
				t.Errorf("%s: token lives %v, want just under an hour", name, left)
			}
			b.token = token.Token
			b.enqueue(groupsJob, "Customer groups", goodGroups)
		}
		if _, err := wrongSecret.GetToken(t.Context(),
			policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}}); err == nil ||
			!strings.Contains(err.Error(), "AADSTS7000215") {
			t.Errorf("wrong secret: %v, want the refusal of Entra", err)
		}
	}
}

func assertion(expires time.Time) string {
	claims, err := json.Marshal(map[string]any{"iss": "cluster", "sub": "worker", "exp": expires.Unix()})
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
}

func certificate(t *testing.T) (*x509.Certificate, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader,
		&x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func TestTokenEndpointRefuses(t *testing.T) {
	b := begin(t, func(o *Options) { o.Tenant = "contoso"; o.Clients = map[string]string{"app": "hush"} })
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"hush"},
		"scope": {b.URL() + "/.default"}}
	with := func(changes ...string) url.Values {
		v := url.Values{}
		maps.Copy(v, good)
		for i := 0; i < len(changes); i += 2 {
			v.Set(changes[i], changes[i+1])
		}
		return v
	}
	const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	for _, row := range []struct {
		name, tenant string
		form         url.Values
		code         int
		want         string
	}{
		{"good", "contoso", good, 200, `"expires_in":3599`},
		{"other tenant", "fabrikam", good, 400, "AADSTS90002"},
		{"no grant", "contoso", with("grant_type", ""), 400, "unsupported_grant_type"},
		{"no client", "contoso", with("client_id", ""), 400, "AADSTS900144"},
		{"unknown client", "contoso", with("client_id", "other"), 401, "invalid_client"},
		{"wrong secret", "contoso", with("client_secret", "loud"), 401, "AADSTS7000215"},
		{"no proof", "contoso", with("client_secret", ""), 401, "AADSTS7000215"},
		{"scope without default", "contoso", with("scope", b.URL()), 400, "invalid_scope"},
		{"assertion", "contoso", with("client_secret", "", "client_assertion", assertion(start.Add(time.Minute)),
			"client_assertion_type", jwtBearer), 200, "access_token"},
		{"old assertion", "contoso", with("client_secret", "", "client_assertion", assertion(start), "client_assertion_type",
			jwtBearer), 401, "AADSTS7000215"},
		{"assertion without type", "contoso", with("client_secret", "", "client_assertion",
			assertion(start.Add(time.Minute))), 401, "AADSTS7000215"},
		{"no JWT", "contoso", with("client_secret", "", "client_assertion", "hush", "client_assertion_type", jwtBearer), 401,
			"AADSTS7000215"},
	} {
		r := b.do("POST", "/"+row.tenant+"/oauth2/v2.0/token", row.form.Encode(), "Content-Type",
			"application/x-www-form-urlencoded")
		if r.code != row.code || !strings.Contains(r.body, row.want) {
			t.Errorf("%s: %d %s, want %d with %s", row.name, r.code, r.body, row.code, row.want)
		}
	}
	r := b.do("POST", "/contoso/oauth2/token", with("scope", "", "resource", b.URL()).Encode(), "Content-Type",
		"application/x-www-form-urlencoded")
	if r.code != 200 || !strings.Contains(r.body, `"expires_in":"3599"`) {
		t.Errorf("v1 endpoint: %d %s", r.code, r.body)
	}
}

func TestDiscoveryNamesTheHostThatWasAsked(t *testing.T) {
	b := begin(t, nil)
	r := b.do("GET", "/contoso/v2.0/.well-known/openid-configuration", "")
	if want := `"issuer":"` + b.URL() + `/contoso/v2.0"`; r.code != 200 || !strings.Contains(r.body, want) {
		t.Errorf("%d %s, want %s", r.code, r.body, want)
	}
	r = b.do("GET", "/common/discovery/instance?api-version=1.1&authorization_endpoint="+
		url.QueryEscape(b.AuthorityHost()+"contoso/oauth2/v2.0/authorize"),
		"")
	if want := b.URL() + "/contoso/v2.0/.well-known"; r.code != 200 || !strings.Contains(r.body, want) {
		t.Errorf("%d %s, want %s", r.code, r.body, want)
	}
}

func TestBearerIsCheckedOnEveryCall(t *testing.T) {
	b := begin(t, func(o *Options) {
		o.Jobs[0].Clients = []string{"APP"}
		o.Jobs = append(o.Jobs,
			Job{ID: "1d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e05", Clients: []string{"other"}},
			Job{ID: "2d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e06", Forbidden: []string{"App"}})
	})
	good := b.token
	now := b.clock.Now()
	for name, token := range map[string]string{
		"none": "", "unknown": "e30.e30.x",
		"slash":   b.tokens.issue(now, grant{"app", b.URL() + "/", now.Add(time.Hour)}, "t"),
		"other":   b.tokens.issue(now, grant{"app", "https://other.operations.dynamics.com", now.Add(time.Hour)}, "t"),
		"expired": b.tokens.issue(now, grant{"app", b.URL(), now}, "t"),
	} {
		b.token = token
		for _, c := range [][2]string{
			{"POST", enqueuePath(groupsJob, "Customer groups")}, {"GET", "/api/connector/dequeue/" + exportJob},
			{"POST", "/api/connector/ack/" + exportJob}, {"GET", "/api/connector/download/%7B" + exportJob + "%7D"},
			{"GET", "/api/connector/jobstatus/" + groupsJob + "?jobId=x"}, {"POST", actionPath + "GetMessageStatus"},
		} {
			if r := b.do(c[0], c[1], "{}"); r.code != 401 || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("token %s, %s %s: %d, want 401 with WWW-Authenticate", name, c[0], c[1], r.code)
			}
		}
	}
	b.token = good
	b.enqueue(groupsJob, "Customer groups", goodGroups)
	if r := b.do("POST", enqueuePath("1d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e05", "Customer groups"), "x"); r.code != 401 {
		t.Errorf("client outside the authorization policy: %d, want 401", r.code)
	}
	if r := b.do("POST", enqueuePath("2d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e06", "Customer groups"), "x"); r.code != 403 {
		t.Errorf("user without rights: %d, want 403", r.code)
	}
	b.RevokeTokens()
	if r := b.do("POST", enqueuePath(groupsJob, "Customer groups"), "x"); r.code != 401 {
		t.Errorf("revoked token: %d, want 401", r.code)
	}
	if n := len(b.Imports()); n != 1 {
		t.Errorf("%d imports, want the one with a good token", n)
	}
}

func TestPlainTextCallOfASecureEnvironmentIsRedirected(t *testing.T) {
	b := begin(t, func(o *Options) { o.TLS = true })
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+b.Addr()+"/api/connector/dequeue/"+exportJob, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != 302 || r.Header.Get("Location") != b.URL()+"/api/connector/dequeue/"+exportJob {
		t.Errorf("%d to %q, want 302 to the https URL", r.StatusCode, r.Header.Get("Location"))
	}
}

func TestTokensThatHaveEndedAreForgotten(t *testing.T) {
	b := begin(t, nil)
	for range 100 {
		b.clock.Advance(2 * time.Minute)
		b.tokens.issue(b.clock.Now(), grant{"app", b.URL(), b.clock.Now().Add(time.Minute)}, "t")
	}
	if n := len(b.tokens.issued); n > 3 {
		t.Errorf("%d tokens kept, want the living ones only", n)
	}
}
