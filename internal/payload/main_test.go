package payload

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type credential struct{ asked []string }

func (c *credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.asked = append(c.asked, o.Scopes...)
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// newOpener returns an opener whose connections end with the test.
func newOpener(t testing.TB) *Opener {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return NewOpener(Options{Transport: transport, TempDir: t.TempDir()})
}

// failed asserts verdict and reason.
func failed(t *testing.T, err error, v failure.Verdict, r failure.Reason) failure.Failure {
	t.Helper()
	f, ok := err.(*failure.Failure) //nolint:errorlint // the promise is the type itself, not something in its chain
	if !ok {
		t.Fatalf("%T is not a *failure.Failure: %v", err, err)
	}
	if f.Verdict != v || f.Reason != r {
		t.Errorf("%v %s, want %v %s: %v", f.Verdict, f.Reason, v, r, f)
	}
	if strings.Contains(f.Error(), "sig=") || strings.Contains(f.Error(), "\n") {
		t.Errorf("words not fit for a log: %v", f)
	}
	return *f
}

// readAll reads a payload once.
func readAll(t testing.TB, p *Payload) string {
	t.Helper()
	body, err := p.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const namespace = ` xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://schemas.microsoft.com/dynamics/2015/01/DataManagement"`

const aHeader = `<DataManagementPackageHeader` + namespace + `><Description>x</Description><ManifestType>Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization.DataManagementPackageManifest</ManifestType><PackageType>DefinitionGroup</PackageType><PackageVersion>2</PackageVersion></DataManagementPackageHeader>`

// aManifest returns a manifest with one entity per pair of name and file.
func aManifest(pairs ...string) string {
	var b strings.Builder
	b.WriteString(`<DataManagementPackageManifest` + namespace + `><DefinitionGroupName>x</DefinitionGroupName><PackageEntityList>`)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, `<DataManagementPackageEntityData><EntityMapList i:nil="true" /><EntityName>%s</EntityName><ExcelSheetName /><InputFilePath>%s</InputFilePath><SourceFormat>CSV</SourceFormat></DataManagementPackageEntityData>`, pairs[i], pairs[i+1])
	}
	b.WriteString(`</PackageEntityList></DataManagementPackageManifest>`)
	return b.String()
}

// zipOf returns a zip of pairs of name and content.
func zipOf(t testing.TB, pairs ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(pairs); i += 2 {
		w, err := z.Create(pairs[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// aPackage returns a data package as F&O writes it.
func aPackage(t testing.TB) string {
	t.Helper()
	return zipOf(t,
		"Customer groups.csv", "CUSTGROUP,NAME\r\n10,Wholesale\r\n",
		"Manifest.xml", string(encodeText(aManifest("Customer groups", "Customer groups.csv"), encodingUTF16LE)),
		"PackageHeader.xml", string(encodeText(aHeader, encodingUTF16LE)))
}

// elapse lets time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }
