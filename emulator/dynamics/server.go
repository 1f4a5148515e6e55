package dynamics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// readHeaderTimeout bounds the head of a request; only a broken client reaches it.
const readHeaderTimeout = 30 * time.Second

// A Server is one running F&O environment with its own Entra. Start makes it, Close ends it. Safe for use by several
// goroutines.
type Server struct {
	options Options
	clock   Clock
	logger  *slog.Logger
	faults  *Faults
	tokens  tokens
	imports *imports
	exports *exports
	jobs    map[uuid.UUID]*job
	secrets map[string]string

	port        *demux
	plain       *http.Server
	secure      *http.Server
	certificate []byte // PEM
	client      *http.Client

	calls   map[Operation]*atomic.Int64
	cookies atomic.Int64

	stop    context.CancelFunc
	wg      sync.WaitGroup // the two Serve loops and the handlers
	mu      sync.Mutex     // guards hanging and closed
	hanging map[net.Conn]bool
	closed  bool
}

// Start makes a server that is ready for calls. The error names every problem of the options at once.
func Start(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("start the embedded Dynamics 365: %w", err)
	}
	s := &Server{
		options: o, clock: o.Clock, logger: slog.New(slog.DiscardHandler), tokens: tokens{issued: map[string]grant{}},
		imports: newImports(o.Clock, o.KeepBodies), jobs: map[uuid.UUID]*job{}, secrets: map[string]string{},
		hanging: map[net.Conn]bool{}, calls: map[Operation]*atomic.Int64{},
	}
	if o.Logger != nil {
		s.logger = o.Logger
	}
	for client, secret := range o.Clients {
		s.secrets[fold(client)] = secret
	}
	known := map[string]*Entity{}
	for _, e := range o.Entities {
		known[fold(e.Label)] = &e
	}
	for _, j := range o.Jobs {
		r := newJob(j, &s.options, known)
		s.jobs[r.id] = r
	}
	for _, op := range operations {
		s.calls[op] = &atomic.Int64{}
	}
	s.faults = &Faults{clock: o.Clock}
	s.exports = newExports(o.Clock, o.Redelivery)
	if err := s.openJournal(); err != nil {
		return nil, fmt.Errorf("start the embedded Dynamics 365: %w", err)
	}
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("start the embedded Dynamics 365: %w", errors.Join(err, s.closeJournal()))
	}
	return s, nil
}

func (s *Server) openJournal() error {
	if s.options.Journal == "" {
		return nil
	}
	old, err := ReadJournal(s.options.Journal)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := s.imports.restore(old, s.jobs); err != nil {
		return err
	}
	s.imports.journal, err = openJournal(s.options.Journal)
	return err
}

func (s *Server) closeJournal() error {
	if s.imports.journal == nil {
		return nil
	}
	return s.imports.journal.close()
}

func (s *Server) listen() error {
	cert, text, err := newCertificate(time.Now()) // the real time: the other side's TLS checks against that
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.options.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	s.certificate = text
	s.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.port = newDemux(l, cert, func() bool { return s.faults.pick(target{op: Connect}, false) != nil })
	base := http.Server{
		ReadHeaderTimeout: readHeaderTimeout, BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			born := &atomic.Int64{}
			born.Store(s.faults.connects.Load())
			return context.WithValue(ctx, bornKey{}, born)
		},
		ErrorLog: log.New(discard{}, "", 0), // broken connections are what faults are for
	}
	s.plain, s.secure = newHTTP(&base, s.accept), newHTTP(&base, s.accept)
	if s.options.TLS {
		s.plain.Handler = http.HandlerFunc(s.redirect)
	}
	s.wg.Go(func() { _ = s.plain.Serve(s.port.plain) }) // always ends with an error, when the port is closed
	s.wg.Go(func() { _ = s.secure.Serve(s.port.secure) })
	return nil
}

func newHTTP(base *http.Server, h http.HandlerFunc) *http.Server {
	return &http.Server{
		ReadHeaderTimeout: base.ReadHeaderTimeout, BaseContext: base.BaseContext, ConnContext: base.ConnContext,
		ErrorLog: base.ErrorLog, Handler: h,
	}
}

