package dynamics

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

// helloTimeout is how long a connection may stay silent before it is closed: only a client that opens and never speaks
// reaches it.
const helloTimeout = 30 * time.Second

// acceptPause keeps a failing accept from spinning.
const acceptPause = 10 * time.Millisecond

// A demux takes connections from one port and hands those that begin with a TLS handshake to one listener and the
// others to another: the authority host must be https where the environment may be plain text.
type demux struct {
	net.Listener
	plain, secure *branch
	config        *tls.Config
	refuse        func() bool // asked for each new connection: reset it?
	wg            sync.WaitGroup
	ctx           context.Context
	cancel        context.CancelFunc

	mu      sync.Mutex
	greeted map[net.Conn]bool // waiting for their first byte
}

func newDemux(l net.Listener, cert tls.Certificate, refuse func() bool) *demux {
	ctx, cancel := context.WithCancel(context.Background())
	d := &demux{
		Listener: l, ctx: ctx, cancel: cancel, refuse: refuse, greeted: map[net.Conn]bool{},
		config: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"}},
	}
	d.plain = &branch{addr: l.Addr(), conns: make(chan net.Conn), ctx: ctx}
	d.secure = &branch{addr: l.Addr(), conns: make(chan net.Conn), ctx: ctx}
	d.wg.Go(d.run)
	return d
}

func (d *demux) run() {
	for {
		conn, err := d.Accept()
		if errors.Is(err, net.ErrClosed) || (err != nil && d.ctx.Err() != nil) {
			return
		}
		if err != nil { // out of descriptors and the like: it passes
			wait(d.ctx, Real{}, acceptPause)
			continue
		}
		if d.refuse() {
			reset(conn)
			continue
		}
		d.wg.Go(func() { d.greet(conn) })
	}
}

// greet reads the first byte: 0x16 opens a TLS handshake and no HTTP method.
func (d *demux) greet(conn net.Conn) {
	d.mu.Lock()
	d.greeted[conn] = true
	d.mu.Unlock()
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout)) // fails only on a closed connection, which Peek reports
	r := bufio.NewReader(conn)
	first, err := r.Peek(1)
	d.mu.Lock()
	delete(d.greeted, conn)
	d.mu.Unlock()
	if err != nil || d.ctx.Err() != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	p := &peeked{Conn: conn, r: r}
	b, c := d.plain, net.Conn(p)
	if first[0] == 0x16 {
		b, c = d.secure, tls.Server(p, d.config)
	}
	select {
	case b.conns <- c:
	case <-d.ctx.Done():
		_ = conn.Close()
	}
}

// Close ends the port and waits for the connections that had not spoken yet.
func (d *demux) Close() error {
	d.cancel()
	err := d.Listener.Close()
	d.mu.Lock()
	for c := range d.greeted {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
	return err
}

// A branch is one of the two listeners.
type branch struct {
	addr  net.Addr
	conns chan net.Conn
	ctx   context.Context
}

// Accept returns the next connection of this branch.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close does nothing: the demux owns the port.
func (b *branch) Close() error { return nil }

// Addr is the address of the port.
func (b *branch) Addr() net.Addr { return b.addr }

// A peeked connection returns the bytes that were looked at before it reads on.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was peeked first, then the connection itself.
func (p *peeked) Read(b []byte) (int, error) {
	if p.r != nil && p.r.Buffered() > 0 {
		return p.r.Read(b)
	}
	return p.Conn.Read(b)
}

// CloseWrite lets net/http end a connection with unread input without breaking it.
func (p *peeked) CloseWrite() error {
	if c, ok := p.Conn.(*net.TCPConn); ok {
		return c.CloseWrite()
	}
	return nil
}

// reset closes a connection so that the other side sees it broken, not ended.
func reset(c net.Conn) {
	raw := c
	for {
		switch t := raw.(type) {
		case *tls.Conn:
			raw = t.NetConn()
			continue
		case *peeked:
			raw = t.Conn
			continue
		case *net.TCPConn:
			_ = t.SetLinger(0) // RST instead of FIN; where it fails the close below still ends it
		}
		break
	}
	_ = raw.Close()
}

// newCertificate makes a self-signed certificate for the loopback names.
func newCertificate(now time.Time) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make the key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make the serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "fnobridge embedded Dynamics 365"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("sign the certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, text, nil
}
