package dynamicstest_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"

	"fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	activity       = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	packages       = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12"
	exports        = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c13"
	enqueue        = "/api/connector/enqueue/" + activity + "?entity=Customers"
	twoCustomers   = "ID,NAME\n1,Contoso\n2,Fabrikam\n"
	registeredApp  = "00000000-0000-0000-0000-000000000003"
	registeredPass = "a secret of the test"
)

func TestAnFnOInThreeLines(t *testing.T) {
	fno := dynamicstest.New(t, dynamicstest.Job(activity))
	resp, err := fno.AuthorizedClient("app").Post(fno.URL()+enqueue, "text/csv", strings.NewReader(twoCustomers))
	must(t, err)
	must(t, resp.Body.Close())

	imports := fno.WaitForImports(1)
	if resp.StatusCode != http.StatusOK || len(imports) != 1 || imports[0].Size != int64(len(twoCustomers)) {
		t.Errorf("HTTP %d, imports %+v", resp.StatusCode, imports)
	}
}

// F&O takes the file, and the caller never hears of it.
func TestAFaultStrikesTheClient(t *testing.T) {
	fno := dynamicstest.New(t, dynamicstest.Job(activity))
	fno.Faults().MustAdd(dynamics.Fault{Operation: dynamics.Enqueue, Act: dynamics.ResetAfter, Times: 1})
	resp, err := fno.AuthorizedClient("app").Post(fno.URL()+enqueue, "text/csv", strings.NewReader(twoCustomers))
	if err == nil {
		must(t, resp.Body.Close())
		t.Errorf("HTTP %d, want a broken connection", resp.StatusCode)
	}
	if n := len(fno.Imports()); n != 1 {
		t.Errorf("%d imports", n)
	}
}

// The real azidentity signs in at the server's token endpoint, over TLS.
func TestSignIn(t *testing.T) {
	fno := dynamicstest.New(t, dynamicstest.Job(activity), func(o *dynamics.Options) {
		o.TLS, o.Clients = true, map[string]string{registeredApp: registeredPass}
	})
	scope := policy.TokenRequestOptions{Scopes: []string{fno.URL() + "/.default"}}
	token, err := fno.SignIn(registeredApp, registeredPass).GetToken(t.Context(), scope)
	must(t, err)
	for bearer, want := range map[string]int{
		token.Token: http.StatusOK, fno.Token(registeredApp): http.StatusOK, "another": http.StatusUnauthorized,
	} {
		if got := post(t, fno, bearer); got != want {
			t.Errorf("HTTP %d, want %d", got, want)
		}
	}
	if _, err := fno.SignIn(registeredApp, "wrong").GetToken(t.Context(), scope); err == nil {
		t.Error("signed in with the wrong secret")
	}
	if n := fno.Calls(dynamics.Token); n != 2 {
		t.Errorf("%d calls for a token", n)
	}
}

// post calls with a client of its own, which trusts what RootCAs returns.
func post(t *testing.T, fno *dynamicstest.Environment, bearer string) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: fno.RootCAs(), MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fno.URL()+enqueue,
		strings.NewReader(twoCustomers))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode
}

func TestOptions(t *testing.T) {
	fno := dynamicstest.New(t, dynamicstest.Job(activity), dynamicstest.PackageJob(packages),
		dynamicstest.ExportJob(exports),
		func(o *dynamics.Options) { o.Entities = []dynamics.Entity{{Label: "Vendors"}} })
	client := fno.AuthorizedClient("app")
	resp, err := client.Post(fno.URL()+enqueue, "text/csv", strings.NewReader(twoCustomers))
	must(t, err)
	must(t, resp.Body.Close())
	resp, err = client.Post(fno.URL()+"/api/connector/enqueue/"+packages+"?entity=Vendors", "text/csv",
		strings.NewReader(twoCustomers))
	must(t, err)
	must(t, resp.Body.Close())
	imports := fno.WaitForImports(2)
	if s := imports[0].Status; s != "InProcess" {
		t.Errorf("an import of an entity that is not named: %s", s)
	}
	if s := imports[1].Status; s != "PreProcessingError" {
		t.Errorf("a file as a package: %s", s)
	}

	_, err = fno.AddExport(exports, dynamics.Export{Body: []byte("PK")})
	must(t, err)
	resp, err = client.Get(fno.URL() + "/api/connector/dequeue/" + exports)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "DownloadLocation") {
		t.Errorf("dequeue: HTTP %d %s", resp.StatusCode, text)
	}

	pem, err := os.ReadFile(fno.CAFile())
	must(t, err)
	if string(pem) != string(fno.CertificatePEM()) {
		t.Errorf("the file of the authority has %q", pem)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
