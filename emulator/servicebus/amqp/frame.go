package amqp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Frame types.
const (
	FrameAMQP = 0
	FrameSASL = 1
)

// MinFrameSize is the smallest max-frame-size a peer may announce (part 2, 2.3.1).
const MinFrameSize = 512

// ErrFrameSize is wrapped when a frame is larger than announced.
var ErrFrameSize = errors.New("frame larger than max-frame-size")

// Frame is one frame; Body aliases the reader's buffer until the next ReadFrame.
type Frame struct {
	Type    byte
	Channel uint16
	Body    []byte
}

// FrameReader reads frames into one reused buffer.
type FrameReader struct {
	br  *bufio.Reader
	max int
	buf []byte
}

// NewFrameReader returns a FrameReader that refuses frames above limit bytes.
func NewFrameReader(br *bufio.Reader, limit int) *FrameReader {
	return &FrameReader{br: br, max: limit}
}

// Buffered reports whether a whole frame was read from the connection already, so that Read will not wait.
func (r *FrameReader) Buffered() bool {
	n := r.br.Buffered()
	if n < 8 {
		return false
	}
	head, err := r.br.Peek(4)
	return err == nil && int64(be.Uint32(head)) <= int64(n)
}

// Read reads the next frame.
func (r *FrameReader) Read() (Frame, error) {
	head, err := r.br.Peek(8)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	size, doff := int(be.Uint32(head)), int(head[4])*4
	f := Frame{Type: head[5], Channel: be.Uint16(head[6:])}
	if size > r.max || size < 0 {
		return Frame{}, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameSize, size, r.max)
	}
	if doff < 8 || doff > size {
		return Frame{}, malformed("frame of %d bytes with data offset %d", size, doff)
	}
	if size <= r.br.Size() { // whole frame fits the buffered reader: no copy
		p, err := r.br.Peek(size)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, err
		}
		f.Body = p[doff:size:size]
		// Peek's slice stays valid until the next read, and Discard of buffered bytes cannot fail.
		_, _ = r.br.Discard(size)
		return f, nil
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	p := r.buf[:size]
	if _, err := io.ReadFull(r.br, p); err != nil {
		return Frame{}, err
	}
	f.Body = p[doff:]
	return f, nil
}

// BeginFrame appends a frame header; EndFrame fills in the size.
func BeginFrame(b []byte, kind byte, channel uint16) ([]byte, int) {
	at := len(b)
	return append(b, 0, 0, 0, 0, 2, kind, byte(channel>>8), byte(channel)), at
}

// EndFrame completes the frame that began at offset at.
func EndFrame(b []byte, at int) []byte {
	be.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

// AppendEmptyFrame appends a frame without a body: a sign of life.
func AppendEmptyFrame(b []byte) []byte {
	return append(b, 0, 0, 0, 8, 2, FrameAMQP, 0, 0)
}
