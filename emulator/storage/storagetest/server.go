package storagetest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"fnobridge/emulator/storage"
)

// A Server is the Blob Storage of one test.
type Server struct {
	*storage.Server
	web *httptest.Server
}

// New starts a Blob Storage over http that wants no token. It ends with the test.
func New(tb testing.TB) *Server {
	s := storage.New("")
	return end(tb, &Server{s, httptest.NewServer(s)})
}

// NewTLS starts a Blob Storage over https that wants a token as the bearer of every request. Its certificate is for
// example.com and 127.0.0.1; Client trusts it. It ends with the test.
func NewTLS(tb testing.TB, token string) *Server {
	s := storage.New(token)
	return end(tb, &Server{s, httptest.NewTLSServer(s)})
}

func end(tb testing.TB, s *Server) *Server {
	tb.Cleanup(s.Close)
	return s
}

// URL returns the address of the account, without a trailing slash.
func (s *Server) URL() string { return s.web.URL }

// Addr returns HOST:PORT.
func (s *Server) Addr() string { return s.web.Listener.Addr().String() }

// Client returns an HTTP client that trusts the server.
func (s *Server) Client() *http.Client { return s.web.Client() }

// Close ends the server before the test does, for tests of a storage that is not there.
func (s *Server) Close() { s.web.Close() }

// Upload stores a blob under /container/name and returns its URL.
func (s *Server) Upload(path string, content []byte) string {
	s.Put(path, content)
	return s.URL() + (&url.URL{Path: path}).EscapedPath()
}