type discard struct{}

// Write forgets.
func (discard) Write(b []byte) (int, error) { return len(b), nil }

// redirect is what a plain-text call of an https environment gets. Source: Microsoft Learn, recurring integrations,
// "Http vs Https": the client must call https itself.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusFound)
}

// URL is the environment's address, as a configuration names it: without a trailing slash.
func (s *Server) URL() string {
	if s.options.TLS {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// AuthorityHost is the address of its Entra; always https, on the same port.
func (s *Server) AuthorityHost() string { return "https://" + s.Addr() + "/" }

// Addr is HOST:PORT.
func (s *Server) Addr() string { return s.port.Addr().String() }

// CertificatePEM is the certificate of the https side, for the roots of a client in another process.
func (s *Server) CertificatePEM() []byte { return append([]byte(nil), s.certificate...) }

// Client trusts the certificate and follows no redirect. Close ends its idle connections.
func (s *Server) Client() *http.Client { return s.client }

// Faults is the set of armed faults.
func (s *Server) Faults() *Faults { return s.faults }

// Imports returns every accepted import in the order of acceptance, with the status it has now.
func (s *Server) Imports() []Import { return s.imports.snapshot() }

// WaitImports blocks until n imports have been accepted.
func (s *Server) WaitImports(ctx context.Context, n int) error { return s.imports.wait(ctx, n) }

// Body returns what was accepted as a message, when Options.KeepBodies is on.
func (s *Server) Body(messageID string) ([]byte, bool) {
	r := s.imports.byMessage(messageID)
	if r == nil {
		return nil, false
	}
	s.imports.mu.RLock()
	defer s.imports.mu.RUnlock()
	b, ok := s.imports.bodies[r.id]
	return b, ok
}

// Calls says how many calls of an operation came in, refused and failed ones included.
func (s *Server) Calls(op Operation) int64 {
	if n := s.calls[op]; n != nil {
		return n.Load()
	}
	return 0
}

// Cookies says how many calls came with a cookie. F&O's affinity cookie is set on every answer; a client that sends it
// back works against the throttling. Source: Microsoft Learn, throttling FAQ.
func (s *Server) Cookies() int64 { return s.cookies.Load() }

// RevokeTokens makes every token invalid at once: the next call with one is 401.
func (s *Server) RevokeTokens() { s.tokens.revoke() }

// bornKey is where a connection's context keeps the number of Connect faults there had been when it was opened.
type bornKey struct{}

// refused lets a Connect fault hit a call on a connection that was open before the fault was armed, once: a new
// connection had its turn when it was accepted.
func (s *Server) refused(r *http.Request) bool {
	n := s.faults.connects.Load()
	born, ok := r.Context().Value(bornKey{}).(*atomic.Int64)
	return ok && born.Swap(n) < n && s.faults.pick(target{op: Connect}, false) != nil
}

// keepHanging registers a connection that hangs, so that Close can end it; false when the server is closing already.
func (s *Server) keepHanging(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.hanging[c] = true
	return true
}

func (s *Server) release(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hanging, c)
	_ = c.Close()
}

// Close ends the server: the port, every connection, every delayed or hanging call. It returns when all of them are
// gone. Calling it again does nothing.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.wg.Wait()
		return nil
	}
	s.closed = true
	for c := range s.hanging {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.stop()
	errs := []error{s.port.Close(), s.plain.Close(), s.secure.Close()}
	s.client.CloseIdleConnections()
	s.wg.Wait()
	errs = append(errs, s.closeJournal())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the embedded Dynamics 365: %w", err)
	}
	return nil
}

// operations are all that are counted.
var operations = []Operation{
	Token, Enqueue, Status, ExecutionID, Errors, SummaryURL, SummaryStatus, JobStatus, Dequeue, Download, Ack,
}

// trimBraces takes %7B...%7D off a GUID in a path: Microsoft's samples have them, others do not.
func trimBraces(s string) string { return strings.Trim(s, "{}") }
