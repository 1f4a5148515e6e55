package servicebus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

const (
	ourMaxFrame    = 64 << 10
	ourIdleTimeout = 4 * time.Minute // announced; enforced at twice that
	highWater      = 1 << 20         // queued output above which deliveries and the reader wait
	writeTime      = 30 * time.Second
	ourWindow      = 5000 // transfers a client may send before our next session flow
	ourHandleMax   = 255
	ourChannelMax  = 4999
)

// conn is one AMQP connection: a goroutine that reads and handles frames, and one that writes what is queued. Whoever
// has something to send appends it under mu and wakes the writer, so many frames become one write. What the reader
// itself causes, or meets while it handles a frame, it writes when no further frame waits: that spares most answers a
// change of goroutines.
//
// Lock order: the broker's lock, then mu. Nobody calls the broker while holding mu.
type conn struct {
	s       *Server
	nc      net.Conn
	frames  *amqp.FrameReader
	claims  claims
	partial int // bytes of deliveries that are not complete; reader only

	wake     chan struct{} // capacity 1: output is waiting
	handling atomic.Bool   // the reader will write what is queued

	mu       sync.Mutex
	drained  sync.Cond // the writer took the queue, or the connection died
	out      []byte
	spare    []byte // an empty buffer for the next queue
	dead     bool
	writing  bool     // somebody has taken output and is writing it
	flush    bool     // close once everything is written
	stalled  bool     // a fault: neither read nor write
	chores   []func() // for the writer, who holds no lock
	sessions map[uint16]*session
	maxFrame int        // the peer's
	waiting  int        // bytes of answers that wait for credit
	blocked  []*outLink // waiting for the queue to drain
	turns    []*session // with frames of large messages to send
	fed      []*outLink // may deliver again, and nobody told them yet
	attached bool       // it has had a link
	alone    time.Time  // since when it has none, on the emulator's clock; sweep only
	cbs      [2]int     // open $cbs links by role of the client: sender, receiver

	idle time.Duration // the peer's idle timeout, 0 = none
}

// serve runs an AMQP connection to its end. The caller closes nc.
func (s *Server) serve(nc net.Conn, br *bufio.Reader) {
	c := &conn{s: s, nc: nc, frames: amqp.NewFrameReader(br, ourMaxFrame), wake: make(chan struct{}, 1),
		sessions: map[uint16]*session{}, maxFrame: amqp.MinFrameSize}
	c.drained.L = &c.mu
	c.claims.s, c.claims.conn = s, c
	defer c.claims.close()
	s.mu.Lock()
	s.links[c] = struct{}{}
	s.mu.Unlock()
	s.broker.Notify()
	defer func() {
		s.mu.Lock()
		delete(s.links, c)
		s.mu.Unlock()
		s.broker.Notify()
	}()
	if err := c.handshake(br); err != nil {
		s.log.Debug("amqp handshake", "peer", nc.RemoteAddr(), "err", err)
		return
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.handling.Store(false)
	if err != nil && !errors.Is(err, io.EOF) && !expected(err) {
		s.log.Debug("amqp connection ended", "peer", nc.RemoteAddr(), "err", err)
		var ae *amqp.Error
		switch {
		case errors.As(err, &ae):
			c.shutdown(ae)
		case errors.Is(err, amqp.ErrMalformed):
			c.shutdown(amqp.Errorf(amqp.DecodeError, "%v", err))
		case errors.Is(err, amqp.ErrFrameSize):
			c.shutdown(amqp.Errorf(amqp.FramingError, "%v", err))
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.shutdown(amqp.Errorf(amqp.ResourceLimitExceeded, "local-idle-timeout expired"))
		}
	}
	c.mu.Lock()
	sessions := c.sessions
	c.sessions = map[uint16]*session{}
	if !c.flush {
		c.dead = true
		_ = c.nc.Close() // a write may be stuck in it
	}
	c.mu.Unlock()
	c.signal()
	for _, x := range sessions {
		x.close()
	}
	writer.Wait()
}

// shutdown queues a close and lets the writer end the connection after it.
func (c *conn) shutdown(err *amqp.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frame(0, &amqp.Close{Error: err})
	c.flush = true
	c.signal()
}

// kill ends the connection at once, without a word.
func (c *conn) kill() {
	c.mu.Lock()
	c.dead = true
	c.drained.Broadcast()
	c.mu.Unlock()
	_ = c.nc.Close() // reader and writer see it
	c.signal()
}

func (c *conn) signal() {
	if c.handling.Load() {
		return
	}
	c.wakeWriter()
}

func (c *conn) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// read handles frames until the connection ends; nil after a close.
func (c *conn) read() error {
	var renewed time.Time
	for {
		if !c.frames.Buffered() {
			c.handling.Store(false)
			c.writeInline()
			if now := time.Now(); now.Sub(renewed) > ourIdleTimeout/8 {
				renewed = now
				if err := c.nc.SetReadDeadline(now.Add(2 * ourIdleTimeout)); err != nil {
					return err
				}
			}
		}
		f, err := c.frames.Read()
		if err != nil {
			return err
		}
		if len(f.Body) == 0 {
			continue // sign of life
		}
		if f.Type != amqp.FrameAMQP {
			return fmt.Errorf("%w: frame type %d", amqp.ErrMalformed, f.Type)
		}
		p, payload, err := amqp.Decode(f.Body)
		if err != nil {
			return err
		}
		if cl, ok := p.(*amqp.Close); ok {
			_ = cl // why the peer leaves does not matter
			c.shutdown(nil)
			return nil
		}
		c.handling.Store(true)
		if err := c.handle(f.Channel, p, payload); err != nil {
			return err
		}
		if !c.room() {
			return net.ErrClosed
		}
	}
}

// room waits until the writer has caught up, so that a peer that asks without reading the answers slows down only
// itself; false when the connection died.
func (c *conn) room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) > highWater || c.stalled || c.flush {
		c.handling.Store(false)
		c.wakeWriter()
	}
	for (len(c.out) > highWater || c.stalled) && !c.dead && !c.flush {
		c.drained.Wait()
	}
	return !c.dead && !c.flush
}

func (c *conn) doChores() {
	c.mu.Lock()
	chores := c.chores
	c.chores = nil
	c.mu.Unlock()
	for _, fn := range chores {
		fn()
	}
}

func (c *conn) handle(channel uint16, p amqp.Performative, payload []byte) error {
	if b, ok := p.(*amqp.Begin); ok {
		return c.begin(channel, b)
	}
	c.mu.Lock()
	s := c.sessions[channel]
	c.mu.Unlock()
	if s == nil {
		if _, ok := p.(*amqp.End); ok {
			return nil // we ended it first
		}
		return amqp.Errorf(amqp.NotAllowed, "no session on channel %d", channel)
	}
	switch p := p.(type) {
	case *amqp.Attach:
		return s.attach(p)
	case *amqp.Flow:
		return s.flow(p)
	case *amqp.Transfer:
		return s.transfer(p, payload)
	case *amqp.Disposition:
		s.disposition(p)
		return nil
	case *amqp.Detach:
		s.detach(p)
		return nil
	case *amqp.End:
		c.mu.Lock()
		delete(c.sessions, channel)
		c.mu.Unlock()
		s.close()
		c.send(channel, &amqp.End{})
		return nil
	}
	return amqp.Errorf(amqp.NotAllowed, "unexpected %T", p)
}

func (c *conn) begin(channel uint16, b *amqp.Begin) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[channel] != nil {
		return amqp.Errorf(amqp.NotAllowed, "channel %d is in use", channel)
	}
	if channel > ourChannelMax {
		return amqp.Errorf(amqp.NotAllowed, "channel %d above channel-max", channel)
	}
	c.sessions[channel] = &session{c: c, channel: channel, nextIncoming: b.NextOutgoingID, incomingLeft: ourWindow,
		remoteWindow: int64(b.IncomingWindow)}
	c.frame(channel, &amqp.Begin{RemoteChannel: int(channel), IncomingWindow: ourWindow, OutgoingWindow: ourWindow,
		HandleMax: ourHandleMax})
	c.signal()
	return nil
}
