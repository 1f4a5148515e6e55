package payload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/retry"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

const (
	headerTimeout = 30 * time.Second // for Blob Storage to begin its answer
	stallTimeout  = 60 * time.Second // for the next bytes of a download
	maxWords      = 500              // bytes of an error's text that are kept
)

// blobs reads Blob Storage.
type blobs struct {
	credential azcore.TokenCredential
	options    blob.ClientOptions
}

func newBlobs(c azcore.TokenCredential, transport http.RoundTripper) *blobs {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = headerTimeout
		t.MaxIdleConnsPerHost = 16
		transport = t
	}
	b := &blobs{credential: c}
	b.options.Transport = transporter{transport}
	b.options.Retry.MaxRetries = -1 // none: the route's own backoff decides
	b.options.Telemetry.Disabled = true
	return b
}

// A transporter calls the transport without an http.Client around it: no redirects, no cookies.
type transporter struct{ http.RoundTripper }

func (t transporter) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Accept-Encoding", "identity") // a blob stored as gzip is posted as it is
	return t.RoundTrip(req)
}

// A storedBlob is one version of one blob.
type storedBlob struct {
	client *blob.Client
	size   int64
	etag   *azcore.ETag
}

// find asks for the properties of the blob.
func (b *blobs) find(ctx context.Context, u *url.URL) (*storedBlob, error) {
	client, err := b.client(u)
	if err != nil {
		return nil, reject(failure.ClaimCheckRefused, err.Error())
	}
	callCtx, cancel := context.WithTimeout(ctx, headerTimeout)
	defer cancel()
	props, err := client.GetProperties(callCtx, nil)
	if err != nil {
		return nil, storageFailure(ctx, err)
	}
	if props.ContentLength == nil || *props.ContentLength < 0 || props.ETag == nil {
		return nil, storageFailure(ctx, errors.New("no Content-Length or no ETag"))
	}
	return &storedBlob{client: client, size: *props.ContentLength, etag: props.ETag}, nil
}

// client sends no token over plain http, which only a loopback host may use: an emulator has no need of one.
func (b *blobs) client(u *url.URL) (*blob.Client, error) {
	options := b.options // the SDK keeps what it is given
	if u.Scheme == "http" {
		return blob.NewClientWithNoCredential(u.String(), &options)
	}
	if b.credential == nil {
		return nil, errNoCredential
	}
	return blob.NewClient(u.String(), b.credential, &options)
}

// open starts a download of count bytes from offset. A download that breaks is taken up where it broke, three times
// for one read at most; a blob that changed since find is an error.
func (s *storedBlob) open(ctx context.Context, offset, count int64) (io.ReadCloser, error) {
	callCtx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(headerTimeout, func() { cancel(errStalled) })
	resp, err := s.client.DownloadStream(callCtx, &blob.DownloadStreamOptions{
		Range:            blob.HTTPRange{Offset: offset, Count: count},
		AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: s.etag}},
	})
	timer.Stop()
	if err != nil {
		cancel(nil)
		return nil, storageFailure(ctx, err)
	}
	return &blobReader{
		ctx:    ctx,
		body:   resp.NewRetryReader(callCtx, nil),
		left:   count,
		timer:  timer,
		cancel: cancel,
	}, nil
}

// errStalled is the cause of the context of a download on which nothing moved.
var errStalled = fmt.Errorf("nothing came in time: %w", context.DeadlineExceeded)

// A blobReader turns the errors of a download into failures and counts what came.
type blobReader struct {
	ctx    context.Context // the caller's
	body   io.ReadCloser
	left   int64
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (r *blobReader) Read(p []byte) (int, error) {
	r.timer.Reset(stallTimeout)
	n, err := r.body.Read(p)
	r.timer.Stop()
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, storageFailure(r.ctx, err)
	case r.left != 0:
		return n, storageFailure(r.ctx, fmt.Errorf("the download is off by %d bytes: %w", r.left, io.ErrUnexpectedEOF))
	default:
		return n, io.EOF
	}
}

func (r *blobReader) Close() error {
	r.timer.Stop()
	err := r.body.Close()
	r.cancel(nil)
	return err
}

// storageFailure returns the failure of a call to Blob Storage. Only a blob that is not there is the message's fault; rights,
// throttling and outages are not, and pass or are put right.
func storageFailure(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*failure.Failure](err); ok {
		return err
	}
	f := &failure.Failure{Verdict: failure.Retry, Reason: failure.StorageFailed, Op: op, Err: err}
	answer, ok := errors.AsType[*azcore.ResponseError](err)
	switch {
	case ctx.Err() != nil:
		f.Err = failure.NewStop(ctx)
		return f
	case !ok:
		f.Detail = "Blob Storage did not deliver the payload"
		f.Err = failure.Quiet(failure.Tidy(err.Error(), maxWords), err) // azidentity's errors dump whole answers
		return f
	}
	f.Status, f.Err = answer.StatusCode, failure.Quiet(cmp.Or(answer.ErrorCode, "no error code"), err)
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		f.Verdict, f.Reason = failure.Reject, failure.ClaimCheckMissing
		f.Detail = "the blob that dataref names is not there: it must outlive the message, dead-lettering included"
	case http.StatusPreconditionFailed:
		f.Detail = "the blob changed while it was being read: write a new blob for every message"
	case http.StatusUnauthorized, http.StatusForbidden:
		f.Detail = "the bridge's identity may not read the container: it needs the role Storage Blob Data Reader on it, and its network must be let in"
	default:
		f.Detail = "Blob Storage did not deliver the payload"
	}
	if answer.RawResponse != nil {
		f.After = retry.Asked(answer.RawResponse.Header.Get("Retry-After"), time.Now())
	}
	return f
}
