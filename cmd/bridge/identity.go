package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fnobridge/internal/config"
)

// newCredential returns the credential of an identity. It asks for no token: that an identity works shows at the first
// one. Its errors are of the configuration.
func newCredential(id config.Identity) (azcore.TokenCredential, error) {
	options, private, err := identityOptions(id)
	if err != nil {
		return nil, err
	}
	var cred azcore.TokenCredential
	switch id.Kind {
	case config.IdentityManaged:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if id.ClientID != "" {
			o.ID = azidentity.ClientID(id.ClientID)
		}
		cred, err = azidentity.NewManagedIdentityCredential(o)
	case config.IdentityWorkload:
		cred, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: private,
			ClientID: id.ClientID, TenantID: id.TenantID, TokenFilePath: id.TokenFile,
		})
	case config.IdentityClientSecret:
		o := &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: private}
		cred, err = azidentity.NewClientSecretCredential(id.TenantID, id.ClientID, id.Secret.Value(), o)
	case config.IdentityClientCertificate:
		return certificateCredential(id, options, private)
	case config.IdentityDefault, "":
		cred, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: private, TenantID: id.TenantID,
		})
	default:
		return nil, exit(exitConfig, fmt.Errorf("identity: kind %q is not known", id.Kind))
	}
	if err != nil {
		return nil, exit(exitConfig, fmt.Errorf("identity of kind %s: %w", id.Kind, err))
	}
	return cred, nil
}

func certificateCredential(
	id config.Identity, options azcore.ClientOptions, private bool,
) (azcore.TokenCredential, error) {
	wrong := func(err error) error { return exit(exitConfig, fmt.Errorf("identity of kind %s: %w", id.Kind, err)) }
	data, err := os.ReadFile(id.Certificate)
	if err != nil {
		return nil, wrong(fmt.Errorf("read the certificate: %w", err))
	}
	certs, key, err := azidentity.ParseCertificates(data, []byte(id.CertificatePassword.Value()))
	if err != nil {
		return nil, wrong(fmt.Errorf("read the certificate in %s: %w", id.Certificate, err))
	}
	o := &azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: private}
	cred, err := azidentity.NewClientCertificateCredential(id.TenantID, id.ClientID, certs, key, o)
	if err != nil {
		return nil, wrong(err)
	}
	return cred, nil
}

// identityOptions returns what all kinds share: where tokens come from, and whom to trust there. private is true for an
// authority that Microsoft does not run: MSAL must not ask login.microsoft.com about it first, which does not know it.
func identityOptions(id config.Identity) (options azcore.ClientOptions, private bool, err error) {
	if id.AuthorityHost != "" {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: id.AuthorityHost}
		private = !microsoftAuthority(id.AuthorityHost)
	}
	if id.AuthorityCA != "" {
		client, err := clientTrusting(id.AuthorityCA)
		if err != nil {
			return options, private, exit(exitConfig, fmt.Errorf("identity of kind %s: authorityCA: %w", id.Kind, err))
		}
		options.Transport = client
	}
	return options, private, nil
}

// microsoftAuthority reports whether instance discovery knows the host. Source: azcore/cloud, the well-known clouds.
func microsoftAuthority(authority string) bool {
	u, err := url.Parse(authority)
	if err != nil {
		return false
	}
	for _, known := range []cloud.Configuration{cloud.AzurePublic, cloud.AzureGovernment, cloud.AzureChina} {
		k, err := url.Parse(known.ActiveDirectoryAuthorityHost)
		if err == nil && strings.EqualFold(k.Host, u.Host) {
			return true
		}
	}
	return false
}

// clientTrusting returns an HTTP client that trusts the certificate authorities of a PEM file and of the system. It
// follows no redirects: a token request goes to the configured host or nowhere.
func clientTrusting(file string) (*http.Client, error) {
	pool, err := trusting(file)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func trusting(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any: the file alone then
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate in PEM form")
	}
	return pool, nil
}
