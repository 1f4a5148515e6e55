package payload

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/emulator/storage"
	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/failure"
)

func TestAClaimCheckIsReadAsOftenAsWanted(t *testing.T) {
	s := storagetest.New(t)
	content := strings.Repeat("0123456789", 10_000)
	ref := s.Upload("/inbound/x/Größe 1+2%.csv", []byte(content))
	p, err := newOpener(t).Open(t.Context(), Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Size() != int64(len(content)) || len(s.Requests("")) != 1 {
		t.Errorf("size %d after %v: it should be known from the properties alone", p.Size(), s.Requests(""))
	}
	for range 2 {
		if readAll(t, p) != content {
			t.Error("not what is stored")
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if n := len(s.Requests("")); n != 3 {
		t.Errorf("%d requests: %v", n, s.Requests(""))
	}
}

// A blob that is stored compressed is posted as it is stored: nobody on the way may unpack it.
func TestABlobStoredAsGzipIsReadAsItIs(t *testing.T) {
	var stored bytes.Buffer
	z := gzip.NewWriter(&stored)
	_, _ = io.WriteString(z, "unpacked") // in memory
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(stored.Len()))
		_, _ = w.Write(stored.Bytes())
	}))
	defer s.Close()
	p, err := newOpener(t).Open(t.Context(), Source{DataRef: s.URL + "/inbound/a.gz"}, Rule{Containers: []string{s.URL + "/inbound"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, p); got != stored.String() {
		t.Errorf("read %q, stored %q", got, stored.String())
	}
}

func TestAChangedBlobIsNoticed(t *testing.T) {
	s := storagetest.New(t)
	ref := s.Upload("/inbound/a", []byte("first"))
	p, err := newOpener(t).Open(t.Context(), Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Upload("/inbound/a", []byte("other"))
	_, err = p.Reader(t.Context())
	if f := failed(t, err, failure.Retry, failure.StorageFailed); f.Status != 412 || !strings.Contains(f.Detail, "changed") {
		t.Errorf("%v", f)
	}
}

func TestADownloadThatBreaksIsTakenUpWhereItBroke(t *testing.T) {
	s := storagetest.New(t)
	content := strings.Repeat("0123456789", 50_000)
	ref := s.Upload("/inbound/a", []byte(content))
	s.Break(storage.Fault{Method: http.MethodGet, Times: 1, Cut: 100_000})
	p, err := newOpener(t).Open(t.Context(), Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, p) != content {
		t.Error("not what is stored")
	}
	s.Break(storage.Fault{Method: http.MethodGet, Times: 1, Cut: 100_000})
	s.Break(storage.Fault{Method: http.MethodGet, Cut: -1})
	body, err := p.Reader(t.Context())
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		_ = body.Close()
	}
	failed(t, err, failure.Retry, failure.StorageFailed)
}

func TestWhatStorageCanBeGuiltyOf(t *testing.T) {
	rows := []struct {
		status  int
		code    string
		after   time.Duration
		verdict failure.Verdict
		reason  failure.Reason
		says    string
	}{
		{410, "Gone", 0, failure.Reject, failure.ClaimCheckMissing, "not there"},
		{404, "ContainerNotFound", 0, failure.Reject, failure.ClaimCheckMissing, "not there"},
		{403, "AuthorizationPermissionMismatch", 0, failure.Retry, failure.StorageFailed, "Storage Blob Data Reader"},
		{401, "InvalidAuthenticationInfo", 0, failure.Retry, failure.StorageFailed, "Storage Blob Data Reader"},
		{409, "BlobArchived", 0, failure.Retry, failure.StorageFailed, "did not deliver"},
		{500, "InternalError", 0, failure.Retry, failure.StorageFailed, "did not deliver"},
		{503, "ServerBusy", 7 * time.Second, failure.Retry, failure.StorageFailed, "did not deliver"},
		{503, "ServerBusy", 24 * time.Hour, failure.Retry, failure.StorageFailed, "did not deliver"}, // counts as an hour
		{307, "", 0, failure.Retry, failure.StorageFailed, "did not deliver"},
	}
	for _, r := range rows {
		s := storagetest.New(t)
		ref := s.Upload("/inbound/a", []byte("x"))
		s.Break(storage.Fault{Status: r.status, Code: r.code, RetryAfter: r.after, Location: "https://evil.example/"})
		_, err := newOpener(t).Open(t.Context(), Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
		f := failed(t, err, r.verdict, r.reason)
		if f.Status != r.status || !strings.Contains(f.Detail, r.says) || f.After != min(r.after, time.Hour) || !strings.Contains(f.Error(), r.code) {
			t.Errorf("HTTP %d: %+v", r.status, f)
		}
		if n := len(s.Requests("")); n != 1 {
			t.Errorf("HTTP %d: %d requests, the backoff is the route's", r.status, n)
		}
	}
}

func TestStorageThatIsNotThere(t *testing.T) {
	s := storagetest.New(t)
	ref := s.Upload("/inbound/a", []byte("x"))
	s.Close()
	_, err := newOpener(t).Open(t.Context(), Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if f := failed(t, err, failure.Retry, failure.StorageFailed); !strings.Contains(f.Error(), "refused") {
		t.Errorf("the cause is not named: %v", f)
	}
}

func TestAStopWhileReadingStorageIsAStop(t *testing.T) {
	s := storagetest.New(t)
	ref := s.Upload("/inbound/a", []byte("x"))
	ctx, cancel := context.WithCancelCause(t.Context())
	errLease := errors.New("lease lost")
	s.Break(storage.Fault{Before: func() { cancel(errLease) }})
	_, err := newOpener(t).Open(ctx, Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if err != nil && (!failure.IsStop(err) || !errors.Is(err, errLease)) {
		t.Errorf("%v", err)
	}
	_, err = newOpener(t).Open(ctx, Source{DataRef: ref}, Rule{Containers: []string{s.URL() + "/inbound"}})
	if !failure.IsStop(err) || !errors.Is(err, errLease) {
		t.Errorf("%v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheTokenForStorageTravelsOverTLSOnly(t *testing.T) {
	var auth []string
	c := &credential{}
	o := NewOpener(Options{Credential: c, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		auth = append(auth, r.URL.Scheme+" "+r.Header.Get("Authorization"))
		h := http.Header{"Etag": {`"1"`}, "Content-Length": {"3"}}
		return &http.Response{StatusCode: 200, Header: h, Body: http.NoBody, Request: r}, nil
	})})
	for _, container := range []string{"https://acct.blob.core.windows.net/inbound", "http://127.0.0.1:10000/inbound"} {
		if _, err := o.Open(t.Context(), Source{DataRef: container + "/a"}, Rule{Containers: []string{container}}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"https Bearer token", "http "}; !slices.Equal(auth, want) {
		t.Errorf("sent %q, want %q", auth, want)
	}
	if want := []string{"https://storage.azure.com/.default"}; !slices.Equal(c.asked, want) {
		t.Errorf("asked for %q", c.asked)
	}
}

// A body that gives one byte and then hangs until its call is over.
type hangingBody struct {
	ctx  context.Context
	gave atomic.Bool
}

func (b *hangingBody) Read(p []byte) (int, error) {
	if b.gave.CompareAndSwap(false, true) {
		p[0] = 'x'
		return 1, nil
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func (b *hangingBody) Close() error { return nil }

func TestADownloadThatStallsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := ""
		o := NewOpener(Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == hang {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			h := http.Header{"Etag": {`"1"`}, "Content-Length": {"3"}}
			resp := &http.Response{StatusCode: 200, Header: h, Body: http.NoBody, Request: r}
			if r.Method == http.MethodGet {
				resp.Body = &hangingBody{ctx: r.Context()}
			}
			return resp, nil
		})})
		open := func() (*Payload, error) {
			return o.Open(t.Context(), Source{DataRef: "http://127.0.0.1/inbound/a"}, Rule{Containers: []string{"http://127.0.0.1/inbound"}})
		}
		begin := time.Now()
		p, err := open()
		if err != nil {
			t.Fatal(err)
		}
		body, err := p.Reader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, body)
		failed(t, err, failure.Retry, failure.StorageFailed)
		if time.Since(begin) != stallTimeout {
			t.Errorf("a stalled body ended after %v", time.Since(begin))
		}
		_ = body.Close()

		begin, hang = time.Now(), http.MethodGet
		_, err = p.Reader(t.Context())
		failed(t, err, failure.Retry, failure.StorageFailed)
		begin2 := time.Now()
		hang = http.MethodHead
		_, err = open()
		failed(t, err, failure.Retry, failure.StorageFailed)
		if begin2.Sub(begin) != headerTimeout || time.Since(begin2) != headerTimeout {
			t.Errorf("answers that never begin ended after %v and %v", begin2.Sub(begin), time.Since(begin2))
		}
	})
}

// fixed serves one blob of three bytes whose download gives body.
func fixed(body func(*http.Request) io.ReadCloser) *Opener {
	return NewOpener(Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"1"`}, "Content-Length": {"3"}}, Body: http.NoBody, Request: r}
		if r.Method == http.MethodGet {
			resp.Body = body(r)
		}
		return resp, nil
	})})
}

func openFixed(t *testing.T, o *Opener) io.ReadCloser {
	t.Helper()
	p, err := o.Open(t.Context(), Source{DataRef: "http://127.0.0.1/inbound/a"}, Rule{Containers: []string{"http://127.0.0.1/inbound"}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := p.Reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestADownloadOfAnotherSizeIsNoDownload(t *testing.T) {
	for _, content := range []string{"ab", "", "abcd"} {
		body := openFixed(t, fixed(func(*http.Request) io.ReadCloser { return io.NopCloser(strings.NewReader(content)) }))
		got, err := io.ReadAll(body)
		if len(content) < 3 {
			failed(t, err, failure.Retry, failure.StorageFailed)
		} else if err == nil && string(got) != "abc" {
			t.Errorf("%q came through as %q", content, got)
		}
		_ = body.Close()
	}
}

func TestAPostMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := openFixed(t, fixed(func(r *http.Request) io.ReadCloser { return &liveBody{r.Context(), strings.NewReader("abc")} }))
		for range 3 {
			elapse(time.Hour) // F&O takes the bytes slowly
			if _, err := body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		_ = body.Close()
	})
}

// A liveBody dies with its call, as a real one does.
type liveBody struct {
	ctx context.Context
	io.Reader
}

func (b *liveBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

func (b *liveBody) Close() error { return nil }
