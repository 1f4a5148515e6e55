package storage_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"go.uber.org/goleak"

	"fnobridge/emulator/storage"
	"fnobridge/emulator/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type credential string

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(c), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// client returns Azure's client for a blob of a server over TLS, which tries once.
func client(t *testing.T, s *storagetest.Server, token, path string) *blob.Client {
	t.Helper()
	o := &blob.ClientOptions{}
	o.Transport, o.Retry.MaxRetries = s.Client(), -1
	c, err := blob.NewClient(s.URL()+path, credential(token), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAzuresClientReadsBlobs(t *testing.T) {
	s := storagetest.NewTLS(t, "right")
	s.Put("/in/a", []byte("0123456789"))
	c := client(t, s, "right", "/in/a")
	props, err := c.GetProperties(t.Context(), nil)
	if err != nil || *props.ContentLength != 10 || props.ETag == nil || *props.BlobType != blob.BlobTypeBlockBlob {
		t.Fatalf("%+v, %v", props, err)
	}
	read := func(offset, count int64) (string, error) {
		d, err := c.DownloadStream(t.Context(), &blob.DownloadStreamOptions{
			Range: blob.HTTPRange{Offset: offset, Count: count},
			AccessConditions: &blob.AccessConditions{
				ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: props.ETag},
			},
		})
		if err != nil {
			return "", err
		}
		defer func() { _ = d.Body.Close() }()
		b, err := io.ReadAll(d.Body)
		return string(b), err
	}
	for want, r := range map[string][2]int64{"0123456789": {0, 0}, "2345": {2, 4}, "89": {8, 100}, "9": {9, 0}} {
		if got, err := read(r[0], r[1]); err != nil || got != want {
			t.Errorf("%v: %q, %v; want %q", r, got, err, want)
		}
	}
	if _, err := read(10, 1); !bloberror.HasCode(err, bloberror.InvalidRange) {
		t.Errorf("behind the end: %v", err)
	}
	s.Put("/in/a", []byte("0123456789"))
	if _, err := read(0, 0); !bloberror.HasCode(err, bloberror.ConditionNotMet) {
		t.Errorf("another version: %v", err)
	}
	if n := len(s.Requests("/in/a")); n != 7 || len(s.Requests("/in/b")) != 0 || len(s.Requests("")) != 7 {
		t.Errorf("%d requests noted: %+v", n, s.Requests(""))
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, r := range map[string]struct {
		token, path string
		code        bloberror.Code
	}{
		"no such blob":  {"right", "/in/b", bloberror.BlobNotFound},
		"another token": {"wrong", "/in/a", bloberror.NoAuthenticationInformation},
	} {
		s := storagetest.NewTLS(t, "right")
		s.Put("/in/a", []byte("x"))
		_, err := client(t, s, r.token, r.path).GetProperties(t.Context(), nil)
		if !bloberror.HasCode(err, r.code) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsStrikeWhatTheyMatch(t *testing.T) {
	s := storagetest.New(t)
	s.Put("/in/a", []byte("0123456789"))
	ask := func(method, path string) string {
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-ms-version", "2021-12-02")
		resp, err := s.Client().Do(req)
		if err != nil {
			return "reset"
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return "cut after " + string(b)
		case resp.StatusCode != http.StatusOK:
			return strings.TrimSpace(resp.Header.Get("x-ms-error-code") + " " + resp.Header.Get("Retry-After"))
		}
		return resp.Header.Get("Content-Length") + " " + string(b)
	}
	called := 0
	s.Break(storage.Fault{Method: http.MethodGet, Path: "/in/b", Status: 503, Code: "ServerBusy"})
	s.Break(storage.Fault{Method: http.MethodGet, Skip: 1, Times: 2, Status: 503, Code: "ServerBusy",
		RetryAfter: 7 * time.Second})
	s.Break(storage.Fault{Method: http.MethodGet, Times: 1, Skip: 1, Cut: 4})
	s.Break(storage.Fault{Method: http.MethodGet, Times: 1, Cut: -1})
	s.Break(storage.Fault{Method: http.MethodHead, Times: 1, Longer: 5, Before: func() { called++ }})
	var got []string
	for range 6 {
		got = append(got, ask(http.MethodGet, "/in/a"))
	}
	got = append(got, ask(http.MethodHead, "/in/a"), ask(http.MethodHead, "/in/a"))
	s.Mend()
	got = append(got, ask(http.MethodGet, "/in/b"))
	want := []string{"reset", "ServerBusy 7", "ServerBusy 7", "cut after 0123", "10 0123456789", "10 0123456789", "15",
		"10", "BlobNotFound"}
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if !slices.Equal(got, want) || called != 1 {
		t.Errorf("%q, want %q; called %d times", got, want, called)
	}
}
