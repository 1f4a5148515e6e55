package dynamics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"fnobridge/internal/failure"
)

// Bounds on what is read of an answer. Nothing F&O says in a legitimate answer comes near them.
const (
	maxAnswer = 16 << 20 // execution errors of a file in which every record failed
	maxError  = 64 << 10
)

// errCallTimeout is the cause of the context of a call that took longer than Options.Timeout.
var errCallTimeout = fmt.Errorf("no answer within the timeout: %w", context.DeadlineExceeded)

// A call is one HTTP request to the environment.
type call struct {
	kind        kind
	op          string // for Failure.Op
	method      string
	url         *url.URL
	contentType string
	externalID  string
	size        int64
	open        func(context.Context) (io.ReadCloser, error) // the body; nil for none
}

// path returns the URL of a path under the environment. Segments are escaped.
func (e *Environment) path(segments ...string) *url.URL {
	escaped := make([]string, len(segments))
	for i, s := range segments {
		escaped[i] = url.PathEscape(s)
	}
	root := *e.base
	root.Path = "/" // else the path would be a relative one
	return root.JoinPath(escaped...)
}

// query appends a query parameter. Spaces become %20, never +: F&O takes "+" for part of the entity's name and then the
// message is never processed.
func query(u *url.URL, key, value string) {
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += key + "=" + strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// A result is what came back of a call that had a 2xx answer.
type result struct {
	status   int
	body     []byte
	complete bool // F&O may have the whole request
}

// fetch makes the call and returns the whole of a 2xx answer.
func (e *Environment) fetch(ctx context.Context, c call) (result, error) {
	callCtx, cancel := context.WithTimeoutCause(ctx, e.timeout+UploadTime(c.size), errCallTimeout)
	defer cancel()
	resp, complete, err := e.do(callCtx, ctx, c)
	if err != nil {
		return result{}, err
	}
	defer drain(resp.Body)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := result{resp.StatusCode, body, complete}
	switch {
	case err != nil && ctx.Err() != nil && c.kind != kindEnqueue:
		return result{}, failure.StoppedCall(ctx)
	case err != nil:
		return result{}, broken(ctx, c, err, true)
	case len(body) > maxAnswer:
		return result{}, unusable(c, a, fmt.Sprintf("F&O's answer is longer than %d bytes", maxAnswer))
	}
	return a, nil
}

// do makes the call, a second time with a fresh token after a 401, and returns a 2xx answer or a *failure.Failure. callCtx
// bounds the call and derives from ctx, which is the caller's. complete says that F&O may have the whole request.
func (e *Environment) do(callCtx, ctx context.Context, c call) (resp *http.Response, complete bool, err error) {
	token, err := e.tokens.get(callCtx)
	if err != nil {
		return nil, false, tokenFailure(ctx, c.op, err)
	}
	expect := c.kind == kindEnqueue
	resp, complete, err = e.roundTrip(callCtx, ctx, c, token, expect)
	if err != nil {
		return nil, false, err
	}
	if expect && resp.StatusCode == http.StatusExpectationFailed {
		// Something on the way does not know "Expect: 100-continue". It has refused the request, body unseen.
		drain(resp.Body)
		expect = false
		if resp, complete, err = e.roundTrip(callCtx, ctx, c, token, expect); err != nil {
			return nil, false, err
		}
	}
	if resp.StatusCode == http.StatusUnauthorized {
		challenge := resp.Header.Get("WWW-Authenticate")
		refusal := refused(c, resp, complete) // reads and closes the body
		fresh, err := e.tokens.renew(callCtx, token, challenge)
		switch {
		case ctx.Err() != nil:
			return nil, false, failure.StoppedCall(ctx)
		case err != nil:
			e.log.WarnContext(ctx, "no fresh token after a 401", "environment", e.name, "error", tokenFailure(ctx, c.op, err))
			return nil, false, refusal
		case fresh == token:
			return nil, false, refusal
		}
		if resp, complete, err = e.roundTrip(callCtx, ctx, c, fresh, expect); err != nil {
			return nil, false, err
		}
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, false, refused(c, resp, complete)
	}
	return resp, complete, nil
}

// roundTrip makes one attempt. It calls the transport itself, without http.Client around it: nothing there could follow a
// redirect or keep a cookie.
func (e *Environment) roundTrip(callCtx, ctx context.Context, c call, token string, expect bool) (_ *http.Response, complete bool, _ error) {
	up := &upload{ctx: callCtx, size: c.size, open: c.open}
	tracedCtx := callCtx
	if c.size == 0 { // nobody reads a body of no bytes
		tracedCtx = httptrace.WithClientTrace(callCtx, &httptrace.ClientTrace{WroteHeaders: up.written})
	}
	req, err := http.NewRequestWithContext(tracedCtx, c.method, "", nil)
	if err != nil {
		return nil, false, &failure.Failure{Verdict: failure.Reject, Reason: failure.BadMessage, Op: c.op, Detail: "this makes no HTTP request", Err: failure.Scrub(err)}
	}
	req.URL, req.Host = c.url, c.url.Host // as it is, not written out and parsed again
	e.tokens.authorize(req.Header, token)
	req.Header.Set("Accept", "application/json")
	if c.contentType != "" {
		req.Header.Set("Content-Type", c.contentType)
	}
	if c.externalID != "" {
		req.Header.Set(externalIDHeader, c.externalID)
	}
	if c.open != nil && c.size > 0 {
		body, err := up.reader()
		if err != nil {
			return nil, false, bodyFailure(ctx, c.op, err)
		}
		req.Body, req.GetBody, req.ContentLength = body, up.reader, c.size
		if expect {
			// The body leaves only once F&O has said that it listens. A connection that was dead all along, and a
			// refusal, then show before a single byte that F&O could have taken.
			req.Header.Set("Expect", "100-continue")
		}
	} else if c.method == http.MethodPost {
		req.Body = http.NoBody
	}
	resp, err := e.transport.RoundTrip(req)
	if err == nil && resp == nil {
		err = errors.New("the transport gave neither answer nor error")
	}
	if err == nil {
		return resp, up.handedOver(), nil
	}
	complete, bodyErr := up.seal()
	if callCtx.Err() != nil {
		err = context.Cause(callCtx)
	}
	switch {
	case c.kind == kindEnqueue && complete:
		return nil, false, broken(ctx, c, err, true)
	case ctx.Err() != nil:
		return nil, false, failure.StoppedCall(ctx)
	case bodyErr != nil && callCtx.Err() == nil:
		return nil, false, bodyFailure(ctx, c.op, bodyErr)
	default:
		return nil, false, broken(ctx, c, err, false)
	}
}

// drain reads what little is left of a body, so that the connection can be used again, and closes it.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxError) // an error here only costs the connection
	_ = body.Close()
}
