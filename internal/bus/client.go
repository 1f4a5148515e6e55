package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// A connection is replaced after three strikes without an answer from the broker in between: three calls that ran into
// their bound, or two errors that may be the connection's or only a link's. One slow answer, or one session that lost
// its link, must not cost every session its own; a dead peer that never resets the connection must not cost minutes.
// Where a new connection costs its users nothing but a new link, one call without an answer is enough.
const (
	strikesBeforeReplace = 3
	silenceStrikes       = 1
	doubtStrikes         = 2
)

// sessionsPerConnection is how many sessions share a connection. Service Bus opens at most 5,000 channels on one, and a
// session receiver takes two; fewer, so that a cut does not cost every session of a large replica its link, and so that
// large messages of some do not keep the answers to all others waiting.
const sessionsPerConnection = 100

// acceptConnections is how many connections are opened so that accepts need not wait for one another: the SDK
// negotiates the claims of a connection one at a time, which takes twelve round trips for each accept.
const acceptConnections = 32

// closeTimeout bounds the closing of a connection that may be dead already.
const closeTimeout = 5 * time.Second

var (
	errReplaced = errors.New("the connection was replaced")
	errClosed   = errors.New("the service bus client is closed")
	// errConnect says that a client could not even be made. Nothing was dialled: the settings are wrong.
	errConnect = errors.New("connect to service bus")
)

// client hands out azservicebus.Clients, a new one when the others are full, and replaces each as a whole when its
// connection fails.
//
//	(none) --use--> live --fail, or strikes in a row--> retired --last user left--> closed
//	                 ^                                     |
//	                 +------------- next use --------------+
type client struct {
	name    string
	connect Connect
	most    int // uses of one generation at a time
	spread  int // generations that are made although others have room, for accepts
	// silenceStrikes is how many strikes one call without an answer counts.
	silenceStrikes int
	// noteFailure is told of every doubt about a link or a connection.
	noteFailure func()
	logger      *slog.Logger

	mu      sync.Mutex
	live    []*generation
	retired []*generation // not closed yet, because somebody still uses them: perhaps a sender that has nothing to send
	closed  bool

	running int        // calls and closings under way; guarded by mu
	quiet   *sync.Cond // on mu: none are

	work chan func()   // to goroutines that have nothing to do
	idle atomic.Int32  // such goroutines
	over chan struct{} // closed by close: they end
}

// generation is one azservicebus.Client and who uses it. Fields below mu are guarded by client.mu.
type generation struct {
	*azservicebus.Client
	ctx  context.Context // ends, with a cause, when the generation is retired
	end  context.CancelCauseFunc
	home *client

	users     int
	accepting int // users that are accepting a session
	strikes   int
	dead      bool
}

func newClient(
	name string, connect Connect, most, silenceStrikes int, noteFailure func(), logger *slog.Logger,
) *client {
	c := &client{
		name: name, connect: connect, most: most, silenceStrikes: silenceStrikes, noteFailure: noteFailure, logger: logger,
		work: make(chan func()), over: make(chan struct{}),
	}
	c.quiet = sync.NewCond(&c.mu)
	return c
}

// mostIdle is how many goroutines wait for the next call. The SDK's calls are deep: growing the stack of a new
// goroutine for each took an eighth of the processor time of a loop that sends, receives and completes.
const mostIdle = 64

// spawn runs f in a goroutine that close waits for. Not a WaitGroup, because calls may begin while close waits.
func (c *client) spawn(f func()) {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	select {
	case c.work <- f:
	default:
		go c.run(f)
	}
}

// run runs f, and then what else there is to run.
func (c *client) run(f func()) {
	for {
		f()
		c.mu.Lock()
		if c.running--; c.running == 0 {
			c.quiet.Broadcast()
		}
		c.mu.Unlock()
		if c.idle.Add(1) > mostIdle {
			c.idle.Add(-1)
			return
		}
		select {
		case f = <-c.work:
			c.idle.Add(-1)
		case <-c.over:
			return
		}
	}
}

