package config

// IdentityKind names a way to sign in to Microsoft Entra ID.
type IdentityKind string

// The kinds of identities.
const (
	IdentityDefault           IdentityKind = "default"           // the chain of azidentity; AZURE_TOKEN_CREDENTIALS narrows it
	IdentityManaged           IdentityKind = "managedIdentity"   // system-assigned, or user-assigned with a clientId
	IdentityWorkload          IdentityKind = "workloadIdentity"  // a federated token file, as on AKS
	IdentityClientSecret      IdentityKind = "clientSecret"      // an app registration and its secret
	IdentityClientCertificate IdentityKind = "clientCertificate" // an app registration and a certificate
)

// An Identity says who the bridge is to one service. Which fields are used depends on Kind; Load refuses the others.
type Identity struct {
	Kind                IdentityKind `yaml:"kind" enum:"default|managedIdentity|workloadIdentity|clientSecret|clientCertificate" doc:"How to sign in. Name one explicitly in production."`
	TenantID            string       `yaml:"tenantId" eg:"and the ID of the tenant, a GUID" form:"tenant" doc:"The tenant: a GUID or a domain name. For clientSecret and clientCertificate; optional for workloadIdentity (AZURE_TENANT_ID)."`
	ClientID            string       `yaml:"clientId" eg:"and the application (client) ID, a GUID" form:"guid" doc:"The application (client) ID. For clientSecret and clientCertificate, and for a user-assigned managed identity; optional for workloadIdentity (AZURE_CLIENT_ID)."`
	Secret              *Secret      `yaml:"secret" eg:"{env: NAME}" doc:"clientSecret only: where the secret is. Never the value itself."`
	Certificate         string       `yaml:"certificate" eg:"and the path of a PEM or PKCS#12 file" path:"true" doc:"clientCertificate only: a PEM or PKCS#12 file with the certificate and its private key."`
	CertificatePassword *Secret      `yaml:"certificatePassword" doc:"clientCertificate only: where the password of a PKCS#12 file is."`
	TokenFile           string       `yaml:"tokenFile" path:"true" doc:"workloadIdentity only: the federated token; AZURE_FEDERATED_TOKEN_FILE when absent."`
	AuthorityHost       string       `yaml:"authorityHost" form:"authority" doc:"Where tokens come from instead of https://login.microsoftonline.com: a sovereign cloud, or the emulator."`
	AuthorityCA         string       `yaml:"authorityCA" path:"true" doc:"PEM file with the certificate authority of authorityHost, in addition to the system's. For the emulator (bridge emulate --ca-out)."`
}
