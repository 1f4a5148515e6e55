package servicebus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

var (
	headerAMQP = [8]byte{'A', 'M', 'Q', 'P', 0, 1, 0, 0}
	headerSASL = [8]byte{'A', 'M', 'Q', 'P', 3, 1, 0, 0}
)

// handshake does the protocol headers, SASL and open. It writes directly: there is no writer yet.
func (c *conn) handshake(br *bufio.Reader) error {
	var h [8]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return fmt.Errorf("read protocol header: %w", err)
	}
	if h == headerSASL {
		if err := c.sasl(); err != nil {
			return err
		}
		if _, err := io.ReadFull(br, h[:]); err != nil {
			return fmt.Errorf("read protocol header: %w", err)
		}
	}
	if h != headerAMQP {
		_, err := c.nc.Write(headerAMQP[:]) // tell what we speak, as part 2, 2.2 asks
		return errors.Join(fmt.Errorf("unknown protocol header %x", h), err)
	}
	if _, err := c.nc.Write(headerAMQP[:]); err != nil {
		return fmt.Errorf("write protocol header: %w", err)
	}
	f, err := c.frames.Read()
	if err != nil {
		return fmt.Errorf("read open: %w", err)
	}
	p, _, err := amqp.Decode(f.Body)
	if err != nil {
		return fmt.Errorf("read open: %w", err)
	}
	open, ok := p.(*amqp.Open)
	if !ok {
		return fmt.Errorf("%w: %T before open", amqp.ErrMalformed, p)
	}
	c.maxFrame = ourMaxFrame
	if open.MaxFrameSize != 0 {
		c.maxFrame = max(amqp.MinFrameSize, int(min(open.MaxFrameSize, ourMaxFrame)))
	}
	c.idle = time.Duration(open.IdleTimeout) * time.Millisecond
	b, at := amqp.BeginFrame(nil, amqp.FrameAMQP, 0)
	b = (&amqp.Open{
		ContainerID: "fnobridge-servicebus", MaxFrameSize: ourMaxFrame, ChannelMax: ourChannelMax,
		IdleTimeout: uint32(ourIdleTimeout.Milliseconds()),
	}).Append(b)
	if _, err := c.nc.Write(amqp.EndFrame(b, at)); err != nil {
		return fmt.Errorf("write open: %w", err)
	}
	return nil
}

// sasl accepts ANONYMOUS and its kind, whose claims come later by $cbs, and PLAIN with a key's name and value.
func (c *conn) sasl() error {
	b := append([]byte(nil), headerSASL[:]...)
	b, at := amqp.BeginFrame(b, amqp.FrameSASL, 0)
	b = (&amqp.SASLMechanisms{Mechanisms: []amqp.Symbol{"MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"}}).Append(b)
	if _, err := c.nc.Write(amqp.EndFrame(b, at)); err != nil {
		return fmt.Errorf("write sasl mechanisms: %w", err)
	}
	f, err := c.frames.Read()
	if err != nil {
		return fmt.Errorf("read sasl init: %w", err)
	}
	p, _, err := amqp.Decode(f.Body)
	if err != nil {
		return fmt.Errorf("read sasl init: %w", err)
	}
	init, ok := p.(*amqp.SASLInit)
	if !ok {
		return fmt.Errorf("%w: %T instead of sasl-init", amqp.ErrMalformed, p)
	}
	outcome := amqp.SASLOutcome{}
	switch init.Mechanism {
	case "ANONYMOUS", "EXTERNAL", "MSSBCBS":
	case "PLAIN":
		if !c.claims.plain(init.Initial) {
			outcome.Code = 1
		}
	default:
		outcome.Code = 1
	}
	b, at = amqp.BeginFrame(nil, amqp.FrameSASL, 0)
	if _, err := c.nc.Write(amqp.EndFrame(outcome.Append(b), at)); err != nil {
		return fmt.Errorf("write sasl outcome: %w", err)
	}
	if outcome.Code != 0 {
		return fmt.Errorf("sasl %s refused", init.Mechanism)
	}
	return nil
}