// use returns a live generation with room, connecting if there is none. Every use is paired with a done.
func (c *client) use() (*generation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	for _, g := range c.live {
		if g.users < c.most {
			g.users++
			return g, nil
		}
	}
	return c.dial()
}

// useToAccept is use for an accept, which is paired with accepted besides. It prefers a connection on which no other
// accept is under way, and then the one with the fewest.
func (c *client) useToAccept() (*generation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	var best *generation
	for _, g := range c.live {
		if g.users < c.most && (best == nil || g.accepting < best.accepting) {
			best = g
		}
	}
	if best == nil || best.accepting > 0 && len(c.live) < c.spread {
		g, err := c.dial()
		if err != nil {
			return nil, err
		}
		g.accepting++
		return g, nil
	}
	best.users++
	best.accepting++
	return best, nil
}

// accepted ends useToAccept, but not the use.
func (g *generation) accepted() {
	g.home.mu.Lock()
	g.accepting--
	g.home.mu.Unlock()
}

// dial makes a generation with one user; mu is locked. Nothing goes over the line before the first call.
func (c *client) dial() (*generation, error) {
	sdk, err := c.connect(azservicebus.RetryOptions{MaxRetries: -1})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnect, err)
	}
	g := &generation{Client: sdk, home: c, users: 1}
	g.ctx, g.end = context.WithCancelCause(context.Background())
	c.live = append(c.live, g)
	return g, nil
}

// done returns a use back. The last user of a retired generation closes it, also one that was closed before: a call
// that was under way then may have made a link since.
func (g *generation) done() {
	c := g.home
	c.mu.Lock()
	g.users--
	last := g.dead && g.users == 0
	c.mu.Unlock()
	if last {
		c.closeLater(g)
	}
}

// fail retires the generation after a connection error: pending calls on it return, the next use connects anew.
func (g *generation) fail(cause error) {
	c := g.home
	c.mu.Lock()
	if g.dead {
		c.mu.Unlock()
		return
	}
	c.noteFailure()
	g.dead = true
	c.live = slices.DeleteFunc(c.live, func(o *generation) bool { return o == g })
	closed := c.closed
	if !closed {
		c.retired = append(c.retired, g)
	}
	idle := g.users == 0
	c.mu.Unlock()
	g.end(fmt.Errorf("%w: %w", errReplaced, cause))
	if !closed {
		c.logger.Warn("service bus connection replaced", "client", c.name, "error", cause.Error())
	}
	if idle {
		c.closeLater(g)
	}
}

// strike counts what casts doubt on the connection; answered forgets it. A sole user loses nothing with it, so that any
// error is enough: the next use then starts afresh.
func (g *generation) strike(n int, cause error) {
	g.home.noteFailure()
	g.home.mu.Lock()
	g.strikes += n
	replace := g.strikes >= strikesBeforeReplace || n >= doubtStrikes && g.users == 1
	g.home.mu.Unlock()
	if replace {
		g.fail(cause)
	}
}

func (g *generation) answered() {
	g.home.mu.Lock()
	g.strikes = 0
	g.home.mu.Unlock()
}

// closeLater closes a retired generation without making anyone wait for it.
func (c *client) closeLater(g *generation) {
	c.mu.Lock()
	c.retired = slices.DeleteFunc(c.retired, func(o *generation) bool { return o == g })
	c.mu.Unlock()
	c.spawn(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = g.Close(ctx) // the connection is known to be bad; there is nobody to tell
	})
}

// close ends all generations, the live ones in an orderly way, and waits for the calls and the closings under way.
func (c *client) close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	left := c.retired
	live := c.live
	c.live, c.retired = nil, nil
	for _, g := range live {
		g.dead = true
	}
	c.mu.Unlock()
	for _, g := range left {
		c.closeLater(g)
	}
	var err error
	for _, g := range live {
		g.end(errClosed)
		err = errors.Join(err, g.Close(ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.running > 0 {
		c.quiet.Wait()
	}
	if !again {
		close(c.over)
	}
	return err
}
