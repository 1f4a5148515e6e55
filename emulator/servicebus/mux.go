package servicebus

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/atom"

	"github.com/coder/websocket"
)

// sniff tells by the first byte what a connection speaks: 'A' is an AMQP header, 0x16 a TLS handshake (sniffed again
// inside), anything else HTTP.
func (s *Server) sniff(nc net.Conn) {
	defer s.untrack(nc)
	kept := false
	defer func() {
		if !kept {
			_ = nc.Close() // the peer may have closed it already
		}
	}()
	inner := nc
	for range 2 {
		_ = inner.SetDeadline(time.Now().Add(handshakeTime)) // fails on closed connections only, and so will the read
		br := bufio.NewReaderSize(inner, 16<<10)
		first, err := br.Peek(1)
		if err != nil {
			return
		}
		switch first[0] {
		case 'A':
			s.serve(inner, br)
			return
		case 0x16:
			inner = tls.Server(&sniffed{inner, br}, s.tls)
			continue
		}
		_ = inner.SetDeadline(time.Time{}) // the HTTP server sets its own
		kept = s.web.give(&sniffed{inner, br})
		return
	}
}

// sniffed is a connection whose first bytes were read ahead.
type sniffed struct {
	net.Conn
	br *bufio.Reader
}

func (c *sniffed) Read(p []byte) (int, error) { return c.br.Read(p) }

// handover is a net.Listener fed by the mux.
type handover struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover { return &handover{conns: make(chan net.Conn), done: make(chan struct{})} }

func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }

// routes are what the port answers over HTTP.
func (s *Server) routes() http.Handler {
	manager := s.broker.Admin()
	manager.DetachOnUpdate = s.o.IdleRules
	admin := atom.NewHandler(manager, s)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.EqualFold(strings.TrimSuffix(r.URL.Path, "/"), "/$servicebus/websocket"):
			s.websocket(w, r)
		case s.o.Faults && r.URL.Path == "/faults":
			s.faults.ServeHTTP(w, r)
		default:
			admin.ServeHTTP(w, r)
		}
	})
}

// websocket carries AMQP in binary messages; the Go client offers the subprotocol amqp, the JavaScript client
// AMQPWSB10.
func (s *Server) websocket(w http.ResponseWriter, r *http.Request) {
	// Browsers are no clients of this server, so the origin says nothing.
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"amqp", "AMQPWSB10"},
		InsecureSkipVerify: true})
	if err != nil {
		s.log.DebugContext(r.Context(), "websocket refused", "err", err)
		return
	}
	c.SetReadLimit(-1) // frames are bounded by AMQP
	nc := websocket.NetConn(s.ctx, c, websocket.MessageBinary)
	if !s.track(nc) {
		_ = nc.Close()
		return
	}
	defer s.untrack(nc)
	s.serve(nc, bufio.NewReaderSize(nc, 16<<10))
}

// expected reports errors that only mean that the peer is gone.
func expected(err error) bool {
	return errors.Is(err, net.ErrClosed)
}
