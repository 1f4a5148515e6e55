package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
	"fnobridge/internal/config"
)

const testClient = "00000000-0000-0000-0000-000000000001"

// startRegistered starts an F&O whose authority knows one client.
func startRegistered(t *testing.T) *dynamicstest.Environment {
	t.Helper()
	return dynamicstest.New(t, func(o *fno.Options) { o.Clients = map[string]string{testClient: "right"} })
}

// Every kind that can sign in without a cloud around it does, against the configured authority.
func TestIdentitiesSignIn(t *testing.T) {
	s := startRegistered(t)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte(assertion(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []config.Identity{
		{Kind: config.IdentityClientSecret, Secret: config.NewSecret("right")},
		{Kind: config.IdentityClientCertificate, Certificate: writeCertificate(t, dir)},
		{Kind: config.IdentityWorkload, TokenFile: token},
	} {
		t.Run(string(id.Kind), func(t *testing.T) {
			id.TenantID, id.ClientID = "contoso.onmicrosoft.com", testClient
			id.AuthorityHost, id.AuthorityCA = s.AuthorityHost(), s.CAFile()
			cred, err := newCredential(id)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.URL() + "/.default"}})
			if err != nil || got.Token == "" {
				t.Errorf("no token: %v", err)
			}
		})
	}
}

func TestARefusedSecretIsAnAuthorizationFailure(t *testing.T) {
	s := startRegistered(t)
	cred, err := newCredential(config.Identity{
		Kind: config.IdentityClientSecret, TenantID: "contoso.onmicrosoft.com", ClientID: testClient,
		Secret: config.NewSecret("wrong"), AuthorityHost: s.AuthorityHost(), AuthorityCA: s.CAFile(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{s.URL() + "/.default"}})
	if got := codeOf(err); got != exitAuthorization {
		t.Errorf("exit code %d for %v", got, err)
	}
}

// What a managed identity and the default chain do depends on where they run; that they can be made does not.
func TestIdentitiesOfTheCloudCanBeMade(t *testing.T) {
	for _, id := range []config.Identity{
		{}, {Kind: config.IdentityDefault}, {Kind: config.IdentityManaged}, {Kind: config.IdentityManaged, ClientID: testClient},
	} {
		if cred, err := newCredential(id); err != nil || cred == nil {
			t.Errorf("%+v: %v", id, err)
		}
	}
}

func TestIdentitiesThatCannotBe(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []config.Identity{
		{Kind: "nonsense"},
		{Kind: config.IdentityClientCertificate, TenantID: "t", ClientID: testClient, Certificate: empty},
		{Kind: config.IdentityClientCertificate, TenantID: "t", ClientID: testClient, Certificate: empty + "none"},
		{Kind: config.IdentityClientSecret, TenantID: "t", ClientID: testClient, Secret: config.NewSecret("s"), AuthorityCA: empty},
		{Kind: config.IdentityClientSecret, TenantID: "not a tenant", ClientID: testClient, Secret: config.NewSecret("s")},
	} {
		if _, err := newCredential(id); codeOf(err) != exitConfig {
			t.Errorf("%+v: %v, want an error of the configuration", id, err)
		}
	}
}

func TestOnlyMicrosoftsOwnAuthoritiesAreDiscovered(t *testing.T) {
	for host, want := range map[string]bool{
		"https://login.microsoftonline.com": true, "https://login.microsoftonline.us/": true, "https://login.chinacloudapi.cn": true,
		"https://127.0.0.1:8443": false, "https://login.microsoftonline.com.evil.example": false, "://": false,
	} {
		if got := microsoftAuthority(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// assertion is what a cluster would put into the token file.
func assertion(t *testing.T) string {
	t.Helper()
	part := func(v any) string {
		js, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(js)
	}
	return part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." +
		part(map[string]any{"sub": "system:serviceaccount:fno:bridge", "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()}) + ".c2ln"
}

func writeCertificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	file := filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
