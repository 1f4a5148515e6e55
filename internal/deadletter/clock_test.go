package deadletter

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/bus"
	"fnobridge/internal/retry"
)

// aheadClock is a broker's clock that is off.
type aheadClock struct {
	broker.RealClock
	by time.Duration
}

func (c aheadClock) Now() time.Time { return time.Now().Add(c.by) }

// The broker's clock is a minute ahead, and locks are short: what it says of the end of a lock is wrong, and who
// believes it goes on in a session that somebody else has.
func TestALockIsNotBelievedToLastLongerBecauseTheBrokersClockIsAhead(t *testing.T) {
	const lock = 6 * time.Second
	for name, c := range map[string]struct {
		told   time.Duration // how long a lock is
		silent bool          // the broker does not answer renewals
	}{
		"renewals are answered":           {told: lock},
		"renewals are lost":               {told: lock, silent: true},
		"renewals are answered, not told": {},
		"renewals are lost, not told":     {silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := entity.NewQueue("q")
				queue.RequiresSession, queue.LockDuration = true, lock
				srv, err := servicebus.Start(servicebus.Options{
					Addr: "none", Clock: aheadClock{by: time.Minute},
					Namespace: entity.Namespace{Queues: []entity.QueueDescription{queue}},
				})
				if err != nil {
					t.Fatal(err)
				}
				connect := func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
					return azservicebus.NewClientFromConnectionString(srv.ConnectionString(), &azservicebus.ClientOptions{
						RetryOptions: r,
						NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) {
							return srv.Dial(ctx)
						},
					})
				}
				ours, others := serviceOver(t, connect), serviceOver(t, connect)
				o, err := newRun(ours, Options{Source: q, Lock: c.told}).own(t.Context(), "A", 0)
				if err != nil {
					t.Fatal(err)
				}
				if c.silent {
					srv.Faults().Add(servicebus.Fault{Op: servicebus.OpRenew, Times: -1, Effect: servicebus.Lose})
				}
				for range 4 * lock / time.Second {
					retry.Wait(t.Context(), time.Second)
					s, err := others.Session(t.Context(), q, "A")
					if err == nil {
						if o.lease.Context().Err() == nil {
							t.Error("another has the session, and the lease says that it is ours")
						}
						closeQuietly(s)
						break
					}
					if !errors.Is(err, bus.ErrTaken) {
						t.Fatal(err)
					}
				}
				if alive := o.lease.Context().Err() == nil; alive == c.silent {
					t.Errorf("after four locks the lease is alive: %v", alive)
				}
				o.close()
				_ = ours.Close(t.Context())   // its connection was silent
				_ = others.Close(t.Context()) // as above
				if err := srv.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
