package inbound

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/lease"
	"fnobridge/internal/telemetry"
)

var (
	errStopping = errors.New("the bridge is stopping")
	errDue      = errors.New("the receiver is due to be replaced")
)

// An ownedSession is an accepted session under its lease, with the contexts that hang on it. Whatever is done with the
// session is done under one of them.
type ownedSession struct {
	Session
	src   *Source
	tel   *telemetry.Telemetry
	log   *slog.Logger
	lease *lease.Lease

	intake  context.Context // ends at SIGTERM
	work    context.Context // ends when the grace period is over
	owned   context.Context // ends with the lease; state, settle and publish run under it
	waiting context.Context // ends with the lease, with intake, or when the receiver is due: whatever only waits runs under it

	release func() // ends the lease and the contexts
}

// own starts the lease of a session. It ends with release, at the latest with work. What waits under it ends after
// refresh: the broker detaches a link that has been idle for ten minutes, and with it goes the session, whatever is
// renewed. So nothing waits on a receiver for longer than that, for whatever reason.
func (w *Worker) own(intake, work context.Context, src *Source, s Session) *ownedSession {
	o := &ownedSession{
		Session: s, src: src, tel: w.o.Telemetry, log: w.log.With("source", src.Name, "session", s.ID()),
		intake: intake, work: work,
	}
	o.lease = lease.Start(work, s, src.Lock, func(err error) {
		if err == nil {
			o.tel.LockRenewed(work)
		}
	})
	o.owned = o.lease.Context()
	waiting, stop := context.WithCancelCause(o.owned)
	o.waiting = waiting
	forget := context.AfterFunc(intake, func() { stop(errStopping) })
	// Sessions that were accepted together must not all be accepted again together.
	refresh := time.AfterFunc(w.o.Refresh-rand.N(w.o.Refresh/4), func() { stop(errDue) })
	o.release = func() {
		refresh.Stop()
		forget()
		stop(nil)
		o.lease.Stop()
	}
	return o
}

// untilStopped returns a question a context that ends when waiting does.
func (o *ownedSession) untilStopped(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(o.waiting, func() { cancel(context.Cause(o.waiting)) })
	return ctx, func() {
		forget()
		cancel(nil)
	}
}

// await waits up to d for the next message; nil when none came.
func (o *ownedSession) await(d time.Duration) (m *azservicebus.ReceivedMessage, began time.Time, err error) {
	began = time.Now()
	m, err = o.Receive(o.waiting, d)
	return m, began, err
}

// span makes one call to the broker in a span of what ctx is for.
func (o *ownedSession) span(ctx context.Context, op telemetry.Operation, call func(context.Context) error) error {
	ctx, end := o.tel.Generic(ctx, o.src.Destination, op, o.ID())
	err := call(ctx)
	end(err)
	return err
}

// settle makes the one call that takes a message off its queue.
func (o *ownedSession) settle(m *message, how telemetry.Settlement, call func(context.Context) error) error {
	ctx, end := o.tel.Settle(m.ctx, o.src.Destination, how, m.info)
	err := call(ctx)
	end(err)
	return err
}

func (o *ownedSession) key(seq int64) flightKey { return flightKey{o.src.Name, o.ID(), seq} }
