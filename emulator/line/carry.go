package line

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A chunk is on its way until its time.
type chunk struct {
	bytes []byte
	at    time.Time
}

// chunkSize is how much goes at once: at 5 Mbit/s it takes 13 ms.
const chunkSize = 8 << 10

// carry takes the bytes of one direction from one end to the other. It reads no faster than the line takes bytes, so
// that a sender is held back as it would be.
func (l *Line) carry(p *pair, to, from net.Conn, until *time.Time, shaken time.Time) {
	onTheWay := make(chan chunk, 4096)
	var arriving sync.WaitGroup
	arriving.Go(func() { l.deliver(p, to, onTheWay) })
	var last time.Time
	for {
		b := make([]byte, chunkSize)
		n, err := from.Read(b)
		if n > 0 {
			left, at := l.timed(n, until, shaken)
			if at.Before(last) {
				at = last
			}
			last = at
			if !p.wait(left) {
				break
			}
			select {
			case onTheWay <- chunk{b[:n], at}:
			case <-p.gone:
			}
		}
		if err != nil {
			break
		}
	}
	close(onTheWay)
	arriving.Wait()
	_ = to.(*net.TCPConn).CloseWrite() // the other direction may go on
}

// timerSlack is how late a timer may be: a line that was waited for too long makes up for it.
const timerSlack = 10 * time.Millisecond

// timed returns when n bytes have left and when they arrive.
func (l *Line) timed(n int, until *time.Time, shaken time.Time) (left, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carried += int64(n)
	left = time.Now()
	if shaken.After(left) {
		left = shaken
	}
	if l.is.Rate > 0 {
		if until.After(left.Add(-timerSlack)) {
			left = *until
		}
		left = left.Add(time.Duration(n) * time.Second / time.Duration(l.is.Rate))
		*until = left
	}
	at = left.Add(l.is.RoundTrip / 2)
	if l.is.Jitter > 0 {
		at = at.Add(rand.N(l.is.Jitter))
	}
	return left, at
}

func (l *Line) deliver(p *pair, to net.Conn, onTheWay <-chan chunk) {
	broken := false
	for c := range onTheWay { // to its end, so that carry never waits for it
		if broken || !p.wait(c.at) || !l.waitStall(p) {
			continue
		}
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		if silent {
			continue
		}
		if _, err := to.Write(c.bytes); err != nil {
			broken = true
			p.cut()
		}
	}
}

// waitStall waits while the line stands still. It reports whether the connection is still there.
func (l *Line) waitStall(p *pair) bool {
	for {
		l.mu.Lock()
		stalled := l.stalled
		l.mu.Unlock()
		if stalled == nil {
			return true
		}
		select {
		case <-stalled:
		case <-p.gone:
			return false
		}
	}
}

// wait waits until a time. It reports whether the connection is still there.
func (p *pair) wait(at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.gone:
		return false
	}
}
