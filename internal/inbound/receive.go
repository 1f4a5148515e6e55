package inbound

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// take gives the next message of the session as a file, nil when none came within d.
func (l *lane) take(d time.Duration) (*file, error) {
	if f := l.ahead; f != nil {
		l.ahead = nil
		return f, nil
	}
	until := time.Now().Add(d)
	for {
		f, err := l.receive(l.waiting, max(time.Until(until), time.Millisecond))
		if f != nil || err != nil {
			return f, err
		}
		if time.Until(until) <= 0 { // one receive is bounded below the idle time
			return nil, nil
		}
	}
}

// receive waits for one message. A message that is older than one seen before means that the broker or the SDK changed
// the order: better to start over than to post it.
func (l *lane) receive(ctx context.Context, d time.Duration) (*file, error) {
	began := time.Now()
	m, err := l.s.Receive(ctx, d)
	if err != nil || m == nil {
		return nil, err
	}
	if *m.SequenceNumber <= l.highest {
		return nil, fmt.Errorf("%w: sequence number %d after %d", errOrder, *m.SequenceNumber, l.highest)
	}
	l.highest = *m.SequenceNumber
	return l.newFile(m, began), nil
}

// lookAhead receives the next message while a post is on its way. The function it gives ends the receive and waits for
// it; its error says that the session is lost. Any other trouble ends the lane at its next step, after the answer to
// the post is written down.
func (l *lane) lookAhead() func() error {
	if l.ahead != nil || l.ledger.Park != nil || l.waiting.Err() != nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(l.waiting)
	type result struct {
		f   *file
		err error
	}
	done := make(chan result, 1)
	go func() { // joined by the function below, which every caller calls
		f, err := l.receive(ctx, l.src.Lock)
		done <- result{f, err}
	}()
	return func() error {
		cancel()
		r := <-done
		l.ahead = r.f
		switch {
		case r.err == nil:
			return nil
		case l.waiting.Err() != nil && l.held.Err() == nil: // a stop, or the receiver is due
			return nil
		case errors.Is(r.err, context.Canceled) && l.held.Err() == nil: // ended by us
			return nil
		case lost(r.err) || l.held.Err() != nil:
			return r.err
		}
		l.trouble = r.err
		return nil
	}
}
