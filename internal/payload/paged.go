package payload

import (
	"context"
	"io"
)

const (
	pageSize = 256 << 10 // one download
	maxPages = 8         // kept; the directory of a package and its two XML files need few
)

// A pagedReader is random access to a blob, in pages, for one goroutine. It keeps the last few.
type pagedReader struct {
	ctx   context.Context
	blob  *storedBlob
	pages map[int64][]byte
	order []int64 // oldest first
}

func newPagedReader(ctx context.Context, b *storedBlob) *pagedReader {
	return &pagedReader{ctx: ctx, blob: b, pages: map[int64][]byte{}}
}

// ReadAt implements io.ReaderAt.
func (r *pagedReader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		if at >= r.blob.size {
			return n, io.EOF
		}
		page, err := r.page(at / pageSize)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], page[at%pageSize:])
	}
	return n, nil
}

func (r *pagedReader) page(number int64) ([]byte, error) {
	if p, ok := r.pages[number]; ok {
		return p, nil
	}
	start := number * pageSize
	p := make([]byte, min(pageSize, r.blob.size-start))
	body, err := r.blob.open(r.ctx, start, int64(len(p)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // read to its end, or the error is already there
	if _, err := io.ReadFull(body, p); err != nil {
		return nil, storageFailure(r.ctx, err)
	}
	if len(r.order) == maxPages {
		delete(r.pages, r.order[0])
		r.order = r.order[1:]
	}
	r.pages[number], r.order = p, append(r.order, number)
	return p, nil
}
