package dynamics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fnobridge/internal/failure"
)

// An Export is one message of an export job, as dequeue gave it.
type Export struct {
	CorrelationID    string
	PopReceipt       string
	DownloadLocation string // empty when F&O named none
	HasFile          bool   // false: nothing to download, but still to be acknowledged
	FileError        string // F&O's word on why there is no file; often empty
	LastDequeued     string // when F&O offered it before, as F&O wrote it; empty the first time

	body []byte // the answer of dequeue, byte for byte: what ack wants back
}

// Redelivered reports whether F&O has offered this message before. It does so every 30 minutes until it is acknowledged.
func (x *Export) Redelivered() bool { return x.LastDequeued != "" }

// Dequeue returns the next message of an export job, and nil without an error when there is none. Take one, download,
// publish and acknowledge it before the next: receipts go stale.
//
// Source: Microsoft Learn, recurring-integrations, "API for dequeue".
func (e *Environment) Dequeue(ctx context.Context, activity string) (*Export, error) {
	c := call{
		kind:   kindDequeue,
		op:     "dequeue",
		method: http.MethodGet,
		url:    e.path("api", "connector", "dequeue", trimGUID(activity)),
	}
	a, err := e.fetch(ctx, c)
	if err != nil {
		return nil, err
	}
	body := a.body
	if a.status == http.StatusNoContent || len(bytes.TrimSpace(body)) == 0 || string(bytes.TrimSpace(body)) == "null" {
		return nil, nil
	}
	x, err := parseExport(body)
	if err != nil {
		return nil, unusable(c, a, "F&O's answer is not an export message: "+said("", body))
	}
	return x, nil
}

// parseExport reads the answer of dequeue. The odd casing of two fields is F&O's.
func parseExport(body []byte) (*Export, error) {
	var raw struct {
		CorrelationID    *string `json:"CorrelationId"`
		PopReceipt       *string `json:"PopReceipt"`
		DownloadLocation *string `json:"DownloadLocation"`
		HasFile          *bool   `json:"IsDownLoadFileExist"`
		FileError        *string `json:"FileDownLoadErrorMessage"`
		LastDequeued     *string `json:"LastDequeueDateTime"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &raw); err != nil {
		return nil, fmt.Errorf("export message: %w", err)
	}
	x := &Export{
		CorrelationID:    text(raw.CorrelationID),
		PopReceipt:       text(raw.PopReceipt),
		DownloadLocation: text(raw.DownloadLocation),
		FileError:        text(raw.FileError),
		LastDequeued:     text(raw.LastDequeued),
		body:             body,
	}
	if x.CorrelationID == "" {
		return nil, fmt.Errorf("export message: no CorrelationId")
	}
	// Incremental exports have been seen without a location, whatever the flag says.
	x.HasFile = x.DownloadLocation != "" && (raw.HasFile == nil || *raw.HasFile)
	if strings.HasPrefix(x.LastDequeued, "0001-01-01") || strings.HasPrefix(x.LastDequeued, "1900-01-01") {
		x.LastDequeued = "" // the empty date of .NET and of F&O
	}
	return x, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return strings.TrimSpace(*s)
}

// Download opens the file of an export. The answer must begin within Options.Timeout, and may then take as long as it
// keeps moving: a pause longer than that ends it. Errors while reading are *failure.Failure, too.
//
// The location is F&O's own URL and wants the token. Behind a load balancer it may say http:// or name a port; the call
// goes to the configured scheme, host and port whatever it says, and a location on another host is refused.
// Source: Microsoft Learn, recurring-integrations, "HTTP vs HTTPS".
func (e *Environment) Download(ctx context.Context, x *Export) (io.ReadCloser, error) {
	c := call{kind: kindConnector, op: "download", method: http.MethodGet}
	u, err := e.locate(x.DownloadLocation)
	if err != nil {
		return nil, &failure.Failure{Verdict: failure.Reject, Reason: failure.BadAnswer, Op: c.op, Err: err}
	}
	c.url = u
	callCtx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(e.timeout, func() { cancel(errCallTimeout) })
	resp, _, err := e.do(callCtx, ctx, c)
	timer.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return &stallReader{ReadCloser: resp.Body, ctx: ctx, call: callCtx, idle: e.timeout, timer: timer, cancel: cancel}, nil
}

// locate returns the URL under which the file is fetched.
func (e *Environment) locate(location string) (*url.URL, error) {
	if location == "" {
		return nil, fmt.Errorf("the export has no file")
	}
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("the download location is not a URL")
	}
	if u.Host != "" && !strings.EqualFold(u.Hostname(), e.base.Hostname()) {
		return nil, fmt.Errorf("the download location is on host %q, not on the environment's: the token stays here", u.Hostname())
	}
	if u.Opaque != "" || !strings.HasPrefix(u.Path, "/") {
		return nil, fmt.Errorf("the download location has no path")
	}
	u.Scheme, u.Host, u.User, u.Fragment, u.RawFragment = e.base.Scheme, e.base.Host, nil, "", ""
	return u, nil
}

// Ack acknowledges an export: F&O does not offer it again. It may be repeated.
//
// Source: Microsoft Learn, recurring-integrations, "API for ack": the body is that of dequeue, unchanged.
func (e *Environment) Ack(ctx context.Context, activity string, x *Export) error {
	_, err := e.fetch(ctx, call{
		kind:        kindConnector,
		op:          "ack",
		method:      http.MethodPost,
		url:         e.path("api", "connector", "ack", trimGUID(activity)),
		contentType: "application/json",
		size:        int64(len(x.body)),
		open:        func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.body)), nil },
	})
	return err
}
