package payload

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A storage is Blob Storage as far as we use it: properties, ranges, If-Match.
type storage struct {
	*httptest.Server
	mu       sync.Mutex
	blobs    map[string]stored // by path
	requests []string          // method, path, range
	fault    func(w http.ResponseWriter, r *http.Request, n int) bool
}

type stored struct {
	size int64
	at   func(off int64, p []byte) // fills p
	etag string
}

func newStorage(t testing.TB) *storage {
	s := &storage{blobs: map[string]stored{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *storage) put(path, content string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[path] = stored{
		size: int64(len(content)),
		at:   func(off int64, p []byte) { copy(p, content[off:]) },
		etag: fmt.Sprintf(`"0x%X"`, len(s.requests)+len(content)*1000+int(content[len(content)-1])),
	}
	return s.URL + path
}

func (s *storage) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rng := cmp.Or(r.Header.Get("x-ms-range"), r.Header.Get("Range"))
	s.mu.Lock()
	s.requests = append(s.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+rng))
	n := len(s.requests)
	b, ok := s.blobs[r.URL.Path]
	s.mu.Unlock()
	if s.fault != nil && s.fault(w, r, n) {
		return
	}
	fail := func(status int, code string) {
		w.Header().Set("x-ms-error-code", code)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code)
		}
	}
	switch {
	case !ok:
		fail(http.StatusNotFound, "BlobNotFound")
		return
	case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != b.etag:
		fail(http.StatusPreconditionFailed, "ConditionNotMet")
		return
	}
	w.Header().Set("ETag", b.etag)
	from, to, status := int64(0), b.size-1, http.StatusOK
	if rng != "" {
		if _, err := fmt.Sscanf(rng, "bytes=%d-%d", &from, &to); err != nil || from >= b.size {
			fail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		to = min(to, b.size-1)
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, b.size))
	}
	w.Header().Set("Content-Length", strconv.FormatInt(to-from+1, 10))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	buf := make([]byte, 64<<10)
	for from <= to {
		p := buf[:min(int64(len(buf)), to-from+1)]
		b.at(from, p)
		if _, err := w.Write(p); err != nil {
			return
		}
		from += int64(len(p))
	}
}

type credential struct{ asked []string }

func (c *credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.asked = append(c.asked, o.Scopes...)
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// newOpener gives an opener whose connections end with the test.
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

// aManifest gives a manifest with one entity per pair of name and file.
func aManifest(pairs ...string) string {
	var b strings.Builder
	b.WriteString(`<DataManagementPackageManifest` + namespace + `><DefinitionGroupName>x</DefinitionGroupName><PackageEntityList>`)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, `<DataManagementPackageEntityData><EntityMapList i:nil="true" /><EntityName>%s</EntityName><ExcelSheetName /><InputFilePath>%s</InputFilePath><SourceFormat>CSV</SourceFormat></DataManagementPackageEntityData>`, pairs[i], pairs[i+1])
	}
	b.WriteString(`</PackageEntityList></DataManagementPackageManifest>`)
	return b.String()
}

// zipOf gives a zip of pairs of name and content.
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

// aPackage gives a data package as F&O writes it.
func aPackage(t testing.TB) string {
	t.Helper()
	return zipOf(t,
		"Customer groups.csv", "CUSTGROUP,NAME\r\n10,Wholesale\r\n",
		"Manifest.xml", string(encodeText(aManifest("Customer groups", "Customer groups.csv"), encodingUTF16LE)),
		"PackageHeader.xml", string(encodeText(aHeader, encodingUTF16LE)))
}

// elapse lets time pass in a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }
