package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// A Sender sends to one queue or topic. Safe for concurrent use. It outlives links and connections: after a failure the
// next send gets a new one.
//
//	(none) --Send--> attaching --> attached --a send failed, or its connection went--> dropped --last send returned--> closed
//	  ^                  |                                                                |
//	  +---- it failed ---+------------------------- next Send ----------------------------+
type Sender struct {
	bus    *Bus
	entity string

	mu   sync.Mutex
	link *link      // nil before the first send and after a failure
	next *attaching // the link that is being attached; nil when none is
}

// A link is one attached azservicebus.Sender and who uses it. Fields below g are guarded by Sender.mu.
type link struct {
	*azservicebus.Sender
	g *generation

	users   int
	dropped bool
}

// An attaching is a link on its way. err is written before done is closed.
type attaching struct {
	done chan struct{}
	err  error
}

// Sender prepares a sender; nothing is dialled before the first send.
func (b *Bus) Sender(entity string) *Sender { return &Sender{bus: b, entity: entity} }

// Send sends the messages in order, once; the broker takes all of them or none. An error means that they may or may not
// be there: send again with the same message IDs and let duplicate detection sort it out. The exception is
// azservicebus.ErrMessageTooLarge, which more tries do not mend: a message, or all of them together, are more than the
// entity takes at once.
//
// Nothing is repeated behind the caller's back, with one exception that azservicebus v1.11.0 leaves no way around: a
// send on a link that the broker had detached is repeated at once on a new one.
func (s *Sender) Send(ctx context.Context, messages ...*azservicebus.Message) error {
	return s.SendIf(ctx, func() error { return nil }, messages...)
}

// SendIf is Send for messages that may be sent only while something holds. may is asked at the last moment, when there
// is a link and nothing is left to wait for, because getting one can take seconds. Its error is returned as it is, and
// nothing was sent then.
func (s *Sender) SendIf(ctx context.Context, may func() error, messages ...*azservicebus.Message) error {
	l, err := s.attached(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("send to %s: %w", s.entity, err)
	}
	if err := may(); err != nil {
		s.release(l, true)
		return err
	}
	_, err = bounded(ctx, l.g, s.bus.sendTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, transmit(ctx, l.Sender, messages)
	}, nil)
	// azservicebus makes a new link only before the next attempt of the same call, and there is none.
	s.release(l, err == nil || ctx.Err() != nil && !errors.Is(err, errAbandoned) || errors.Is(err, azservicebus.ErrMessageTooLarge))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("send to %s: %w", s.entity, err)
}

func transmit(ctx context.Context, link *azservicebus.Sender, messages []*azservicebus.Message) error {
	if len(messages) == 1 {
		return link.SendMessage(ctx, messages[0], nil)
	}
	batch, err := link.NewMessageBatch(ctx, nil)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := batch.AddMessage(m, nil); err != nil {
			return fmt.Errorf("message %q: %w", deref(m.MessageID), err)
		}
	}
	err = link.SendMessageBatch(ctx, batch, nil)
	if tooLarge(err) { // the SDK says so of single messages only
		return fmt.Errorf("%w: %w", azservicebus.ErrMessageTooLarge, err)
	}
	return err
}

// attached gives the link of a living connection, waiting for one where there is none, until ctx ends. Every call without
// an error is paired with a release.
func (s *Sender) attached(ctx context.Context) (*link, error) {
	for {
		l, a := s.current()
		if l != nil {
			return l, nil
		}
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// current gives the link that is there, or the attaching of one that is under way.
//
// There is one at a time, for all who wait, and with a bound of its own instead of theirs. azservicebus lets concurrent
// first calls attach a link each, and all but the last leak with a goroutine of their own; and where the broker does not
// answer, those who wait must not wait for one another.
func (s *Sender) current() (*link, *attaching) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != nil && s.link.g.ctx.Err() == nil {
		s.link.users++
		return s.link, nil
	}
	s.drop()
	if s.next == nil {
		a := &attaching{done: make(chan struct{})}
		s.next = a
		s.bus.senders.spawn(func() { s.attach(a) })
	}
	return nil, s.next
}

// attach makes a link for all who wait, unless the sender was closed meanwhile.
func (s *Sender) attach(a *attaching) {
	defer close(a.done)
	l, err := s.newLink()
	s.mu.Lock()
	defer s.mu.Unlock()
	a.err = err
	switch {
	case s.next == a:
		s.link, s.next = l, nil
	case l != nil:
		l.close()
	}
}

func (s *Sender) newLink() (*link, error) {
	g, err := s.bus.senders.use()
	if err != nil {
		return nil, err
	}
	sdk, err := g.NewSender(s.entity, nil)
	if err != nil {
		g.done()
		return nil, err
	}
	l := &link{Sender: sdk, g: g}
	_, err = bounded(context.Background(), g, s.bus.sendTimeout, func(ctx context.Context) (*azservicebus.MessageBatch, error) {
		return sdk.NewMessageBatch(ctx, nil) // asks the link for its message size, so it is there afterwards
	}, nil)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// release ends one use of a link, good for another or not.
func (s *Sender) release(l *link, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !good && s.link == l {
		s.drop()
	}
	l.users--
	if l.dropped && l.users == 0 {
		l.close()
	}
}

// drop lets go of the current link; s.mu is held.
func (s *Sender) drop() {
	l := s.link
	if s.link = nil; l == nil {
		return
	}
	l.dropped = true
	if l.users == 0 {
		l.close()
	}
}

// close detaches a link that nobody uses any more, without making anyone wait, and gives its connection back. The
// client keeps a list of its senders until they are closed.
func (l *link) close() {
	l.g.home.spawn(func() {
		defer l.g.done()
		if l.g.ctx.Err() != nil {
			return // with its connection
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = l.Close(ctx) // it may never have been attached, or be detached already
	})
}

// Close gives the link back.
func (s *Sender) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = nil
	s.drop()
	return nil
}

func deref(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
