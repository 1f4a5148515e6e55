package demo

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/status"
)

// A subscriber takes everything from the status topic and from the queues for exports: it sees what any other system
// would see. What it got is written by the goroutines that receive and read under mu.
type subscriber struct {
	client  *azservicebus.Client
	news    chan struct{} // has something when anything came
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	files   int // that must end
	exports int // that must come

	mu       sync.Mutex
	events   []arrival
	received map[string]int // exports by message ID
	ended    map[string]bool
}

// An arrival is one event with its place in the subscription.
type arrival struct {
	event    status.Event
	id       string
	sequence int64
}

// subscribe starts a subscriber, which must be closed. Events are passed on to o.Event and to view.
func (d *Demo) subscribe(o Options, view *liveView) (*subscriber, error) {
	client, err := d.Connect(azservicebus.RetryOptions{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscriber{
		client: client, news: make(chan struct{}, 1), cancel: cancel, files: len(d.files), exports: d.exports,
		received: map[string]int{}, ended: map[string]bool{},
	}
	events, err := client.NewReceiverForSubscription(d.Config.Status.Topic, checkerSubscription, nil)
	if err != nil {
		s.close()
		return nil, err
	}
	s.wg.Go(func() {
		drain(ctx, events, func(m *azservicebus.ReceivedMessage) {
			e, err := status.Decode(m.Body)
			o.Event(e, err)
			if err != nil {
				return
			}
			view.see(e)
			s.add(arrival{e, m.MessageID, *m.SequenceNumber})
		})
	})
	queues := map[string]bool{}
	for _, x := range d.Config.Exports {
		if queues[x.Queue] {
			continue
		}
		queues[x.Queue] = true
		r, err := client.NewReceiverForQueue(x.Queue, nil)
		if err != nil {
			s.close()
			return nil, err
		}
		s.wg.Go(func() { drain(ctx, r, s.addExport) })
	}
	return s, nil
}

// drain takes everything that comes until ctx ends.
func drain(ctx context.Context, r *azservicebus.Receiver, take func(*azservicebus.ReceivedMessage)) {
	for ctx.Err() == nil {
		got, err := r.ReceiveMessages(ctx, 100, nil)
		if err != nil {
			return
		}
		for _, m := range got {
			take(m)
			if err := r.CompleteMessage(ctx, m, nil); err != nil {
				return
			}
		}
	}
}

func (s *subscriber) add(x arrival) {
	s.mu.Lock()
	s.events = append(s.events, x)
	if x.event.Status.Ends() {
		s.ended[x.event.MessageID] = true
	}
	s.mu.Unlock()
	s.wake()
}

func (s *subscriber) addExport(m *azservicebus.ReceivedMessage) {
	s.mu.Lock()
	s.received[m.MessageID]++
	s.mu.Unlock()
	s.wake()
}

func (s *subscriber) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// await blocks until every file has ended and every export has come, for patience at most. It calls draw whenever
// something came, and often enough for a clock in tenths of seconds.
func (s *subscriber) await(ctx context.Context, draw func()) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(redrawn)
	defer ticker.Stop()
	for ctx.Err() == nil && !s.hasAll() {
		select {
		case <-ctx.Done():
		case <-s.news:
		case <-ticker.C:
		}
		draw()
	}
}

func (s *subscriber) hasAll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended) >= s.files && len(s.received) >= s.exports
}

func (s *subscriber) close() {
	s.cancel()
	s.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.client.Close(ctx) // nothing is sent by it
}
