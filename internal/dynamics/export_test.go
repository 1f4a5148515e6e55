package dynamics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fnobridge/internal/failure"
)

const anExport = `{
  "CorrelationId": "5acd8121-d4e1-4cf8-b31f-9713de3e3627",
  "PopReceipt": "AgAAAAMAAAAAAAAA3XpSEQ0b1QE=",
  "DownloadLocation": "LOCATION",
  "IsDownLoadFileExist": true,
  "FileDownLoadErrorMessage": "",
  "LastDequeueDateTime": null
}`

func TestDequeueDownloadAck(t *testing.T) {
	const path = "/api/connector/download/%7Bb0b5401e-56ca-4dc8-b566-84389a001236%7D?correlation-id=5acd8121&blob=c5fb"
	var acked, ackType string
	left := 1
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			t.Errorf("%s without a token", r.URL)
		}
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/api/connector/dequeue/"+anActivity && left > 0:
			// Behind a load balancer F&O says http and a port of its own.
			_, _ = io.WriteString(w, strings.Replace(anExport, "LOCATION", "http://127.0.0.1:80"+path, 1))
		case r.Method == http.MethodGet && r.URL.Path == "/api/connector/dequeue/"+anActivity:
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodGet && r.URL.RequestURI() == path:
			_, _ = io.WriteString(w, "PK the file")
		case r.Method == http.MethodPost && r.URL.Path == "/api/connector/ack/"+anActivity:
			b, _ := io.ReadAll(r.Body)
			acked, ackType = string(b), r.Header.Get("Content-Type")
			left--
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
	x, err := e.Dequeue(t.Context(), "{"+anActivity+"}")
	if err != nil || !x.HasFile || x.Redelivered() || x.CorrelationID != "5acd8121-d4e1-4cf8-b31f-9713de3e3627" {
		t.Fatalf("%+v %v", x, err)
	}
	body, err := e.Download(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err != nil || string(b) != "PK the file" || body.Close() != nil {
		t.Errorf("%q %v", b, err)
	}
	if err := e.Ack(t.Context(), anActivity, x); err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(anExport, "LOCATION", "http://127.0.0.1:80"+path, 1); acked != want || ackType != "application/json" {
		t.Errorf("acknowledged with %q as %s, want the body of dequeue, byte for byte", acked, ackType)
	}
	if x, err := e.Dequeue(t.Context(), anActivity); x != nil || err != nil {
		t.Errorf("%+v %v, want nothing", x, err)
	}
}

func TestDequeueTakesWhatFnOMayLeaveOut(t *testing.T) {
	const some = `"CorrelationId":"c","PopReceipt":"p"`
	rows := map[string]struct {
		hasFile, redelivered bool
		says                 string
	}{
		`{` + some + `,"DownloadLocation":"https://x/f","IsDownLoadFileExist":true}`:                                                   {true, false, ""},
		`{` + some + `,"DownloadLocation":"https://x/f"}`:                                                                              {true, false, ""},
		`{` + some + `,"DownloadLocation":null,"IsDownLoadFileExist":true}`:                                                            {false, false, ""},
		`{` + some + `,"IsDownLoadFileExist":true}`:                                                                                    {false, false, ""},
		`{` + some + `,"DownloadLocation":"https://x/f","IsDownLoadFileExist":false,"FileDownLoadErrorMessage":"gone"}`:                {false, false, "gone"},
		`{` + some + `,"DownloadLocation":"https://x/f","FileDownLoadErrorMessage":null,"LastDequeueDateTime":"2024-05-03T10:11:12Z"}`: {true, true, ""},
		`{` + some + `,"DownloadLocation":"https://x/f","LastDequeueDateTime":""}`:                                                     {true, false, ""},
		`{` + some + `,"DownloadLocation":"https://x/f","LastDequeueDateTime":"0001-01-01T00:00:00"}`:                                  {true, false, ""},
		`{` + some + `,"DownloadLocation":"https://x/f","LastDequeueDateTime":"1900-01-01T00:00:00Z"}`:                                 {true, false, ""},
	}
	for body, want := range rows {
		e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(200, body), nil })})
		x, err := e.Dequeue(t.Context(), anActivity)
		if err != nil || x.HasFile != want.hasFile || x.Redelivered() != want.redelivered || x.FileError != want.says {
			t.Errorf("%s: %+v %v", body, x, err)
		}
	}
	for _, body := range []string{"", "  ", "null"} {
		e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(200, body), nil })})
		if x, err := e.Dequeue(t.Context(), anActivity); x != nil || err != nil {
			t.Errorf("%q: %+v %v", body, x, err)
		}
	}
	for _, body := range []string{"<html>", "{}", `{"PopReceipt":"p"}`, "[]"} {
		e := newEnvironment(t, Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return answer(200, body), nil })})
		_, err := e.Dequeue(t.Context(), anActivity)
		failed(t, err, failure.Retry, failure.BadAnswer)
	}
}

