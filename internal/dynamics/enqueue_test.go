package dynamics

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

func TestEnqueueSendsWhatFnOExpects(t *testing.T) {
	var got *http.Request
	var body string
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got, body = r.Clone(context.Background()), string(b)
		http.SetCookie(w, &http.Cookie{Name: "ARRAffinity", Value: "1"})
		_, _ = io.WriteString(w, `"`+aMessageID+`"`)
	})
	f, _ := aFile("a;b\n1;2\n")
	f.Entity, f.Company, f.ExternalID = `Größe "A&B" + 100%/x`, "us mf", "m-1\näöü"
	for range 2 { // the second call would bring a cookie back
		id, err := e.Enqueue(t.Context(), f)
		if err != nil || id != aMessageID {
			t.Fatalf("id %q, %v", id, err)
		}
	}
	if want := "/api/connector/enqueue/" + anActivity; got.URL.Path != want {
		t.Errorf("path %s, want %s", got.URL.Path, want)
	}
	if strings.Contains(got.URL.RawQuery, "+") {
		t.Errorf("a plus in the query, F&O takes it for part of the name: %s", got.URL.RawQuery)
	}
	if q := got.URL.Query(); q.Get("entity") != f.Entity || q.Get("company") != f.Company || len(q) != 2 {
		t.Errorf("query %v", q)
	}
	want := map[string]string{
		"Content-Type":   "application/octet-stream",
		externalIDHeader: "m-1%0A%C3%A4%C3%B6%C3%BC",
		"Authorization":  "Bearer " + secretToken + "-1",
		"Cookie":         "",
	}
	for k, v := range want {
		if got.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, got.Header.Get(k), v)
		}
	}
	if body != "a;b\n1;2\n" || got.ContentLength != f.Size {
		t.Errorf("body %q of length %d", body, got.ContentLength)
	}
}

func TestEnqueueOfAPackageNamesNoEntity(t *testing.T) {
	for company, want := range map[string]string{"": "", "usmf": "company=usmf"} {
		e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != want || r.Header.Get("Content-Type") != "application/zip" {
				t.Errorf("query %q, type %q", r.URL.RawQuery, r.Header.Get("Content-Type"))
			}
			_, _ = io.WriteString(w, aMessageID)
		})
		f, _ := aFile("PK")
		f.Package, f.Company = true, company
		if _, err := e.Enqueue(t.Context(), f); err != nil {
			t.Error(err)
		}
	}
}

func TestEnqueueTakesEveryFormOfAMessageID(t *testing.T) {
	good := []string{
		aMessageID, `"` + aMessageID + `"`, " \r\n\"" + aMessageID + "\"\n", "{" + aMessageID + "}", `"{` + aMessageID + `}"`,
		`{"value":"` + aMessageID + `"}`, "{\n  \"@odata.context\": \"x\", \"value\": \"{" + aMessageID + "}\"\n}", "\ufeff\"" + aMessageID + `"`,
	}
	bad := []string{
		"", "null", `""`, "{}", `{"value":null}`, `{"value":""}`, `{"value":7}`, "<html><title>Sign in</title></html>", "ok",
		aMessageID + "0", `{"value":"` + zeroGUID + `"}`, `"` + zeroGUID + `"`, `{"id":"` + aMessageID + `"}`,
	}
	var body string
	var whole bool
	e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if whole {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		return answer(200, body), nil
	})})
	f, _ := aFile("x")
	for _, body = range good {
		if id, err := e.Enqueue(t.Context(), f); err != nil || id != aMessageID {
			t.Errorf("%q: %q %v", body, id, err)
		}
	}
	for _, body = range bad {
		whole = true
		_, err := e.Enqueue(t.Context(), f)
		failed(t, err, failure.Unknown, failure.BadAnswer)
		whole = false // a page that comes before the body: nobody has taken it
		_, err = e.Enqueue(t.Context(), f)
		failed(t, err, failure.Retry, failure.BadAnswer)
	}
}

