// Package outbound is what leaves the bridge for Service Bus: status events, and the exports of F&O.
//
// Promised: Publish returns nil only when the broker has every event; events given together arrive in order. An export
// is acknowledged to F&O only after the broker has it. Not promised: that anything arrives once. Message IDs are
// computed from content, so an entity with duplicate detection shows each once.
package outbound

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// A Sender sends to one queue or topic, all of the messages or none; bus.Sender is one.
type Sender interface {
	Send(ctx context.Context, messages ...*azservicebus.Message) error
	// SendIf asks may at the last moment before the messages leave, and returns its error instead of sending.
	SendIf(ctx context.Context, may func() error, messages ...*azservicebus.Message) error
}

// An Events publishes status events. It implements inbound.Publisher.
type Events struct {
	sender    Sender
	to        telemetry.Destination
	telemetry *telemetry.Telemetry
}

// NewEvents returns a publisher of status events to one topic or queue.
func NewEvents(s Sender, to telemetry.Destination, t *telemetry.Telemetry) *Events {
	return &Events{sender: s, to: to, telemetry: t}
}

// Publish sends the events in one call, in order.
func (p *Events) Publish(ctx context.Context, events ...status.Event) error {
	return p.PublishIf(ctx, func() error { return nil }, events...)
}

// PublishIf is Publish for who may say so only while something holds: may is asked at the last moment, and when it
// returns an error nothing is sent.
func (p *Events) PublishIf(ctx context.Context, may func() error, events ...status.Event) error {
	if len(events) == 0 {
		return nil
	}
	err := p.send(ctx, may, events)
	if errors.Is(err, azservicebus.ErrMessageTooLarge) { // the facts without the words are better than nothing, for ever
		bare := make([]status.Event, len(events))
		for i, e := range events {
			e.Detail, e.SummaryURL = "(too long for an event)", ""
			bare[i] = e
		}
		err = p.send(ctx, may, bare)
	}
	return err
}

func (p *Events) send(ctx context.Context, may func() error, events []status.Event) error {
	messages := make([]*azservicebus.Message, len(events))
	ends := make([]telemetry.End, len(events))
	for i, e := range events {
		m, err := message(e.Bounded())
		if err != nil {
			return err
		}
		info := telemetry.MessageInfo{ID: *m.MessageID, Session: e.Session, Size: len(m.Body), Properties: m.ApplicationProperties}
		_, ends[i] = p.telemetry.Send(ctx, p.to, info)
		messages[i] = m
	}
	err := p.sender.SendIf(ctx, may, messages...)
	for _, end := range ends {
		end(err)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", events[0].Status, err)
	}
	return nil
}

// message returns the event as a Service Bus message. What subscriptions filter on stands in the application properties
// too; the session of the file is the session of its events, so that they stay in order behind the topic.
func message(e status.Event) (*azservicebus.Message, error) {
	id, body, err := e.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode status event: %w", err)
	}
	if e.Status == "" {
		return nil, errors.New("encode status event: no status")
	}
	contentType, subject := status.ContentType, string(e.Status)
	session := e.Session
	if session == "" {
		session = "environment/" + e.Environment
	}
	properties := make(map[string]any, 8) // one more is rare
	properties["status"], properties["environment"] = subject, e.Environment
	say := func(name, value string) {
		if value != "" {
			properties[name] = value
		}
	}
	say("entity", e.Entity)
	say("company", e.Company)
	say("reason", string(e.Reason))
	say("route", e.Route)
	if e.TraceParent != "" {
		properties[telemetry.TraceParent], properties[telemetry.DiagnosticID] = e.TraceParent, e.TraceParent
		say(telemetry.TraceState, e.TraceState)
	}
	m := &azservicebus.Message{
		MessageID: &id, ContentType: &contentType, Subject: &subject, SessionID: &session, Body: body,
		ApplicationProperties: properties,
	}
	if e.MessageID != "" {
		m.CorrelationID = &e.MessageID
	}
	return m, nil
}