func TestTheTokenGoesToTheConfiguredHostOnly(t *testing.T) {
	const configured = "https://contoso.operations.dynamics.com"
	rows := map[string]string{ // location: what is asked, "" when it is refused
		"https://contoso.operations.dynamics.com/f?a=b":           configured + "/f?a=b",
		"http://contoso.operations.dynamics.com/f":                configured + "/f",
		"http://contoso.operations.dynamics.com:80/f":             configured + "/f",
		"https://CONTOSO.operations.dynamics.com:8443/f%2Fg":      configured + "/f%2Fg",
		"/api/connector/download/x":                               configured + "/api/connector/download/x",
		"https://user:password@contoso.operations.dynamics.com/f": configured + "/f",
		"https://evil.example/f":                                  "",
		"https://contoso.operations.dynamics.com.evil.example/f":  "",
		"https://contoso.operations.dynamics.com@evil.example/f":  "",
		"//evil.example/f":                                        "",
		"https://contoso.operations.dynamics.com.:443/f":          "",
		"data:text/plain,x":                                       "",
		"f":                                                       "",
		"":                                                        "",
		"https://[::1":                                            "",
		"file:///etc/passwd":                                      configured + "/etc/passwd", // only the path counts
	}
	for location, want := range rows {
		var asked *url.URL
		e := newEnvironment(t, Options{URL: configured, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = r.URL
			return answer(200, "x"), nil
		})})
		body, err := e.Download(t.Context(), &Export{DownloadLocation: location})
		if err == nil {
			_ = body.Close()
		}
		switch {
		case want == "" && asked != nil:
			t.Errorf("%q: the token went to %s", location, asked)
		case want == "":
			failed(t, err, failure.Reject, failure.BadAnswer)
		case err != nil || asked.String() != want:
			t.Errorf("%q: asked %v, %v", location, asked, err)
		}
	}
}

func TestAReaderMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironment(t, Options{Timeout: time.Minute, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slowBody{ctx: r.Context(), left: 3}}, nil
		})})
		body, err := e.Download(t.Context(), &Export{DownloadLocation: "/f"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			elapse(time.Hour) // publishing what was read so far
			if _, err := body.Read(make([]byte, 1)); err != nil {
				t.Fatalf("read %d: %v", i+1, err)
			}
		}
		_ = body.Close()
	})
}

// A body that gives a byte now and then, and hangs in the end until its call is over.
type slowBody struct {
	ctx   context.Context
	pause time.Duration
	left  int
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	b.left--
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case <-time.After(b.pause):
		p[0] = 'x'
		return 1, nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (b *slowBody) Close() error { return nil }

func TestADownloadMayTakeLongButNotStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironment(t, Options{Timeout: time.Minute, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slowBody{ctx: r.Context(), pause: 50 * time.Second, left: 100}}, nil
		})})
		begin := time.Now()
		body, err := e.Download(t.Context(), &Export{DownloadLocation: "/f"})
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, body)
		failed(t, err, failure.Retry, failure.Timeout)
		if want := 100*50*time.Second + time.Minute; n != 100 || time.Since(begin) != want {
			t.Errorf("%d bytes in %v, want 100 in %v", n, time.Since(begin), want)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		body, err = e.Download(ctx, &Export{DownloadLocation: "/f"})
		if err != nil {
			t.Fatal(err)
		}
		cancel(errBoom)
		if _, err := io.Copy(io.Discard, body); !failure.IsStop(err) || !errors.Is(err, errBoom) {
			t.Errorf("stopped download: %v", err)
		}
		_ = body.Close()
	})
}

func TestADownloadThatDoesNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEnvironment(t, Options{Timeout: time.Minute, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		begin := time.Now()
		_, err := e.Download(t.Context(), &Export{DownloadLocation: "/f"})
		failed(t, err, failure.Retry, failure.Timeout)
		if time.Since(begin) != time.Minute {
			t.Errorf("it took %v", time.Since(begin))
		}
	})
}

func TestConnectorReadsNeverHaveAnUnknownOutcome(t *testing.T) {
	e := newEnvironment(t, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		return nil, io.ErrUnexpectedEOF
	})})
	_, err := e.Dequeue(t.Context(), anActivity)
	failed(t, err, failure.Retry, failure.ConnectionBroken)
	err = e.Ack(t.Context(), anActivity, &Export{body: []byte("{}")})
	failed(t, err, failure.Retry, failure.ConnectionBroken)
	_, err = e.MessageStatus(t.Context(), aMessageID)
	failed(t, err, failure.Retry, failure.ConnectionBroken)
}
