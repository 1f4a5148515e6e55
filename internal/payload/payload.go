package payload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// DefaultMaxSize is the size limit of a route that names none, in bytes. F&O's connector refuses bodies somewhere above
// it: 413 has been reported from 30 MB on, and no limit is documented.
const DefaultMaxSize = 28_000_000

const op = "open payload"

// A Source is what the message says about its payload: exactly one of Body and DataRef.
type Source struct {
	Body     []byte // the inline body
	DataRef  string // claim check: https URL of a blob, without a query
	FileName string // of the data file; names the entry when a raw file is wrapped into a package
	SHA256   string // optional, 64 hex digits, of the bytes the producer handed over
	Entity   string // entity of the route or message; a package must hold it. Empty: any
}

// A Rule is what the route says about its payloads.
type Rule struct {
	Package    bool     // the route wants data packages
	Template   string   // path of a package to wrap raw files into; "" takes packages as they come
	Containers []string // URLs of containers a DataRef may point into
	MaxSize    int64    // bytes to be posted at most; 0 means DefaultMaxSize
}

// Options describe an Opener.
type Options struct {
	Credential azcore.TokenCredential // for Blob Storage; nil refuses claim checks over https
	Transport  http.RoundTripper      // default: a transport of its own; tracing is the caller's to wrap around it
	TempDir    string                 // where wrapped claim checks are spooled; "" means the system's
}

// An Opener opens payloads. It may be used by many goroutines.
type Opener struct {
	blobs   *blobs
	tempDir string
}

// NewOpener returns an Opener.
func NewOpener(o Options) *Opener {
	return &Opener{blobs: newBlobs(o.Credential, o.Transport), tempDir: o.TempDir}
}

// Open checks the payload and returns it. Its error is a *failure.Failure.
func (o *Opener) Open(ctx context.Context, s Source, r Rule) (*Payload, error) {
	if r.MaxSize <= 0 {
		r.MaxSize = DefaultMaxSize
	}
	sum, err := parseSHA256(s.SHA256)
	if err != nil {
		return nil, err
	}
	c, err := o.content(ctx, s, r)
	if err != nil {
		return nil, err
	}
	if c.size == 0 {
		return nil, reject(failure.EmptyBody, "the payload holds no bytes")
	}
	if r.Package && r.Template != "" {
		return o.wrap(ctx, c, sum, s, r)
	}
	if c.size > r.MaxSize {
		return nil, tooLarge(fmt.Sprintf("the payload holds %d bytes", c.size), r.MaxSize)
	}
	if err := c.verify(ctx, sum); err != nil {
		return nil, err
	}
	if r.Package {
		if err := validate(c.at(ctx), c.size, s.Entity); err != nil {
			return nil, err
		}
	}
	return &Payload{size: c.size, open: c.open}, nil
}

// A content is the bytes as the producer handed them over.
type content struct {
	size int64
	open func(context.Context) (io.ReadCloser, error)
	at   func(context.Context) io.ReaderAt
}

// content finds the bytes and their size.
func (o *Opener) content(ctx context.Context, s Source, r Rule) (content, error) {
	switch {
	case s.DataRef != "" && len(s.Body) > 0:
		return content{}, reject(failure.BadMessage, "the message has both a body and a dataref: send one of them")
	case s.DataRef == "" && len(s.Body) == 0:
		return content{}, reject(failure.EmptyBody, "the message has neither a body nor a dataref")
	case s.DataRef == "":
		return content{
			size: int64(len(s.Body)),
			open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.Body)), nil },
			at:   func(context.Context) io.ReaderAt { return bytes.NewReader(s.Body) },
		}, nil
	}
	ref, err := resolve(s.DataRef, r.Containers)
	if err != nil {
		return content{}, &failure.Failure{Verdict: failure.Reject, Reason: failure.ClaimCheckRefused, Op: op, Detail: err.Error()}
	}
	b, err := o.blobs.find(ctx, ref)
	if err != nil {
		return content{}, err
	}
	return content{
		size: b.size,
		open: func(ctx context.Context) (io.ReadCloser, error) { return b.open(ctx, 0, b.size) },
		at:   func(ctx context.Context) io.ReaderAt { return newPagedReader(ctx, b) },
	}, nil
}

// A Payload is what will be posted.
type Payload struct {
	size  int64
	open  func(context.Context) (io.ReadCloser, error)
	close func() error // may be nil
}

// Size returns the number of bytes that Reader returns.
func (p *Payload) Size() int64 { return p.size }

// Reader returns the content from its first byte, as often as wanted. Errors, also those of reading, are *failure.Failure.
func (p *Payload) Reader(ctx context.Context) (io.ReadCloser, error) { return p.open(ctx) }

// Close frees what the payload holds. Readers must not be used after it.
func (p *Payload) Close() error {
	if p.close == nil {
		return nil
	}
	return p.close()
}

// reject returns the failure of a payload that will never do.
func reject(r failure.Reason, detail string) error {
	return &failure.Failure{Verdict: failure.Reject, Reason: r, Op: op, Detail: detail}
}

func tooLarge(what string, limit int64) error {
	return reject(failure.PayloadTooLarge, fmt.Sprintf("%s, and the route takes at most %d (maxSize): split the file", what, limit))
}

// errNoCredential is the cause when a claim check needs a token and none can be had.
var errNoCredential = errors.New("no identity for Blob Storage is configured")
