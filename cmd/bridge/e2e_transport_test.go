package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/contract"
	"fnobridge/internal/dynamics"
)

const (
	storageHost  = "contoso.blob.core.windows.net"
	storageToken = "a-token-for-storage"
	container    = "https://" + storageHost + "/inbound"
)

// storageCredential is the bridge's identity to Blob Storage.
type storageCredential struct{}

func (storageCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: storageToken, ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// A recordingTransport carries every HTTP request of the bridge: to an embedded Blob Storage, for the host of that name,
// over TLS; to everybody else as in production. It keeps the tokens that went to each host, and the bodies of posts.
type recordingTransport struct {
	storage, others *http.Transport

	mu     sync.Mutex
	tokens map[string][]string // by host, each once
	posts  map[string][]string // contents that were sent to the end, by external identifier
}

// claims returns the world a Blob Storage.
func (w *world) claims() *storagetest.Server {
	w.t.Helper()
	s := storagetest.NewTLS(w.t, storageToken)
	w.http = newTransport(w.t, s)
	return s
}

func newTransport(t testing.TB, s *storagetest.Server) *recordingTransport {
	r := &recordingTransport{
		storage: s.Client().Transport.(*http.Transport).Clone(), others: dynamics.NewTransport(),
		tokens: map[string][]string{}, posts: map[string][]string{},
	}
	r.storage.TLSClientConfig.ServerName = "example.com" // in the certificate
	r.storage.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr())
	}
	t.Cleanup(func() { r.storage.CloseIdleConnections(); r.others.CloseIdleConnections() })
	return r
}

func (r *recordingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	if a := req.Header.Get("Authorization"); !slices.Contains(r.tokens[req.URL.Host], a) {
		r.tokens[req.URL.Host] = append(r.tokens[req.URL.Host], a)
	}
	r.mu.Unlock()
	if req.URL.Host == storageHost {
		return r.storage.RoundTrip(req)
	}
	if id := req.Header.Get("x-ms-dyn-externalidentifier"); id != "" {
		req = req.Clone(req.Context())
		req.Body = &postBody{ReadCloser: req.Body, transport: r, id: id, left: req.ContentLength}
	}
	return r.others.RoundTrip(req)
}

// A postBody keeps what is read of it, and hands it to the transport at its end.
type postBody struct {
	io.ReadCloser
	transport *recordingTransport
	id        string
	left      int64
	read      bytes.Buffer
}

func (b *postBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if b.left -= int64(n); b.left == 0 && n > 0 {
		b.transport.mu.Lock()
		b.transport.posts[b.id] = append(b.transport.posts[b.id], b.read.String())
		b.transport.mu.Unlock()
	}
	return n, err
}

// posted returns the contents that were sent whole under an external identifier.
func (r *recordingTransport) posted(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts[id])
}

// claim sends a claim check.
func (w *world) claim(to, session, id, dataref string, props map[string]any) {
	w.t.Helper()
	all := map[string]any{contract.PropDataRef: dataref}
	maps.Copy(all, props)
	w.send(to, message(session, id, "", all))
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
