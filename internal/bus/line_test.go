package bus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/line"
	"fnobridge/internal/bus"
)

// away opens a Bus that is far from the broker of w, with so many connections at most.
func (w *world) away(is line.Conditions, connections int) (*bus.Bus, *line.Line) {
	w.t.Helper()
	l, err := line.New(w.server.Addr(), is)
	w.must(err)
	w.t.Cleanup(func() { w.must(l.Close()) })
	connect := func(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
		at := strings.Replace(w.server.ConnectionString(), w.server.Addr(), l.Addr(), 1)
		return azservicebus.NewClientFromConnectionString(at, &azservicebus.ClientOptions{RetryOptions: r})
	}
	return w.open(bus.Options{Connections: connections, Connect: connect}), l
}

// Accepts wait for one another on a connection. That the broker ends one which began late is an answer, and no
// connection is replaced for it.
func TestIdleAcceptsFarAwayAreIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far, l := w.away(line.Conditions{RoundTrip: 60 * time.Millisecond}, 1)
	ended := make(chan error, 6)
	for range cap(ended) {
		go func() {
			_, err := far.AcceptNext(t.Context(), orders, time.Second)
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, bus.ErrIdle) {
			t.Errorf("an idle accept ended with %v", err)
		}
	}
	if n := l.Dialled(); n != 1 {
		t.Errorf("%d connections were made", n)
	}
}

// Accepts that run at the same time do not wait for one another where they may have a connection each.
func TestAcceptsFarAwayRunInParallel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const sessions, rtt = 8, 30 * time.Millisecond
	for n := range sessions {
		w.put("orders", string(rune('a'+n)), "1")
	}
	far, _ := w.away(line.Conditions{RoundTrip: rtt}, sessions)
	began := time.Now()
	ended := make(chan error, sessions)
	for range sessions {
		go func() {
			s, err := far.AcceptNext(t.Context(), orders, enough)
			if err == nil {
				w.giveBack(s)
			}
			ended <- err
		}()
	}
	for range sessions {
		w.must(<-ended)
	}
	if took, most := time.Since(began), 70*rtt; took > most { // one takes some thirty round trips, one after another 130
		t.Errorf("%d accepts took %s, want less than %s", sessions, took, most)
	}
}

// A receive that ends without a message gives nothing back: a large message comes once, however often it is asked for,
// and the lock is renewed while it is on its way.
func TestALargeMessageComesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("orders", "a", strings.Repeat("x", 200<<10))
	far, l := w.away(line.Conditions{RoundTrip: 20 * time.Millisecond, Rate: line.Mbit(2)}, 1)
	s := w.take(far, orders, "a")
	before := l.Carried()
	asked := 0
	var m *azservicebus.ReceivedMessage
	for ; m == nil && asked < 100; asked++ {
		var err error
		m, err = s.Receive(t.Context(), 50*time.Millisecond)
		w.must(err)
		w.must(s.Renew(t.Context()))
	}
	if m == nil || m.DeliveryCount != 1 || asked < 2 {
		t.Fatalf("asked %d times, received %v", asked, m != nil)
	}
	if came := l.Carried() - before; came > 300<<10 {
		t.Errorf("%d KB came over the line for a message of 200 KB", came>>10)
	}
	w.must(s.Complete(t.Context(), m))
}

// A session knows how far away the broker is.
func TestTheRoundTripIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far, _ := w.away(line.Conditions{RoundTrip: 50 * time.Millisecond}, 1)
	s := w.take(far, orders, "a")
	for range 20 {
		_, err := s.State(t.Context())
		w.must(err)
	}
	if d := s.RoundTrip(); d < 50*time.Millisecond || d > 150*time.Millisecond {
		t.Errorf("%s, want about 50 ms", d)
	}
}
