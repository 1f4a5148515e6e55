package bustest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/internal/bus"
)

// ErrKilled is what a call of a dead process hears. No process lives to hear it; its goroutines in the test do.
var ErrKilled = errors.New("the process is dead")

// acceptByIDTimeout is the bound that package bus has for it.
const acceptByIDTimeout = 5 * time.Second

// A Client is the broker as one process sees it: what dies as a whole.
type Client struct {
	b    *Broker
	dead chan struct{}

	mu     sync.Mutex
	failed time.Time
	links  map[*link]struct{} // what is attached, to be cut
	robbed map[*link]string   // sessions that were stolen, until they are closed
}

// Client returns a new process.
func (b *Broker) Client() *Client {
	return &Client{b: b, dead: make(chan struct{}), links: map[*link]struct{}{}, robbed: map[*link]string{}}
}

// Kill ends the process as kill -9 does: nothing that it does from now on has an effect. What it has locked stays so
// until the locks run out or Cut is called.
func (c *Client) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Alive() {
		close(c.dead)
	}
}

// Alive reports whether nobody has killed the process.
func (c *Client) Alive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

// Cut breaks every link of the process, as a connection that is reset does. The broker frees its sessions at once.
func (c *Client) Cut() {
	c.noteFailure()
	c.mu.Lock()
	links := slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	for _, l := range links {
		l.consumer.Close()
		l.Detach(amqp.Errorf("amqp:connection:forced", "the connection was reset"))
		c.forget(l)
	}
}

// LastFailure returns when a link of the process last failed; the zero time when none did.
func (c *Client) LastFailure() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

func (c *Client) noteFailure() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = time.Now()
}

func (c *Client) keep(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links[l] = struct{}{}
}

func (c *Client) forget(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
	delete(c.robbed, l)
}

// AcceptNext is bus.AcceptNext.
func (c *Client) AcceptNext(ctx context.Context, src bus.Source, wait time.Duration) (*Session, error) {
	call, bound := Call{Op: OpAccept, Address: Address(src)}, wait+bus.DefaultCallTimeout
	return c.accept(ctx, call, bound, broker.ConsumerOptions{Accept: broker.NextSession, Wait: wait})
}

// AcceptByID is bus.AcceptByID.
func (c *Client) AcceptByID(ctx context.Context, src bus.Source, id string) (*Session, error) {
	call := Call{Op: OpAcceptByID, Address: Address(src), Session: id}
	return c.accept(ctx, call, acceptByIDTimeout, broker.ConsumerOptions{Accept: broker.SessionByID, Session: id})
}

func (c *Client) accept(
	ctx context.Context, call Call, bound time.Duration, o broker.ConsumerOptions,
) (*Session, error) {
	asked := time.Now()
	l := c.b.newLink(call.Address)
	o.Address, o.Sink = call.Address, l
	err := c.do(ctx, &call, bound, func() error {
		if err := l.open(c, o); err != nil {
			return err
		}
		if err := l.awaitGrant(ctx); err != nil {
			l.close()
			return err
		}
		call.Session, _ = l.grant()
		return nil
	})
	switch {
	case err != nil && ctx.Err() != nil && c.Alive():
		l.close()
		return nil, context.Cause(ctx)
	case err != nil: // the session may be locked for a link that nobody knows of
		c.noteUnlessRefused(err)
		if notAllowed(err) {
			err = fmt.Errorf("%w: %w", bus.ErrNoSessions, err)
		}
		return nil, fmt.Errorf("accept session %q of %s: %w", call.Session, call.Address, named(err))
	}
	manager, refused := c.b.OpenManager(o.Address)
	if refused != nil {
		return nil, refused
	}
	session, until := l.grant()
	return &Session{
		c: c, link: l, manager: manager, id: session, address: o.Address, turn: make(chan struct{}, 1),
		granted: asked, until: until,
	}, nil
}

// noteUnlessRefused notes an accept that failed without an answer of the broker.
func (c *Client) noteUnlessRefused(err error) {
	if _, answered := errors.AsType[*amqp.Error](err); !answered {
		c.noteFailure()
	}
}

// Sessions is bus.Sessions.
func (c *Client) Sessions(ctx context.Context, src bus.Source) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var ids []string
		err := c.do(ctx, &Call{Op: OpSessions, Address: Address(src)}, bus.DefaultCallTimeout, func() error {
			m, refused := c.b.OpenManager(Address(src))
			if refused == nil {
				ids, refused = m.Sessions(nil, 0, math.MaxInt)
			}
			return asError(refused)
		})
		if notAllowed(err) {
			err = fmt.Errorf("%w: %w", bus.ErrNoSessions, err)
		}
		if err != nil {
			yield("", fmt.Errorf("list sessions of %s: %w", src, named(err)))
			return
		}
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	}
}
