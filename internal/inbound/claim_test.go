package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/status"
)

const theContainer = "https://acct.blob.example/in"

// A fakeBlob is Blob Storage with one blob. before is called with the count of a request before it is answered.
type fakeBlob struct {
	content string
	version int
	reads   int // GET
	looks   int // HEAD
	before  func(b *fakeBlob, method string)
}

// overwrite returns the blob another content, and with it another ETag.
func (b *fakeBlob) overwrite(content string) { b.content, b.version = content, b.version+1 }

func (b *fakeBlob) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodHead {
		b.looks++
	} else {
		b.reads++
	}
	if b.before != nil {
		b.before(b, req.Method)
	}
	etag := fmt.Sprintf(`"v%d"`, b.version)
	if want := req.Header.Get("If-Match"); want != "" && want != etag {
		r := reply(http.StatusPreconditionFailed, "")
		r.Header.Set("x-ms-error-code", "ConditionNotMet")
		r.Request = req
		return r, nil
	}
	r := &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Etag": {etag}, "Content-Length": {fmt.Sprint(len(b.content))}},
		ContentLength: int64(len(b.content)), Body: http.NoBody, Request: req,
	}
	if req.Method == http.MethodGet {
		r.Body = io.NopCloser(strings.NewReader(b.content))
	}
	return r, nil
}

// claim sends a file as a claim check; in the end its content is what body says.
func (w *world) claim(session, id, body string, props map[string]any) {
	all := map[string]any{contract.PropDataRef: theContainer + "/a"}
	maps.Copy(all, props)
	seq := w.b.send(session, id, nil, all)
	w.sent = append(w.sent, history.Sent{Session: session, Index: int(seq), MessageID: id, Hash: hashOf(body)})
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// A producer that overwrites the blob of a message under way gets its newer version imported, once.
func TestABlobThatChangedIsLookedAtAnew(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		blob := &fakeBlob{content: "first", before: func(b *fakeBlob, method string) {
			if method == http.MethodGet && b.reads == 1 { // it was found, and is not the same any more
				b.overwrite("second, and longer")
			}
		}}
		w.blobs, w.route.Payload.Containers = blob, []string{theContainer}
		w.claim("Entity 0", "a", "second, and longer", nil)
		w.start()
		w.drained()
		if r := w.check(); r.Processed != 1 || w.posts("a") != 1 {
			t.Errorf("%+v, %d posts", r, w.posts("a"))
		}
		if blob.looks != 2 || blob.reads != 2 {
			t.Errorf("the blob was looked at %d times and read %d times, want 2 and 2", blob.looks, blob.reads)
		}
		wantStatuses(t, w, "a", status.Enqueued, status.Processing, status.Processed)
	})
}

// What the message says of the payload holds for every version of its blob.
func TestABlobThatChangedIsCheckedAnew(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		blob := &fakeBlob{content: "first", before: func(b *fakeBlob, method string) {
			if method == http.MethodGet && b.reads == 2 { // its checksum was right
				b.overwrite("other")
			}
		}}
		w.blobs, w.route.Payload.Containers = blob, []string{theContainer}
		w.claim("Entity 0", "a", "first", map[string]any{contract.PropSHA256: hashOf("first")})
		w.start()
		w.drained()
		w.check()
		wantLetter(t, w, "a", failure.ChecksumMismatch)
		if n := w.posts("a"); n != 0 {
			t.Errorf("posted %d times", n)
		}
	})
}
