package bustest_test

import (
	"errors"
	"fmt"
	"fnobridge/internal/bus"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// messageRows are about the messages of a session.
var messageRows = []row{
	{"messages come in order, with numbers that grow", func(w *world) {
		want := []string{"a1", "a2", "a3", "a4", "a5"}
		w.send("A", want...)
		s := w.take(w.one, "A")
		var got []string
		last := int64(0)
		for range want {
			m := w.receive(s)
			got = append(got, string(m.Body))
			if *m.SequenceNumber <= last {
				w.Errorf("number %d after %d", *m.SequenceNumber, last)
			}
			last = *m.SequenceNumber
		}
		w.same(want, got)
	}},
	{"nothing that comes is no error", func(w *world) {
		s := w.take(w.one, "A")
		if m, err := s.Receive(w.Context(), 50*time.Millisecond); m != nil || err != nil {
			w.Errorf("got %v, %v", m, err)
		}
		w.alive(s)
	}},
	{"a receive waits as long as it may, beside other calls", func(w *world) {
		s, began := w.take(w.one, "A"), time.Now()
		ended := make(chan time.Duration, 1)
		go func() {
			if m, err := s.Receive(w.Context(), bus.DefaultCallTimeout+200*time.Millisecond); m != nil || err != nil {
				w.Errorf("got %v, %v", m, err)
			}
			ended <- time.Since(began)
		}()
		w.must(s.Renew(w.Context()))
		if took := time.Since(began); took > bus.DefaultCallTimeout {
			w.Errorf("a renewal waited %v for the receive", took)
		}
		if took := <-ended; took < bus.DefaultCallTimeout {
			w.Errorf("the receive ended after %v", took)
		}
		w.alive(s)
	}},
	{"a receive that waits gets what comes", func(w *world) {
		s := w.take(w.one, "A")
		got := make(chan error, 1)
		go func() {
			m, err := s.Receive(w.Context(), time.Second)
			if err == nil && m == nil {
				err = errors.New("nothing")
			}
			got <- err
		}()
		w.send("A", "a1")
		w.must(<-got)
	}},
	{"a peek through a session locks nothing, and shows what waits elsewhere", func(w *world) {
		w.send("A", "a1", "a2")
		w.send("B", "b1")
		s := w.take(w.one, "A")
		page, err := s.Peek(w.Context(), 1, 10)
		w.must(err)
		w.same([]string{"a1", "a2", "b1"}, texts(page))
		page, err = s.Peek(w.Context(), *page[1].SequenceNumber, 1)
		w.must(err)
		w.same([]string{"a2"}, texts(page))
		if m := w.receive(s); string(m.Body) != "a1" || m.DeliveryCount != 1 {
			w.Errorf("received %q, delivery %d", m.Body, m.DeliveryCount)
		}
	}},
	{"a message is completed by its token", func(w *world) {
		w.send("A", "a1", "a2")
		s := w.take(w.one, "A")
		m := w.receive(s)
		w.must(s.Complete(w.Context(), bus.ByToken(m.LockToken)))
		w.same([]string{"a2"}, w.bodies("files"))
	}},
	{"a completed message is gone", func(w *world) {
		w.send("A", "a1", "a2")
		s := w.take(w.one, "A")
		w.must(s.Complete(w.Context(), w.receive(s)))
		w.same([]string{"a2"}, w.bodies("files"))
	}},
	{"a dead letter keeps what it was and says why", func(w *world) {
		w.send("A", "a1")
		s := w.take(w.one, "A")
		m := w.receive(s)
		w.must(s.DeadLetter(w.Context(), m, &azservicebus.DeadLetterOptions{
			Reason: new("Timeout"), ErrorDescription: new("no answer"),
			PropertiesToModify: map[string]any{"attempts": int64(3), "advice": "wait"},
		}))
		w.same([]string(nil), w.bodies("files"))
		d := w.one.DeadLetters(files)
		page, err := d.Peek(w.Context(), 1, 10)
		w.must(err)
		w.closed(d)
		if len(page) != 1 {
			w.Fatalf("%d dead letters", len(page))
		}
		got := page[0]
		w.same([]string{"a1", "A", m.MessageID, "Timeout", "no answer"},
			[]string{string(got.Body), *got.SessionID, got.MessageID, *got.DeadLetterReason, *got.DeadLetterErrorDescription})
		if got.ApplicationProperties["attempts"] != int64(3) || got.ApplicationProperties["advice"] != "wait" {
			w.Errorf("properties %v", got.ApplicationProperties)
		}
		if *got.SequenceNumber != *m.SequenceNumber {
			w.Errorf("number %d became %d", *m.SequenceNumber, *got.SequenceNumber)
		}
	}},
	{"what a closed session had received comes again in order, and counts nothing", func(w *world) {
		w.send("A", "a1", "a2", "a3")
		s := w.take(w.one, "A")
		w.receive(s)
		w.receive(s)
		w.give(s)
		s = w.take(w.other, "A")
		var got []string
		for range 3 {
			m := w.receive(s)
			got = append(got, fmt.Sprintf("%s #%d", m.Body, m.DeliveryCount))
		}
		w.same([]string{"a1 #1", "a2 #1", "a3 #1"}, got)
	}},
	{"a message that was received comes again only under another lock", func(w *world) {
		w.send("A", "a1")
		s := w.take(w.one, "A")
		w.receive(s)
		if m, err := s.Receive(w.Context(), 50*time.Millisecond); m != nil || err != nil {
			w.Errorf("got %v, %v", m, err)
		}
	}},
}

// sendRows are about what is sent.
var sendRows = []row{
	{"a message has what its sender gave it", func(w *world) {
		m := message("A", "body")
		m.MessageID, m.ContentType, m.Subject, m.CorrelationID = new("id"), new("text/csv"), new("subject"), new("c1")
		m.ApplicationProperties = map[string]any{"text": "x", "number": int64(7), "yes": true, "half": 0.5}
		w.must(w.one.Sender("files").Send(w.Context(), m))
		got := w.receive(w.take(w.one, "A"))
		w.same(m.ApplicationProperties, got.ApplicationProperties)
		w.same([]string{"id", "text/csv", "subject", "c1", "A"},
			[]string{got.MessageID, *got.ContentType, *got.Subject, *got.CorrelationID, *got.SessionID})
		if got.DeliveryCount != 1 || got.EnqueuedTime == nil || got.State != azservicebus.MessageStateActive {
			w.Errorf("delivery %d, enqueued %v, state %v", got.DeliveryCount, got.EnqueuedTime, got.State)
		}
	}},
	{"what is sent twice under one ID is there once", func(w *world) {
		s := w.one.Sender("files")
		m := message("A", "first")
		m.MessageID = new("the same")
		w.must(s.Send(w.Context(), m))
		m.Body = []byte("again")
		w.must(s.Send(w.Context(), m))
		w.same([]string{"first"}, w.bodies("files"))
	}},
	{"several messages are sent in order", func(w *world) {
		w.must(w.one.Sender("files").Send(w.Context(), message("A", "a1"), message("A", "a2"), message("B", "b1")))
		w.same([]string{"a1", "a2", "b1"}, w.bodies("files"))
	}},
	{"without the right to send nothing is sent", func(w *world) {
		no := errors.New("no right")
		err := w.one.Sender("files").SendIf(w.Context(), func() error { return no }, message("A", "a1"))
		if !errors.Is(err, no) {
			w.Errorf("got %v", err)
		}
		w.same([]string(nil), w.bodies("files"))
	}},
	{"what cannot be sent is an error", func(w *world) {
		bare := &azservicebus.AMQPAnnotatedMessage{
			Properties: &azservicebus.AMQPAnnotatedMessageProperties{MessageID: "x"},
			Body:       azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("x")}},
		}
		for want, err := range map[error]error{
			bus.ErrNeedSession:              w.one.Sender("files").SendAMQP(w.Context(), bare),
			bus.ErrNotFound:                 w.one.Sender("nowhere").Send(w.Context(), message("A", "x")),
			azservicebus.ErrMessageTooLarge: w.one.Sender("files").Send(w.Context(), message("A", strings.Repeat("x", 300<<10))),
		} {
			if !errors.Is(err, want) {
				w.Errorf("got %v, want %v", err, want)
			}
		}
		w.same([]string(nil), w.bodies("files"))
	}},
}
