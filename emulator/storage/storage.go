// Package storage is an embedded Blob Storage as far as a reader of claim checks needs one: HEAD and GET of block
// blobs, with ranges and If-Match, in the shapes that Azure's own client reads, and faults on demand.
//
// There is no writing, listing, SAS, lease, snapshot or container: a test stores blobs with Server.Put. A Server is an
// http.Handler; package storagetest serves it for a test. Source: Microsoft Learn, "Get Blob", "Get Blob Properties",
// "Specifying the range header", "Status and error codes" of Blob Storage.
package storage

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Fault strikes requests that match Method and Path, of which empty ones match all.
type Fault struct {
	Method, Path string
	Skip         int // requests to let pass first
	Times        int // requests to strike; 0: no end

	Before     func()        // called first
	Status     int           // answer this, with Code
	Code       string        // x-ms-error-code
	RetryAfter time.Duration // whole seconds
	Location   string        // of a redirect
	Cut        int64         // reset the connection after so many bytes of the content; negative: before the answer
	Longer     int64         // announce a size that is so much larger than what is there
}

// A Request is what a client asked for.
type Request struct {
	Method, Path, Range, Authorization string
	Status                             int // of the answer; 0 when the connection was reset before it
}

// A Server serves blobs. It is an http.Handler.
type Server struct {
	token string

	mu       sync.Mutex // guards what follows
	blobs    map[string]stored
	versions int
	faults   []*armed
	requests []Request
}

type stored struct {
	content  io.ReaderAt
	size     int64
	etag     string
	modified time.Time
}

type armed struct {
	Fault
	skipped, struck int
}

// New returns a server without blobs. With a token it wants that as the bearer of every request.
func New(token string) *Server { return &Server{token: token, blobs: map[string]stored{}} }

// Put stores a blob under /container/name. Storing it again changes its ETag.
func (s *Server) Put(path string, content []byte) {
	s.PutReaderAt(path, bytes.NewReader(bytes.Clone(content)), int64(len(content)))
}

// PutReaderAt is Put for a blob that need not be in memory. Every request reads it anew, several at a time.
func (s *Server) PutReaderAt(path string, content io.ReaderAt, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions++
	s.blobs[path] = stored{content, size, fmt.Sprintf(`"0x8D%012X"`, s.versions), time.Now()}
}

// Break adds a fault. The oldest one that matches a request strikes it.
func (s *Server) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &armed{Fault: f})
}

// Mend removes all faults.
func (s *Server) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Requests returns what was asked for so far, in order, for one path or ("") for all.
func (s *Server) Requests(path string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r Request) bool { return path != "" && r.Path != path })
}

// strike returns the fault of a request. The zero Fault does nothing.
func (s *Server) strike(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.faults {
		switch {
		case a.Method != "" && a.Method != r.Method, a.Path != "" && a.Path != r.URL.Path, a.Times > 0 && a.struck == a.Times:
		case a.skipped < a.Skip:
			a.skipped++
		default:
			a.struck++
			return a.Fault
		}
	}
	return Fault{}
}

func (s *Server) note(r *http.Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.Path, Range: rangeOf(r), Authorization: r.Header.Get("Authorization"), Status: status,
	})
}

func rangeOf(r *http.Request) string {
	return cmp.Or(r.Header.Get("x-ms-range"), r.Header.Get("Range"))
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.strike(r)
	if f.Before != nil {
		f.Before()
	}
	w.Header().Set("x-ms-version", r.Header.Get("x-ms-version"))
	w.Header().Set("x-ms-request-id", "00000000-0000-0000-0000-000000000000")
	switch {
	case f.Cut < 0:
		s.note(r, 0)
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		if f.Location != "" {
			w.Header().Set("Location", f.Location)
		}
		s.refuse(w, r, f.Status, f.Code)
		return
	}
	s.mu.Lock()
	b, found := s.blobs[r.URL.Path]
	s.mu.Unlock()
	if status, code := s.objection(r, b, found); code != "" {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		s.refuse(w, r, status, code)
		return
	}
	s.answer(w, r, b, f)
}

const challenge = "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize " +
	"resource_id=https://storage.azure.com"

// objection returns why Blob Storage refuses a request; an empty code when it does not.
func (s *Server) objection(r *http.Request, b stored, found bool) (status int, code string) {
	match := r.Header.Get("If-Match")
	switch {
	case r.Method != http.MethodHead && r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, "UnsupportedHttpVerb"
	case r.Header.Get("x-ms-version") == "":
		return http.StatusBadRequest, "MissingRequiredHeader"
	case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
		return http.StatusUnauthorized, "NoAuthenticationInformation"
	case !found:
		return http.StatusNotFound, "BlobNotFound"
	case match != "" && match != "*" && match != b.etag:
		return http.StatusPreconditionFailed, "ConditionNotMet"
	}
	return 0, ""
}

// answer sends the blob or the part of it that was asked for.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, b stored, f Fault) {
	h, status := w.Header(), http.StatusOK
	from, to := int64(0), b.size-1
	if rangeOf(r) != "" {
		var ok bool
		if from, to, ok = parseRange(rangeOf(r), b.size); !ok {
			s.refuse(w, r, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, b.size))
	}
	h.Set("ETag", b.etag)
	h.Set("Last-Modified", b.modified.UTC().Format(http.TimeFormat))
	h.Set("x-ms-blob-type", "BlockBlob")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	length := to - from + 1
	h.Set("Content-Length", strconv.FormatInt(length+f.Longer, 10))
	s.note(r, status)
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	cut := f.Cut > 0 && f.Cut < length
	if cut {
		length = f.Cut
	}
	_, _ = io.Copy(w, io.NewSectionReader(b.content, from, length)) // the client may have gone
	if cut {
		_ = http.NewResponseController(w).Flush() // else the client may see nothing at all
		panic(http.ErrAbortHandler)
	}
}

// refuse answers with an error as Blob Storage writes it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	s.note(r, status)
	w.Header().Set("x-ms-error-code", code)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w,
			"\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%[1]s</Message></Error>", code)
	}
}

// parseRange reads "bytes=from-to" or "bytes=from-"; to is cut to what is there.
func parseRange(text string, size int64) (from, to int64, ok bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	if !ok {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	to = size - 1
	if err == nil && last != "" {
		to, err = strconv.ParseInt(last, 10, 64)
		to = min(to, size-1)
	}
	return from, to, err == nil && from >= 0 && from < size && from <= to
}
