package dynamics

import (
	"context"
	"errors"
	"fnobridge/internal/failure"
	"io"
	"time"
)

// A stallReader ends a download on which nothing has moved for a while. That a download takes long is no reason to end it.
type stallReader struct {
	io.ReadCloser
	ctx    context.Context // the caller's
	call   context.Context // the call's, which timer and Close end
	idle   time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (r *stallReader) Read(p []byte) (int, error) {
	r.timer.Reset(r.idle)
	n, err := r.ReadCloser.Read(p)
	r.timer.Stop()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case r.ctx.Err() != nil:
		return n, failure.StoppedCall(r.ctx)
	case r.call.Err() != nil:
		err = context.Cause(r.call)
	}
	return n, broken(r.ctx, call{kind: kindConnector, op: "download"}, err, false)
}

func (r *stallReader) Close() error {
	r.timer.Stop()
	r.cancel(nil)
	return r.ReadCloser.Close()
}
