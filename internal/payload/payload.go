// Package payload opens what a message carries: an inline body, a claim check in Blob Storage, a data package.
package payload

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// A Source is what the message says about its payload.
type Source struct {
	Body     []byte // the inline body; empty with a DataRef
	DataRef  string // claim check: https URL of a blob, without a query
	FileName string // of the data file; names the entry when a raw file is wrapped into a package
	SHA256   string // optional, 64 hex digits, of the bytes the producer handed over
	Entity   string // entity of the route or message; a package must hold it
}

// A Rule is what the route says about its payloads.
type Rule struct {
	Package    bool     // the route wants data packages
	Template   string   // path of a package to wrap raw files into; "" takes packages as they come
	Containers []string // https URLs of containers a DataRef may point into
	MaxSize    int64    // bytes to be posted at most; 0 means DefaultMaxSize
}

// DefaultMaxSize is the size limit of a route that names none: F&O's connector refuses bodies somewhere above it.
const DefaultMaxSize = 28_000_000

// Options describe an Opener.
type Options struct {
	Credential azcore.TokenCredential // for Blob Storage; nil refuses claim checks
	Transport  http.RoundTripper      // default: a transport of its own; tracing is the caller's to wrap around it
	TempDir    string                 // where wrapped claim checks are spooled; "" means the system's
	Logger     *slog.Logger           // default: discards
}

// An Opener opens payloads.
type Opener struct{ o Options }

// NewOpener gives an Opener.
func NewOpener(o Options) *Opener { return &Opener{o: o} }

// Open checks the payload and gives it. Its error is a *failure.Failure.
func (o *Opener) Open(ctx context.Context, s Source, r Rule) (*Payload, error) {
	return nil, errors.New("being written")
}

// A Payload is what will be posted.
type Payload struct{ size int64 }

// Size gives the number of bytes that Reader gives.
func (p *Payload) Size() int64 { return p.size }

// Reader gives the content from its first byte, as often as wanted.
func (p *Payload) Reader(ctx context.Context) (io.ReadCloser, error) {
	return nil, errors.New("being written")
}

// Close frees what the payload holds.
func (p *Payload) Close() error { return nil }
