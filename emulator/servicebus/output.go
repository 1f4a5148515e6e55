package servicebus

import (
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// frame queues one frame. Callers hold mu and signal afterwards.
func (c *conn) frame(channel uint16, p amqp.Performative) {
	b, at := amqp.BeginFrame(c.out, amqp.FrameAMQP, channel)
	c.out = amqp.EndFrame(p.Append(b), at)
}

// send queues one frame and wakes the writer.
func (c *conn) send(channel uint16, p amqp.Performative) {
	c.mu.Lock()
	c.frame(channel, p)
	c.mu.Unlock()
	c.signal()
}

// write sends what is queued until the connection dies. A peer that does not take anything for writeTime is dead:
// nothing may pile up for it.
func (c *conn) write() {
	defer func() {
		c.mu.Lock()
		c.dead = true
		c.drained.Broadcast()
		c.mu.Unlock()
		_ = c.nc.Close() // wakes the reader
	}()
	var alive <-chan time.Time
	if c.idle > 0 {
		t := time.NewTicker(max(c.idle/2, 10*time.Millisecond))
		defer t.Stop()
		alive = t.C
	}
	for {
		quiet := false
		select {
		case <-c.wake:
		case <-alive:
			quiet = true
		}
		c.doChores()
		c.mu.Lock()
		for (c.stalled && !c.flush || c.writing) && !c.dead {
			c.drained.Wait()
		}
		if c.dead {
			c.mu.Unlock()
			return
		}
		if quiet && len(c.out) == 0 {
			c.out = amqp.AppendEmptyFrame(c.out)
		}
		batch, last := c.takeOut()
		c.mu.Unlock()
		if c.writeAll(batch) != nil {
			return
		}
		if last {
			return
		}
		c.mu.Lock()
		c.wrote(batch)
		c.refill()
		resume := c.fed
		c.fed = nil
		if len(c.out) < highWater {
			for _, l := range c.blocked {
				l.blocked = false
			}
			resume, c.blocked = append(resume, c.blocked...), nil
		}
		more := len(c.out) > 0
		c.mu.Unlock()
		if more {
			c.wakeWriter()
		}
		for _, l := range resume {
			l.consumer.Resume()
		}
	}
}

// writePiece is how much a peer has writeTime for: one that takes little at a time, over a slow line, is not dead.
const writePiece = 64 << 10

func (c *conn) writeAll(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTime)) // on a closed connection the write fails
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// takeOut hands the queue to a writer. Callers hold mu.
func (c *conn) takeOut() (batch []byte, last bool) {
	batch, c.out, c.spare = c.out, c.spare[:0], nil
	c.writing = true
	return batch, c.flush
}

// wrote takes the buffer back after a write. Callers hold mu.
func (c *conn) wrote(batch []byte) {
	c.writing = false
	if cap(batch) <= 2*highWater {
		c.spare = batch
	}
	c.drained.Broadcast()
}

// maxInline is how much the reader writes itself: what a socket takes without waiting, unless the peer is behind.
const maxInline = 16 << 10

// writeInline writes the queue from the reader if it is short and nobody else is at it; otherwise the writer does.
func (c *conn) writeInline() {
	c.mu.Lock()
	n := len(c.out)
	if n == 0 && len(c.chores) == 0 && !c.flush || c.dead {
		c.mu.Unlock()
		return
	}
	if n == 0 || n > maxInline || c.writing || c.stalled || c.flush || len(c.chores) > 0 || len(c.blocked) > 0 {
		c.mu.Unlock()
		c.wakeWriter()
		return
	}
	batch, _ := c.takeOut()
	c.mu.Unlock()
	err := c.writeAll(batch)
	c.mu.Lock()
	c.wrote(batch)
	if err != nil {
		c.dead = true
	}
	more := len(c.out) > 0 || len(c.chores) > 0 || len(c.turns) > 0 || len(c.fed) > 0 || c.dead
	c.mu.Unlock()
	if more {
		c.wakeWriter()
	}
}
