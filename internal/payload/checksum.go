package payload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"fnobridge/internal/failure"
)

// parseSHA256 reads the property; nil when it is absent.
func parseSHA256(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(sum) != sha256.Size {
		return nil, reject(failure.BadMessage, "sha256 must be 64 hex digits")
	}
	return sum, nil
}

// verify reads the content once and compares; it is nil without a checksum. The reading is one of its own, before the
// post, so that a damaged file is never posted. For a blob, If-Match makes sure that the post reads the same.
func (c content) verify(ctx context.Context, want []byte) error {
	if want == nil {
		return nil
	}
	body, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read from
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return readFailure(ctx, err)
	}
	return compare(h.Sum(nil), want)
}

func compare(have, want []byte) error {
	if bytes.Equal(have, want) {
		return nil
	}
	return reject(failure.ChecksumMismatch, fmt.Sprintf("the payload's SHA-256 is %x, the message says %x: it was changed or damaged on the way", have, want))
}

// readFailure returns the failure of reading the content, whatever wrapped it.
func readFailure(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*failure.Failure](err); ok {
		return f
	}
	return storageFailure(ctx, err)
}
