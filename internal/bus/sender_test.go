package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/servicebus"
)

func texts(n int) []*azservicebus.Message {
	var all []*azservicebus.Message
	for i := range n {
		all = append(all, &azservicebus.Message{MessageID: new(fmt.Sprint(i)), Body: fmt.Append(nil, i)})
	}
	return all
}

func TestSendOneAndSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.bus.Sender("status")
	asked := w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Pass, Times: -1})
	w.must(s.Send(t.Context(), texts(1)...))
	w.must(s.Send(t.Context(), texts(20)...))
	if n := asked.Count(); n != 2 {
		t.Errorf("sent in %d transfers, want 2", n)
	}
	got := w.server.Messages("status")
	if len(got) != 21 {
		t.Fatalf("%d messages, want 21", len(got))
	}
	for i, m := range got[1:] {
		if string(m.Body) != fmt.Sprint(i) || m.MessageID != fmt.Sprint(i) {
			t.Errorf("message %d is %s", i, m.Body)
		}
	}
	w.must(s.Close(t.Context()))
	w.must(s.Close(t.Context()))
	w.must(s.Send(t.Context(), texts(1)...)) // a sender that was closed attaches anew
	w.must(s.Close(t.Context()))
}

// TestABatchIsAllOrNothing: one message of the batch makes the broker refuse all of them.
func TestABatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.bus.Sender("orders")
	all := texts(3)
	for _, m := range all[:2] {
		m.SessionID = new("a")
	} // the third has no session, which this queue refuses
	if err := s.Send(t.Context(), all...); err == nil {
		t.Error("sent")
	}
	if n := len(w.server.Messages("orders")); n != 0 {
		t.Errorf("%d messages of a batch that was refused", n)
	}
	w.must(s.Close(t.Context()))
}

func TestTooLargeIsSaidOnce(t *testing.T) {
	t.Parallel()
	huge := func() *azservicebus.Message { return &azservicebus.Message{Body: make([]byte, 300<<10)} }
	half := func() *azservicebus.Message { return &azservicebus.Message{Body: make([]byte, 150<<10)} }
	for name, c := range map[string]struct {
		messages []*azservicebus.Message
		refused  bool // by the broker
	}{
		"one":                       {messages: []*azservicebus.Message{huge()}},
		"in a batch":                {messages: append(texts(2), huge())},
		"together":                  {messages: []*azservicebus.Message{half(), half()}},
		"one, says the broker":      {messages: texts(1), refused: true},
		"together, says the broker": {messages: texts(2), refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Effect: servicebus.Pass, Times: -1})
			if c.refused {
				f.Disarm()
				f = w.server.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Times: -1, Effect: servicebus.Refuse, Condition: "amqp:link:message-size-exceeded"})
			}
			s := w.bus.Sender("status")
			for range 4 {
				if err := s.Send(t.Context(), c.messages...); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
					t.Errorf("got %v", err)
				}
			}
			if n := f.Count(); c.refused && n != 4 || !c.refused && n != 0 {
				t.Errorf("the broker was asked %d times", n)
			}
			f.Disarm()
			w.must(s.Send(t.Context(), texts(2)...))
			if n := w.made.Load(); n != 1 {
				t.Errorf("%d clients, want 1", n)
			}
			w.must(s.Close(t.Context()))
		})
	}
}

// TestNothingAcknowledgedIsLost cuts the connections again and again under several senders; who is told that a message
// arrived can rely on it. A message may arrive twice.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	const senders, each, every = 4, 60, 25
	w := newWorld(t)
	shared := w.bus.Sender("status")
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			s := shared
			if i%2 == 1 {
				s = w.bus.Sender("status")
				defer func() { _ = s.Close(context.WithoutCancel(t.Context())) }() // it may have been cut
			}
			for j := range each {
				id := fmt.Sprintf("%d-%d", i, j)
				for { // as the contract says: again, with the same ID
					err := s.Send(t.Context(), &azservicebus.Message{MessageID: &id}, &azservicebus.Message{MessageID: new(id + "+")})
					if err == nil {
						break
					}
					if t.Context().Err() != nil {
						t.Errorf("message %s was never sent: %v", id, err)
						return
					}
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	stop, cancel := context.WithCancelCause(t.Context())
	go func() { <-ended; cancel(nil) }()
	cuts := 0
	for next := every; next < senders*each; next += every {
		if w.server.Await(stop, func() bool { return len(w.server.Messages("status")) >= 2*next }) != nil {
			break
		}
		w.server.Faults().CutAll()
		cuts++
	}
	<-ended
	if cuts < 3 {
		t.Errorf("only %d cuts", cuts)
	}
	seen := map[string]int{}
	for _, m := range w.server.Messages("status") {
		seen[m.MessageID]++
	}
	for i := range senders {
		for j := range each {
			for _, id := range []string{fmt.Sprintf("%d-%d", i, j), fmt.Sprintf("%d-%d+", i, j)} {
				if seen[id] == 0 {
					t.Errorf("message %s was acknowledged and is not there", id)
				}
			}
		}
	}
	if shared.Send(t.Context(), texts(1)...) != nil { // a cut may just have come
		w.must(shared.Send(t.Context(), texts(1)...))
	}
	_ = shared.Close(t.Context()) // as above
}
