package dynamics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// externalIDHeader carries the caller's own ID, which F&O stores with the message. Undocumented; Microsoft's own clients
// send it. Source: microsoft/Recurring-Integrations-Scheduler, HttpClientHelper.
const externalIDHeader = "x-ms-dyn-externalidentifier"

// maxExternalID is how much of that header we trust F&O to keep.
const maxExternalID = 100

// A File is what Enqueue uploads.
type File struct {
	Activity   string // GUID of the recurring data job
	Entity     string // label of the data entity as data management shows it; not sent for a package
	Company    string // legal entity, sent when not empty; F&O honours it only with "Use company from message"
	ExternalID string // found again in F&O's message table; not an idempotency key. See ExternalID
	Package    bool   // a data package (zip), else one file
	Size       int64  // bytes that Open returns

	// Open returns the content from its first byte. It is called once per attempt, which may be more than once per Enqueue
	// (after a 401, or when a kept connection turns out to be dead before anything was sent). What it returned is closed
	// by the time Enqueue returns, or shortly after when the call was cut off.
	Open func(context.Context) (io.ReadCloser, error)
}

// Enqueue uploads the file and returns F&O's message ID: F&O has stored the file and will import it when its recurring job
// runs. Its error is always a *failure.Failure, and the verdict says what F&O can have:
//
//	Retry, Reject, Pause, PauseJob   nothing
//	Unknown                          the file or nothing: the whole body was handed to the connection, and no usable answer
//	                                 came, or one that says only that something broke behind whoever gave it (5xx)
//
// The upload waits for F&O's "100 Continue" before it sends the body (two seconds at most, for servers that do not
// know it), so that a dead connection shows before the outcome can be in doubt.
//
// Source: Microsoft Learn, recurring-integrations, "API for enqueue".
func (e *Environment) Enqueue(ctx context.Context, f File) (messageID string, err error) {
	u := e.path("api", "connector", "enqueue", trimGUID(f.Activity))
	contentType := "application/zip"
	if !f.Package {
		contentType = "application/octet-stream"
		if f.Entity != "" {
			query(u, "entity", f.Entity)
		}
	}
	if f.Company != "" {
		query(u, "company", f.Company)
	}
	c := call{
		kind:        kindEnqueue,
		op:          "enqueue",
		method:      http.MethodPost,
		url:         u,
		contentType: contentType,
		externalID:  ExternalID(f.ExternalID),
		size:        f.Size,
		open:        f.Open,
	}
	a, err := e.fetch(ctx, c)
	if err != nil {
		return "", err
	}
	id, ok := parseMessageID(a.body)
	if !ok {
		return "", unusable(c, a, "F&O answered, but not with a message ID: "+said("", a.body))
	}
	return id, nil
}

// ExternalID returns the form in which an ID travels in the header: printable ASCII, everything else percent-encoded, at
// most 100 characters. A longer one keeps its beginning and ends in a hash of the whole, so that it stays unique.
func ExternalID(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; c > ' ' && c < 0x7f && c != '%' || c == ' ' && i > 0 && i < len(id)-1 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= maxExternalID {
		return b.String()
	}
	sum := sha256.Sum256([]byte(id))
	tail := "~" + hex.EncodeToString(sum[:8])
	return b.String()[:maxExternalID-len(tail)] + tail
}

var guid = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)

const zeroGUID = "00000000-0000-0000-0000-000000000000"

// trimGUID takes off what people and F&O put around a GUID.
func trimGUID(s string) string { return strings.Trim(strings.TrimSpace(s), `{}"`) }

// parseMessageID accepts the three forms seen: a JSON string, the bare GUID, {"value":…}; with or without braces around
// the GUID. Anything else is not a message ID.
func parseMessageID(body []byte) (string, bool) {
	text := strings.TrimSpace(strings.TrimPrefix(string(body), "\ufeff"))
	var wrapped struct {
		Value string `json:"value"`
	}
	if inner, ok := strings.CutPrefix(text, "{"); ok && strings.HasPrefix(strings.TrimSpace(inner), `"`) {
		if json.Unmarshal([]byte(text), &wrapped) != nil {
			return "", false
		}
		text = wrapped.Value
	}
	id := trimGUID(text)
	return id, guid.MatchString(id) && id != zeroGUID
}