func TestEnqueueWithA401TakesOneFreshTokenAndTheWholeBodyAgain(t *testing.T) {
	credential := &fakeCredential{}
	challenge := `Bearer claims="` + base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{}}}`)) + `"`
	for _, stubborn := range []bool{false, true} {
		var bodies []string
		var sent []string
		e := newEnvironment(t, Options{Credential: credential, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			bodies, sent = append(bodies, string(b)), append(sent, r.Header.Get("Authorization"))
			if len(sent) == 1 || stubborn {
				return answer(401, `{"Message":"Authorization has been denied for this request."}`, "WWW-Authenticate", challenge), err
			}
			return answer(200, aMessageID), err
		})})
		f, opened := aFile("whole body")
		_, err := e.Enqueue(t.Context(), f)
		if stubborn {
			got := failed(t, err, failure.PauseJob, failure.Unauthorized)
			if !strings.Contains(got.Detail, "denied") {
				t.Errorf("detail %q", got.Detail)
			}
		} else if err != nil {
			t.Error(err)
		}
		if len(sent) != 2 || opened.Load() != 2 {
			t.Fatalf("%d attempts with %d openings", len(sent), opened.Load())
		}
		if sent[0] == sent[1] {
			t.Error("both attempts had one token")
		}
		if bodies[0] != "whole body" || bodies[1] != "whole body" {
			t.Errorf("bodies %q", bodies)
		}
	}
	for i, o := range credential.asked {
		if forced := i%2 == 1; forced != strings.Contains(o.Claims, "nbf") {
			t.Errorf("token request %d: claims %q", i, o.Claims)
		}
	}
}

// A job that does not list the client answers 401 to a good token: no other one is asked for with force, of a service that
// counts requests.
func TestA401WithoutAClaimsChallengeForcesNoToken(t *testing.T) {
	credential := &fakeCredential{get: func(context.Context, int64, policy.TokenRequestOptions) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: secretToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
	calls := 0
	e := newEnvironment(t, Options{Credential: credential, Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		calls++
		return answer(401, "", "WWW-Authenticate", `Bearer authorization_uri="https://login.example/common"`), nil
	})})
	f, _ := aFile("x")
	_, err := e.Enqueue(t.Context(), f)
	failed(t, err, failure.PauseJob, failure.Unauthorized)
	for _, o := range credential.asked {
		if o.Claims != "" {
			t.Errorf("asked with claims %q", o.Claims)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls with the same token", calls)
	}
}

// Whether a server error leaves the outcome unknown says how much of the body had left.
func TestAServerErrorAfterTheWholeBodyIsAnUnknownOutcome(t *testing.T) {
	for _, status := range []int{500, 501, 502, 503, 504, 599} {
		for _, part := range []int64{0, 4, 10} {
			e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				_, _ = io.CopyN(io.Discard, r.Body, part)
				return answer(status, "broken"), nil
			})})
			f, _ := aFile("0123456789")
			_, err := e.Enqueue(t.Context(), f)
			got := failure.Of(err)
			if unknown := part == 10; unknown != (got.Verdict == failure.Unknown) || got.Status != status {
				t.Errorf("HTTP %d after %d of 10 bytes: %v", status, part, got.Verdict)
			}
		}
	}
}

