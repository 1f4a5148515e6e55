package dynamics

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/retry"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// maxDetail bounds what the other side said, in a failure's Detail, in bytes.
const maxDetail = 1000

// This file makes failures of answers and of missing ones: the verdict comes from the table, the words from here.

// refused returns the failure of an answer with a status that is not 2xx, and closes it. complete says that F&O may have
// the whole request.
func refused(c call, resp *http.Response, complete bool) error {
	defer drain(resp.Body)
	after := retry.Asked(resp.Header.Get("Retry-After"), time.Now())
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // what came of it is worth having, and the status decides
	r := ruleStatus(answered{kind: c.kind, status: resp.StatusCode, asked: after > 0, complete: complete})
	f := &failure.Failure{
		Verdict: r.verdict,
		Reason:  r.reason,
		Op:      c.op,
		Status:  resp.StatusCode,
		After:   after,
		Detail:  said(resp.Header.Get("Content-Type"), body),
	}
	if speaksOData(resp.StatusCode, body) {
		f.Err = &refusedByFno{f.Detail}
	}
	return f
}

// refusedByFno marks a refusal in the words of the protocol. What stands in front of F&O, and answers in its place while it
// is away, has other words.
type refusedByFno struct{ said string }

func (r *refusedByFno) Error() string { return r.said }

// speaksOData reports whether a refusal is F&O's own: an OData error, or a bare 400, which is seen for an ID that F&O does
// not know.
func speaksOData(status int, body []byte) bool {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if len(body) == 0 {
		return status == http.StatusBadRequest
	}
	var e struct {
		Error *odataError `json:"error"`
	}
	return json.Unmarshal(body, &e) == nil && e.Error != nil
}

// unusable returns the failure of a 2xx answer that is not what the protocol says.
func unusable(c call, a result, why string) error {
	r := ruleStatus(answered{kind: c.kind, status: a.status, complete: a.complete})
	return &failure.Failure{
		Verdict: r.verdict,
		Reason:  r.reason,
		Op:      c.op,
		Status:  a.status,
		Detail:  why,
	}
}

// broken returns the failure of a call without a (whole) answer. complete says that F&O may have the whole request, which
// for an upload makes the outcome unknown, whoever ended it: a caller who stops there leaves a file that F&O may import.
func broken(ctx context.Context, c call, err error, complete bool) error {
	f := &failure.Failure{Op: c.op, Err: failure.Scrub(err)}
	if ctx.Err() != nil {
		f.Err = failure.NewStop(ctx)
	}
	f.Detail = failure.Tidy(f.Err.Error(), maxDetail)
	if c.kind == kindEnqueue && complete {
		f.Verdict, f.Reason = failure.Unknown, failure.UnknownOutcome
		return f
	}
	r := ruleNetwork(err)
	f.Verdict, f.Reason = r.verdict, r.reason
	return f
}

// bodyFailure returns the failure of an upload whose body could not be read. F&O has taken nothing.
func bodyFailure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return failure.StoppedCall(ctx)
	}
	if f, ok := errors.AsType[*failure.Failure](err); ok {
		return f
	}
	return &failure.Failure{Verdict: failure.Retry, Reason: failure.StorageFailed, Op: op, Detail: "the payload could not be read", Err: failure.Scrub(err)}
}

// tokenFailure returns the failure of a call for want of a token.
func tokenFailure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return failure.StoppedCall(ctx)
	}
	if failure.IsStop(err) {
		err = errCallTimeout // the call's own context ended, not the caller's: that is no stop
	}
	r := ruleToken(err)
	f := &failure.Failure{Verdict: r.verdict, Reason: r.reason, Op: op + ": token", Err: failure.Scrub(err)}
	refusal, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if ok && refusal.RawResponse != nil {
		f.Status = refusal.RawResponse.StatusCode
		f.After = retry.Asked(refusal.RawResponse.Header.Get("Retry-After"), time.Now())
		body, _ := runtime.Payload(refusal.RawResponse) // azcore has it in memory and keeps it there for others
		f.Detail = said(refusal.RawResponse.Header.Get("Content-Type"), body)
		f.Err = failure.Quiet("Microsoft Entra ID refused", err) // its own text is a dump of the whole answer
	}
	f.Detail = cmp.Or(f.Detail, failure.Tidy(f.Err.Error(), maxDetail))
	return f
}

// An errorBody is an error as OData, Web API and Entra ID write it.
type errorBody struct {
	Error            json.RawMessage `json:"error"`
	ErrorDescription string          `json:"error_description"`
	Message          string          `json:"Message"`
	ExceptionMessage string          `json:"ExceptionMessage"`
}

type odataError struct {
	Message string      `json:"message"`
	Inner   *odataError `json:"innererror"`
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// said returns what the other side said in words for a person, cut and scrubbed: the message of a JSON error, the title of
// an HTML page, or plain text.
func said(contentType string, body []byte) string {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	var e errorBody
	switch {
	case text == "":
		return ""
	case json.Unmarshal([]byte(text), &e) == nil:
		var inner odataError
		if json.Unmarshal(e.Error, &inner) == nil {
			deepest := inner.Message
			for i := inner.Inner; i != nil; i = i.Inner { // the outer message is "An error has occurred."
				deepest = cmp.Or(i.Message, deepest)
			}
			return failure.Tidy(deepest, maxDetail)
		}
		first, _, _ := strings.Cut(e.ErrorDescription, "\n") // what follows are trace IDs
		return failure.Tidy(cmp.Or(first, e.ExceptionMessage, e.Message, unquote(e.Error)), maxDetail)
	case strings.HasPrefix(text, "<") || strings.Contains(contentType, "html"):
		if m := htmlTitle.FindStringSubmatch(text); m != nil {
			return failure.Tidy(m[1], maxDetail)
		}
		return ""
	default:
		var s string
		if json.Unmarshal([]byte(text), &s) == nil {
			text = s
		}
		return failure.Tidy(text, maxDetail)
	}
}

func unquote(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // anything but a string says nothing to a person
	return s
}
