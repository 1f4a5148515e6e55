package outbound

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

func TestEventsCarryWhatSubscriptionsFilterOn(t *testing.T) {
	o := &outbox{}
	p := NewEvents(o, telemetry.Destination{Name: "fno-status"}, telemetry.Discard())
	e := status.Event{
		Status: status.DeadLettered, Reason: failure.NoRoute, Time: time.Now(), Environment: "prod", Route: "r", Entity: `Größen & "X"`,
		Company: "usmf", Session: "usmf/X", MessageID: "m-1", SequenceNumber: 7, Queue: "in",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", TraceState: "a=b",
	}
	if err := p.Publish(t.Context(), e, status.Event{Status: status.Paused, Environment: "prod", Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if o.n != 1 || len(o.sent) != 2 {
		t.Fatalf("%d sends of %d events: events given together leave together", o.n, len(o.sent))
	}
	m := o.sent[0]
	if *m.MessageID != e.ID() || *m.SessionID != "usmf/X" || *m.CorrelationID != "m-1" || *m.ContentType != "application/cloudevents+json" {
		t.Errorf("message %+v", m)
	}
	for name, want := range map[string]any{
		"status": "DeadLettered", "reason": "NoRoute", "entity": `Größen & "X"`, "company": "usmf", "environment": "prod", "route": "r",
		"traceparent": e.TraceParent, "Diagnostic-Id": e.TraceParent, "tracestate": "a=b",
	} {
		if m.ApplicationProperties[name] != want {
			t.Errorf("property %s = %v, want %v", name, m.ApplicationProperties[name], want)
		}
	}
	back, err := status.Decode(m.Body)
	if err != nil || back.ID() != e.ID() {
		t.Errorf("what a subscriber reads is another event: %+v, %v", back, err)
	}
	if *o.sent[1].SessionID != "environment/prod" {
		t.Errorf("an environment's event is in session %q", *o.sent[1].SessionID)
	}
}

func TestEventsAskBeforeTheyLeave(t *testing.T) {
	o, gone := &outbox{}, errors.New("the session went to another")
	p := NewEvents(o, telemetry.Destination{}, telemetry.Discard())
	e := status.Event{Status: status.Enqueued, Time: time.Now()}
	if err := p.PublishIf(t.Context(), func() error { return gone }, e); !errors.Is(err, gone) || len(o.sent) != 0 {
		t.Errorf("error %v, %d sent", err, len(o.sent))
	}
	if err := p.PublishIf(t.Context(), func() error { return nil }, e); err != nil || len(o.sent) != 1 {
		t.Errorf("error %v, %d sent", err, len(o.sent))
	}
}

func TestEventsReportThatTheBrokerDoesNotHaveThem(t *testing.T) {
	away := errors.New("away")
	p := NewEvents(&outbox{fail: func(int) error { return away }}, telemetry.Destination{}, telemetry.Discard())
	if err := p.Publish(t.Context(), status.Event{Status: status.Enqueued, Time: time.Now()}); !errors.Is(err, away) {
		t.Errorf("error %v", err)
	}
	if err := p.Publish(t.Context(), status.Event{}); err == nil {
		t.Error("an event without a status was published")
	}
}

// An event that no message can carry would keep its session waiting for ever.
func TestAnEventThatIsTooLargeIsPublishedWithoutItsWords(t *testing.T) {
	o := &outbox{}
	o.fail = func(n int) error {
		if n == 1 {
			return fmt.Errorf("send: %w", azservicebus.ErrMessageTooLarge)
		}
		return nil
	}
	p := NewEvents(o, telemetry.Destination{}, telemetry.Discard())
	long := strings.Repeat("\x01", 31000)
	e := status.Event{Status: status.DeadLettered, Reason: failure.NoRoute, Entity: long, FileName: long, Detail: long, MessageID: "m", Time: time.Now()}
	if err := p.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	back, err := status.Decode(o.sent[len(o.sent)-1].Body)
	if err != nil || back.ID() != e.ID() || back.Reason != failure.NoRoute {
		t.Errorf("published %+v, %v", back, err)
	}
	if n := len(o.sent[len(o.sent)-1].Body); n > 32<<10 {
		t.Errorf("%d bytes", n)
	}
	if _, b, _ := e.Bounded().Encode(); len(b) > 128<<10 {
		t.Errorf("%d bytes before anything was refused", len(b))
	}
	o.fail = func(int) error { return azservicebus.ErrMessageTooLarge }
	if err := p.Publish(t.Context(), e); !errors.Is(err, azservicebus.ErrMessageTooLarge) {
		t.Errorf("error %v", err)
	}
}
