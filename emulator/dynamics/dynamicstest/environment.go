package dynamicstest

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fnobridge/emulator/dynamics"
)

// patience is a wait that only a failing test runs out of.
const patience = time.Minute

// An Environment is the F&O of one test.
type Environment struct {
	*dynamics.Server
	tb testing.TB
}

// New starts an F&O for a test, which ends with it. It fails the test when it cannot.
func New(tb testing.TB, options ...Option) *Environment {
	tb.Helper()
	var o dynamics.Options
	for _, set := range options {
		set(&o)
	}
	o.AnyEntity = o.AnyEntity || len(o.Entities) == 0
	server, err := dynamics.Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &Environment{Server: server, tb: tb}
}

// Token returns a bearer for the environment, issued to a client ID without a call.
func (e *Environment) Token(client string) string {
	e.tb.Helper()
	token, err := e.Credential(client).GetToken(e.tb.Context(), e.scope())
	if err != nil {
		e.tb.Fatal(err)
	}
	return token.Token
}

func (e *Environment) scope() policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{e.URL() + "/.default"}}
}

// AuthorizedClient returns an HTTP client that trusts the server, follows no redirect, and sends a bearer of a client
// ID with every request.
func (e *Environment) AuthorizedClient(client string) *http.Client {
	c := *e.Client()
	c.Transport = &authorized{c.Transport, e.Credential(client), e.scope()}
	return &c
}

// authorized adds a new bearer to every request.
type authorized struct {
	next       http.RoundTripper
	credential azcore.TokenCredential
	scope      policy.TokenRequestOptions
}

// RoundTrip sends a copy of the request.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.credential.GetToken(r.Context(), a.scope)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token.Token)
	return a.next.RoundTrip(r)
}

// SignIn returns azidentity's credential for a client secret. It asks the server's token endpoint, which takes any
// client and secret unless Options.Clients names them.
func (e *Environment) SignIn(client, secret string) azcore.TokenCredential {
	e.tb.Helper()
	credential, err := azidentity.NewClientSecretCredential("contoso", client, secret,
		&azidentity.ClientSecretCredentialOptions{
			ClientOptions: azcore.ClientOptions{
				Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: e.AuthorityHost()},
				Transport: e.Client(),
			},
			DisableInstanceDiscovery: true,
		})
	if err != nil {
		e.tb.Fatal(err)
	}
	return credential
}

// RootCAs returns what a client needs to trust the server.
func (e *Environment) RootCAs() *x509.CertPool {
	e.tb.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(e.CertificatePEM()) {
		e.tb.Fatal("the server's certificate is not PEM")
	}
	return roots
}

// CAFile returns the path of a file with the server's certificate, for a client in another process. It is removed when
// the test ends.
func (e *Environment) CAFile() string {
	e.tb.Helper()
	path := filepath.Join(e.tb.TempDir(), "dynamics-ca.pem")
	if err := os.WriteFile(path, e.CertificatePEM(), 0o600); err != nil {
		e.tb.Fatal(err)
	}
	return path
}

// WaitForImports waits until n imports have been accepted and returns all there are. The test fails when that takes
// longer than a minute; Server.WaitImports waits as long as a context.
func (e *Environment) WaitForImports(n int) []dynamics.Import {
	e.tb.Helper()
	ctx, cancel := context.WithTimeout(e.tb.Context(), patience)
	defer cancel()
	if err := e.WaitImports(ctx, n); err != nil {
		e.tb.Fatalf("waited for %d imports, %d came: %v", n, len(e.Imports()), err)
	}
	return e.Imports()
}
