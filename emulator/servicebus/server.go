package servicebus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/broker"
)

// Server is a running emulator.
type Server struct {
	log    *slog.Logger
	o      Options
	broker *broker.Broker
	ln     net.Listener // nil with Addr "none"
	addr   string
	ca     *authority
	tls    *tls.Config
	web    *handover // connections that speak HTTP
	http   *http.Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	faults  Faults
	timers  timers
	running sync.WaitGroup // every goroutine of the server

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	links  map[*conn]struct{} // AMQP connections
	closed bool
}

// handshakeTime bounds everything before a connection is open.
const handshakeTime = time.Minute

// Start starts an emulator. It listens when Start returns.
func Start(o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = broker.RealClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b, err := broker.New(o.Clock, o.Namespace)
	if err != nil {
		return nil, fmt.Errorf("start service bus emulator: %w", err)
	}
	s := &Server{log: o.Logger, o: o, broker: b, conns: map[net.Conn]struct{}{}, links: map[*conn]struct{}{},
		addr: "localhost:5672"}
	s.faults.s = s
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if o.Addr != "none" {
		if o.Addr == "" {
			o.Addr = "127.0.0.1:0"
		}
		if s.ln, err = net.Listen("tcp", o.Addr); err != nil {
			s.cancel()
			b.Close()
			return nil, fmt.Errorf("start service bus emulator: %w", err)
		}
		s.addr = s.ln.Addr().String()
	}
	if s.ca, err = newAuthority(s.addr); err != nil {
		_ = s.close()
		return nil, fmt.Errorf("start service bus emulator: %w", err)
	}
	s.tls = s.ca.config()
	s.web = newHandover()
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: handshakeTime, IdleTimeout: 2 * handshakeTime,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug)}
	s.running.Go(func() {
		if err := s.http.Serve(s.web); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("http server ended", "err", err)
		}
	})
	if s.ln != nil {
		s.running.Go(s.accept)
	}
	if o.IdleRules {
		s.later(sweepEvery, s.sweep)
	}
	return s, nil
}

func (s *Server) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.log.Error("accept", "err", err)
			}
			return
		}
		if t, ok := nc.(*net.TCPConn); ok {
			_ = t.SetNoDelay(true)
		}
		s.take(nc)
	}
}

// take serves a new connection in its own goroutine.
func (s *Server) take(nc net.Conn) {
	if s.faults.refuses() || !s.track(nc) {
		_ = nc.Close() // nothing was said on it
		return
	}
	s.running.Go(func() {
		s.sniff(nc)
	})
}

// track registers a connection so that Close can end it; false after Close.
func (s *Server) track(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[nc] = struct{}{}
	return true
}

func (s *Server) untrack(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
}

// Dial connects to the server through memory. It fits azservicebus.ClientOptions.NewWebSocketConn and needs no port.
func (s *Server) Dial(context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	s.take(server)
	return client, nil
}

// Close ends every connection and waits for all goroutines.
func (s *Server) Close() error { return s.close() }

func (s *Server) close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	conns := s.conns
	s.conns = map[net.Conn]struct{}{}
	s.mu.Unlock()
	s.cancel()
	if s.ln != nil {
		_ = s.ln.Close() // only a second close fails
	}
	var err error
	if s.http != nil {
		err = s.http.Close()
		_ = s.web.Close() // cannot fail
	}
	s.dropTimers()
	for nc := range conns {
		_ = nc.Close() // cut: the peer sees it
	}
	for _, c := range s.amqpConns() {
		c.kill()
	}
	s.running.Wait()
	s.broker.Close()
	return err
}

// Addr is the host:port the server listens on.
func (s *Server) Addr() string { return s.addr }

// CAPEM is the certificate authority that signed the server's certificate.
func (s *Server) CAPEM() []byte { return s.ca.pem }

// ConnectionString connects over plain TCP with the first key that has all rights.
func (s *Server) ConnectionString() string {
	name, key := s.broker.RootKey()
	return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;UseDevelopmentEmulator=true", s.addr,
		name, key)
}

// TLSConnectionString connects over TLS; the client must trust CAPEM.
func (s *Server) TLSConnectionString() string {
	name, key := s.broker.RootKey()
	return fmt.Sprintf("Endpoint=sb://%s/;SharedAccessKeyName=%s;SharedAccessKey=%s", s.addr, name, key)
}
