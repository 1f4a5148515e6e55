// Package line is the distance between two machines, for tests: a TCP connection through it takes a round-trip time,
// has a bandwidth, stalls, and breaks in the ways that connections break. Everything else in the tests talks over
// loopback, where a message is there as soon as it is sent; a worker that was only ever tried there works nowhere
// else.
//
//	client --Addr--> [Line] --target--> server
//
// The bandwidth is that of the line, in each direction, for all its connections together. Nothing is lost or reordered:
// TCP would repair that, at the price of time, and time is what Conditions and Stall take.
package line

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Conditions say what the line is like. The zero value is loopback.
type Conditions struct {
	RoundTrip time.Duration // what a question and its answer take on the way; half of it each way
	Jitter    time.Duration // up to so much is added each way, at random
	Rate      int64         // bytes per second each way; 0 means without limit
}

// Mbit returns the rate of so many megabits per second.
func Mbit(n int) int64 { return int64(n) * 1_000_000 / 8 }

// A Line forwards connections to one target.
type Line struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	is      Conditions
	upUntil time.Time     // when the last byte towards the server has left
	dnUntil time.Time     // and towards the client
	stalled chan struct{} // closed when the line goes on; nil while it does
	pairs   map[*pair]struct{}
	closed  bool
	carried int64 // bytes, both ways
	dialled int
	began   time.Time // when the first connection was made
}

// A pair is one connection through the line.
type pair struct {
	client, server net.Conn
	gone           chan struct{} // closed by cut
	cut            func()

	mu     sync.Mutex
	silent bool // half-open: what is sent is taken and never arrives
}

// New starts a line to a target on a port of its own.
func New(target string, is Conditions) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{target: target, listener: listener, is: is, pairs: map[*pair]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr returns where the line begins.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Set changes what the line is like, from the next byte on.
func (l *Line) Set(is Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.is = is
}

// Carried returns how many bytes came through so far, both ways.
func (l *Line) Carried() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried
}

// Dialled returns how many connections were made so far.
func (l *Line) Dialled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialled
}

// Began returns when the first connection was made; the zero time before that.
func (l *Line) Began() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.began
}

// Stall stops all bytes until GoOn. No connection breaks.
func (l *Line) Stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled == nil {
		l.stalled = make(chan struct{})
	}
}

// GoOn ends Stall.
func (l *Line) GoOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled != nil {
		close(l.stalled)
		l.stalled = nil
	}
}

// HalfOpen makes all connections half-open: neither side learns anything, and nothing arrives any more. New ones work.
func (l *Line) HalfOpen() {
	for _, p := range l.open() {
		p.mu.Lock()
		p.silent = true
		p.mu.Unlock()
	}
}

// Cut resets all connections.
func (l *Line) Cut() {
	for _, p := range l.open() {
		p.cut()
	}
}

// Close ends the line and all its connections.
func (l *Line) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.listener.Close()
	l.Cut()
	l.wg.Wait()
	return err
}

func (l *Line) open() []*pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*pair
	for p := range l.pairs {
		all = append(all, p)
	}
	return all
}

func (l *Line) accept() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close() // as a target that refuses
			continue
		}
		l.join(client, server)
	}
}

// socketBuffer is how much the line's own sockets keep. More would be bytes that count as sent and are not.
const socketBuffer = 128 << 10

func (l *Line) join(client, server net.Conn) {
	p := &pair{client: client, server: server, gone: make(chan struct{})}
	p.cut = sync.OnceFunc(func() {
		close(p.gone)
		for _, c := range []net.Conn{client, server} {
			_ = c.(*net.TCPConn).SetLinger(0) // a reset, not an orderly end
			_ = c.Close()
		}
	})
	for _, c := range []net.Conn{client, server} {
		_ = c.(*net.TCPConn).SetReadBuffer(socketBuffer) // what it cannot have, the kernel knows better
		_ = c.(*net.TCPConn).SetWriteBuffer(socketBuffer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		p.cut()
		return
	}
	l.pairs[p] = struct{}{}
	if l.dialled++; l.dialled == 1 {
		l.began = time.Now()
	}
	shaken := time.Now().Add(l.is.RoundTrip) // connecting takes a round trip of its own
	var both sync.WaitGroup
	both.Go(func() { l.carry(p, server, client, &l.upUntil, shaken) })
	both.Go(func() { l.carry(p, client, server, &l.dnUntil, shaken) })
	l.wg.Go(func() {
		both.Wait()
		p.cut()
		l.mu.Lock()
		delete(l.pairs, p)
		l.mu.Unlock()
	})
}