func TestEnqueueSaysWhatFnOSaid(t *testing.T) {
	page := "<!DOCTYPE html><html><head><title>502 - Web server received\n an invalid response</title></head><body>" + strings.Repeat("x", 1<<20) + "</body></html>"
	rows := []struct {
		status  int
		body    string
		header  []string
		verdict failure.Verdict
		reason  failure.Reason
		after   time.Duration
		says    string
	}{
		{302, "", []string{"Location", "https://login.example/?sig=1"}, failure.Pause, failure.Redirected, 0, ""},
		{400, `{"error":{"code":"","message":"An error has occurred.","innererror":{"message":"duplicate key","type":"X","stacktrace":"at ..."}}}`, nil, failure.Retry, failure.BadRequest, 0, "duplicate key"},
		{403, `{"Message":"Forbidden"}`, nil, failure.PauseJob, failure.Forbidden, 0, "Forbidden"},
		{404, "", nil, failure.PauseJob, failure.NotFound, 0, ""},
		{413, "Request Entity Too Large", nil, failure.Reject, failure.PayloadTooLarge, 0, "Request Entity Too Large"},
		{429, "slow down", []string{"Retry-After", "17"}, failure.Pause, failure.Throttled, 17 * time.Second, "slow down"},
		{500, `"just a string"`, nil, failure.Retry, failure.ServerError, 0, "just a string"},
		{502, page, nil, failure.Retry, failure.BadGateway, 0, "502 - Web server received an invalid response"},
		{503, "", []string{"Retry-After", "3"}, failure.Pause, failure.Throttled, 3 * time.Second, ""},
		{503, "<html>no title</html>", nil, failure.Pause, failure.Unavailable, 0, ""},
		{504, "", nil, failure.Retry, failure.GatewayTimeout, 0, ""},
		{500, "see https://x.blob.core.windows.net/a?sv=1&sig=abc with Bearer eyJsecretsecret.a.b", nil, failure.Retry, failure.ServerError, 0, "see https://x.blob.core.windows.net/a with"},
	}
	for _, r := range rows {
		e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(r.status, r.body, r.header...), nil })})
		f, _ := aFile("x")
		_, err := e.Enqueue(t.Context(), f)
		got := failed(t, err, r.verdict, r.reason)
		if got.Status != r.status || got.After != r.after || !strings.Contains(got.Detail, r.says) || len(got.Detail) > maxDetail {
			t.Errorf("HTTP %d: status %d, after %v, detail %q", r.status, got.Status, got.After, got.Detail)
		}
		if strings.ContainsAny(got.Detail, "<>") {
			t.Errorf("markup in %q", got.Detail)
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	f, _ := aFile("x")
	_, err := e.Enqueue(t.Context(), f)
	failed(t, err, failure.Pause, failure.Redirected)
	if _, err := e.Dequeue(t.Context(), anActivity); err == nil {
		t.Error("a redirected dequeue gave no error")
	}
	if elsewhere.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestAServerThatKnowsNo100ContinueGetsTheBodyAnyway(t *testing.T) {
	var got atomic.Int64
	e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Expect") != "" {
			return answer(417, ""), nil
		}
		n, err := io.Copy(io.Discard, r.Body)
		got.Store(n)
		return answer(200, aMessageID), err
	})})
	f, _ := aFile("content")
	if _, err := e.Enqueue(t.Context(), f); err != nil || got.Load() != f.Size {
		t.Errorf("%d bytes, %v", got.Load(), err)
	}
}

func TestNothingIsHandedOverOnceTheCallIsOver(t *testing.T) {
	// A transport that gives up and reads on, as a real one may for a moment.
	e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		go func() { _, _ = io.Copy(io.Discard, r.Body) }()
		return nil, syscall.ECONNRESET
	})})
	for range 200 {
		f, _ := aFile("four")
		_, err := e.Enqueue(t.Context(), f)
		got, ok := errors.AsType[*failure.Failure](err)
		if !ok || got.Verdict != failure.Retry && got.Verdict != failure.Unknown {
			t.Fatal(err)
		}
	}
	u := &upload{ctx: t.Context(), size: 4, open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("four")), nil }}
	r, err := u.reader()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(r, make([]byte, 3))
	if complete, _ := u.seal(); complete {
		t.Error("complete after three of four bytes")
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errSealed) {
		t.Errorf("read %d bytes after the seal, %v", n, err)
	}
	if complete, _ := u.seal(); complete {
		t.Error("became complete after the seal")
	}
}

func TestACallThatEndsInTimeSaysWhatFnOCanHave(t *testing.T) {
	rows := []struct {
		name    string
		read    int64 // bytes of the body that the transport takes before it hangs
		stop    bool  // the caller ends it, not the timeout
		verdict failure.Verdict
		reason  failure.Reason
	}{
		{"timeout with half the body", 2, false, failure.Retry, failure.Timeout},
		{"timeout with the whole body", 4, false, failure.Unknown, failure.UnknownOutcome},
		{"stop with half the body", 2, true, failure.Retry, failure.Unclassified},
		{"stop with the whole body", 4, true, failure.Unknown, failure.UnknownOutcome},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEnvironment(t, Options{Timeout: time.Minute, Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					_, _ = io.CopyN(io.Discard, req.Body, r.read)
					<-req.Context().Done()
					return nil, req.Context().Err()
				})})
				errStop := errors.New("lease lost")
				ctx, cancel := context.WithCancelCause(t.Context())
				if r.stop {
					time.AfterFunc(time.Second, func() { cancel(errStop) })
				}
				begin := time.Now()
				f, _ := aFile("four")
				_, err := e.Enqueue(ctx, f)
				failed(t, err, r.verdict, r.reason)
				if stopped := failure.IsStop(err); stopped != r.stop || r.stop != errors.Is(err, errStop) {
					t.Errorf("stopped %v: %v", stopped, err)
				}
				want := time.Minute
				if r.stop {
					want = time.Second
				}
				if time.Since(begin) != want {
					t.Errorf("it took %v, want %v", time.Since(begin), want)
				}
				cancel(nil)
			})
		})
	}
}

