package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// sdkLink is a sender or a receiver of azservicebus.
type sdkLink interface {
	Close(ctx context.Context) error
}

// An attachment is the one link of a sender or a receiver. It outlives links and connections: after a failure the next
// call gets a new link, because azservicebus makes one only before the next attempt of the same call, and there is
// none. Safe for concurrent use.
//
//	(none) --a call--> attaching --> attached --a call or its connection failed--> dropped --last call ended--> closed
//	  ^                    |                                                         |
//	  +---- it failed -----+----------------------- next call -----------------------+
type attachment[T sdkLink] struct {
	client *client
	bound  func() time.Duration // of getting a link
	create func(*azservicebus.Client) (T, error)
	// ask asks the link for anything, so that it is there afterwards: azservicebus attaches a link only when it is
	// used.
	ask func(context.Context, T) error

	mu   sync.Mutex
	link *link[T]   // nil before the first call and after a failure
	next *attaching // the link that is being attached; nil when none is
}

// A link is one attached link and who uses it. Fields below g are guarded by attachment.mu.
type link[T sdkLink] struct {
	sdk T
	g   *generation

	users   int
	dropped bool
	gone    chan struct{} // closed when the link is detached
}

// An attaching is a link on its way. err is written before done is closed.
type attaching struct {
	done chan struct{}
	err  error
}

// over runs one bounded call over the link, waiting for one where there is none. The caller's own stop comes back as
// its cause.
func over[T sdkLink, R any](
	ctx context.Context, a *attachment[T], bound time.Duration, call func(context.Context, T) (R, error),
) (R, error) {
	l, err := a.attached(ctx)
	if err != nil {
		var none R
		return none, err
	}
	return overLink(ctx, a, l, bound, call)
}

// overLink is over for a link that attached returned. It releases the link.
func overLink[T sdkLink, R any](
	ctx context.Context, a *attachment[T], l *link[T], bound time.Duration, call func(context.Context, T) (R, error),
) (R, error) {
	v, err := bounded(ctx, l.g, bound, func(ctx context.Context) (R, error) { return call(ctx, l.sdk) }, nil)
	stopped := ctx.Err() != nil && !errors.Is(err, errAbandoned) && !errors.Is(err, errLinkLost)
	a.release(l, err == nil || stopped || sparesLink(err))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return v, err
}

// attached returns the link of a living connection, waiting for one where there is none, until ctx ends. Every call
// without an error is paired with a release.
func (a *attachment[T]) attached(ctx context.Context) (*link[T], error) {
	for {
		l, next := a.current()
		if l != nil {
			return l, nil
		}
		select {
		case <-next.done:
		case <-ctx.Done():
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case next.err != nil:
			return nil, next.err
		}
	}
}

// current returns the link that is there, or the attaching of one that is under way.
//
// There is one at a time, for all who wait, and with a bound of its own instead of theirs. azservicebus lets
// concurrent first calls attach a link each, and all but the last leak with a goroutine of their own; and where the
// broker does not answer, those who wait must not wait for one another.
func (a *attachment[T]) current() (*link[T], *attaching) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil && a.link.g.ctx.Err() == nil {
		a.link.users++
		return a.link, nil
	}
	a.drop()
	if a.next == nil {
		next := &attaching{done: make(chan struct{})}
		a.next = next
		a.client.spawn(func() { a.attach(next) })
	}
	return nil, a.next
}

// attach makes a link for all who wait, unless the attachment was closed meanwhile.
func (a *attachment[T]) attach(next *attaching) {
	defer close(next.done)
	l, err := a.newLink()
	a.mu.Lock()
	defer a.mu.Unlock()
	next.err = err
	switch {
	case a.next == next:
		a.link, a.next = l, nil
	case l != nil:
		l.close()
	}
}

func (a *attachment[T]) newLink() (*link[T], error) {
	g, err := a.client.use()
	if err != nil {
		return nil, err
	}
	sdk, err := a.create(g.Client)
	if err != nil {
		g.done()
		return nil, err
	}
	l := &link[T]{sdk: sdk, g: g, gone: make(chan struct{})}
	_, err = bounded(context.Background(), g, a.bound(), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.ask(ctx, sdk)
	}, nil)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// release ends one use of a link, good for another or not.
func (a *attachment[T]) release(l *link[T], good bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !good && a.link == l {
		a.drop()
	}
	l.users--
	if l.dropped && l.users == 0 {
		l.close()
	}
}

// drop lets go of the current link. The caller has locked mu.
func (a *attachment[T]) drop() {
	l := a.link
	if a.link = nil; l == nil {
		return
	}
	l.dropped = true
	if l.users == 0 {
		l.close()
	}
}

// close returns the link back. A call after it attaches a new one. What it returns is closed when the link is gone.
func (a *attachment[T]) close() (gone <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.link
	a.next = nil
	if a.drop(); l != nil {
		return l.gone
	}
	none := make(chan struct{})
	close(none)
	return none
}

// close detaches a link that nobody uses any more, without making anyone wait, and gives its connection back. The
// client of the SDK keeps a list of its links until they are closed.
func (l *link[T]) close() {
	l.g.home.spawn(func() {
		defer l.g.done()
		defer close(l.gone)
		if l.g.ctx.Err() != nil {
			return // with its connection
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = l.sdk.Close(ctx) // it may never have been attached, or be detached already
	})
}
