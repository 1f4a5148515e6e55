package payload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"fnobridge/internal/failure"
)

// errSpool marks errors of the disk, which are not those of storage.
var errSpool = errors.New("spool file")

// A spool is a file of ours that holds one package while it is posted: readable by this user only, and without a name
// where the system allows that, so that even a killed process leaves nothing behind.
type spool struct {
	file *os.File
	size int64
	name string // still to be removed; "" when it is already
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "fnobridge-*.zip") // 0600
	if err != nil {
		return nil, err
	}
	s := &spool{file: f, name: f.Name()}
	if os.Remove(s.name) == nil { // Windows refuses while it is open
		s.name = ""
	}
	return s, nil
}

func (s *spool) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("%w: %w", errSpool, err)
	}
	return n, nil
}

func (s *spool) open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(s.file, 0, s.size)), nil
}

// Close frees the disk space.
func (s *spool) Close() error {
	err := s.file.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// spoolFailure returns the failure of our own disk: full, read-only, not there. It passes or is put right.
func spoolFailure(err error) error {
	return &failure.Failure{
		Verdict: failure.Retry,
		Reason:  failure.StorageFailed,
		Op:      op,
		Detail:  "the package could not be written to a temporary file: check the disk space and the rights of the temporary directory",
		Err:     err,
	}
}