func TestAnUploadHasMoreTimeTheLargerItIs(t *testing.T) {
	for size, want := range map[int64]time.Duration{1000: time.Minute, 28 << 20: time.Minute + 28*8*time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := newEnvironment(t, Options{Timeout: time.Minute, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})})
			began := time.Now()
			f, _ := aFile("")
			f.Size, f.Open = size, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
			if _, err := e.Enqueue(t.Context(), f); err == nil || time.Since(began) != want {
				t.Errorf("%d bytes had %s, want %s: %v", size, time.Since(began), want, err)
			}
		})
	}
}

func TestACallerWhoIsGoneSendsNothing(t *testing.T) {
	var calls atomic.Int64
	e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		calls.Add(1)
		return nil, r.Context().Err()
	})})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for size := range 2 {
		f, _ := aFile(strings.Repeat("x", size))
		_, err := e.Enqueue(ctx, f)
		failed(t, err, failure.Retry, failure.Unclassified)
		if !failure.IsStop(err) {
			t.Errorf("not a stop: %v", err)
		}
	}
}

func TestAnEmptyBodyIsCompleteOnceTheHeadersAreOut(t *testing.T) {
	for _, out := range []bool{false, true} {
		e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if out {
				httptrace.ContextClientTrace(r.Context()).WroteHeaders()
			}
			return nil, syscall.ECONNRESET
		})})
		f, _ := aFile("")
		_, err := e.Enqueue(t.Context(), f)
		if out {
			failed(t, err, failure.Unknown, failure.UnknownOutcome)
		} else {
			failed(t, err, failure.Retry, failure.ConnectionBroken)
		}
	}
}

func TestAPayloadThatCannotBeReadIsNotFnOsFault(t *testing.T) {
	drink := roundTripper(func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return nil, err
	})
	e := newEnvironment(t, Options{Transport: drink})
	given := &failure.Failure{Verdict: failure.Reject, Reason: failure.ClaimCheckMissing}
	rows := map[string]struct {
		open    func(context.Context) (io.ReadCloser, error)
		verdict failure.Verdict
		reason  failure.Reason
	}{
		"open fails":   {func(context.Context) (io.ReadCloser, error) { return nil, errBoom }, failure.Retry, failure.StorageFailed},
		"open rejects": {func(context.Context) (io.ReadCloser, error) { return nil, given }, failure.Reject, failure.ClaimCheckMissing},
		"reading fails": {func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("ab"), errReader{errBoom})), nil
		}, failure.Retry, failure.StorageFailed},
		"reading rejects": {func(context.Context) (io.ReadCloser, error) { return io.NopCloser(errReader{given}), nil }, failure.Reject, failure.ClaimCheckMissing},
		"too short":       {func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("ab")), nil }, failure.Retry, failure.StorageFailed},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := e.Enqueue(t.Context(), File{Activity: anActivity, Entity: "x", Size: 4, Open: r.open})
			failed(t, err, r.verdict, r.reason)
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestEveryNetworkErrorBeforeTheBodyKeepsItsVerdict(t *testing.T) {
	for _, row := range networkRows {
		for _, whole := range []bool{false, true} {
			e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if whole {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				return nil, row.err
			})})
			f, _ := aFile("x")
			_, err := e.Enqueue(t.Context(), f)
			if whole {
				failed(t, err, failure.Unknown, failure.UnknownOutcome)
			} else {
				failed(t, err, row.verdict, row.reason)
			}
		}
	}
}

func TestExternalID(t *testing.T) {
	long := strings.Repeat("ä", 128)
	rows := map[string]string{
		"":              "",
		"order-1 (2)":   "order-1 (2)",
		" x ":           "%20x%20",
		"100%":          "100%25",
		"a\r\nEvil: 1":  "a%0D%0AEvil: 1",
		"\xff":          "%FF",
		long:            ExternalID(long),
		anActivity + "": anActivity,
	}
	for in, want := range rows {
		if got := ExternalID(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if a, b := ExternalID(long+"a"), ExternalID(long+"b"); a == b || len(a) != maxExternalID {
		t.Errorf("%q and %q", a, b)
	}
}
