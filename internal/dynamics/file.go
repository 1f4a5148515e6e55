package dynamics

import (
	"context"
	"io"
)

// A File is what Enqueue uploads.
type File struct {
	Activity   string // GUID of the recurring data job
	Entity     string // label of the data entity as data management shows it; not sent for a package
	Company    string // legal entity, sent when not empty; F&O honours it only with "Use company from message"
	ExternalID string // x-ms-dyn-externalidentifier: found again in F&O's message table, not an idempotency key
	Package    bool   // a data package (zip), else one file
	Size       int64  // bytes that Open gives

	// Open gives the content from its first byte. It is called once per attempt, which may be twice per Enqueue (after a
	// 401), and what it returned is closed before Enqueue returns or soon after.
	Open func(context.Context) (io.ReadCloser, error)
}
