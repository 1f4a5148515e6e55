package dynamics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// An upload follows the body of one request into the transport, because what F&O can have taken depends on it:
//
//	             Read gave every byte
//	incomplete ───────────────────────▶ complete      F&O may have the file: no answer means an unknown outcome
//	    │
//	    └─────▶ sealed      the call is over: not one byte more is handed over, so "incomplete" stays true
//
// The seal matters because a transport may go on reading the body for a moment after RoundTrip returned.
type upload struct {
	ctx  context.Context
	size int64
	open func(context.Context) (io.ReadCloser, error)

	mu       sync.Mutex
	complete bool
	sealed   bool
	err      error // why the body itself failed, if it did
}

// perMegabyte is how much more time a call has for each megabyte of its body: what a line of 1 Mbit/s needs.
const perMegabyte = 8 * time.Second

// UploadTime returns how much longer than Options.Timeout an upload may take for its size.
func UploadTime(size int64) time.Duration { return time.Duration(size>>20) * perMegabyte }

var errSealed = errors.New("the call is over")

// errShort says that the payload held fewer bytes than its size.
var errShort = errors.New("payload is shorter than its size")

// reader opens the body from its first byte; the transport calls it again when it may safely start over.
func (u *upload) reader() (io.ReadCloser, error) {
	rc, err := u.open(u.ctx)
	if err != nil {
		u.fail(err)
		return nil, err
	}
	return &uploadReader{upload: u, body: rc}, nil
}

func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.sealed && u.err == nil {
		u.err = err
	}
}

// written notes that the request is on its way. It tells about a body of no bytes, which nobody reads.
func (u *upload) written() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.size == 0 && !u.sealed {
		u.complete = true
	}
}

// handedOver reports whether every byte was handed over by now. An answer that came before that is not one of F&O's to
// the file: the rest of the body may still leave, but whoever answered has not waited for it.
func (u *upload) handedOver() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.complete
}

// seal ends the handing over and reports what became of it.
func (u *upload) seal() (complete bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sealed = true
	return u.complete, u.err
}

// An uploadReader is the body as the transport reads it, once.
type uploadReader struct {
	*upload
	body   io.ReadCloser
	handed int64 // only the transport's one reading goroutine touches it
}

func (r *uploadReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return 0, errSealed
	}
	r.handed += int64(n)
	switch {
	case r.handed >= r.size:
		r.complete = true
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %d of %d bytes", errShort, r.handed, r.size)
		fallthrough
	case err != nil:
		if r.err == nil {
			r.err = err
		}
	}
	return n, err
}

func (r *uploadReader) Close() error { return r.body.Close() }
