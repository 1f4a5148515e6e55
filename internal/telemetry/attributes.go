package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The bridge's own attributes. The conventions have none for a session.
const (
	sessionKey     = attribute.Key("fnobridge.session") // spans only: sessions are without number
	sequenceKey    = attribute.Key("fnobridge.sequence_number")
	routeKey       = attribute.Key("fnobridge.route")
	environmentKey = attribute.Key("fnobridge.environment")
	entityKey      = attribute.Key("fnobridge.entity")        // spans only
	companyKey     = attribute.Key("fnobridge.company")       // spans only
	fnoMessageKey  = attribute.Key("fnobridge.fno_message")   // spans only
	executionKey   = attribute.Key("fnobridge.fno_execution") // spans only
	outcomeKey     = attribute.Key("fnobridge.outcome")
	reasonKey      = attribute.Key("fnobridge.reason")
)

// A Destination is where messages come from or go to.
type Destination struct {
	Name         string // queue or topic, as configured
	Subscription string // of the topic; empty for a queue and for sending
	Server       string // host name of the namespace
	Port         int    // 0 when it is the one everybody expects (5671)
}

// appendTo appends the attributes of the destination, for spans and for metrics.
func (d Destination) appendTo(a []attribute.KeyValue) []attribute.KeyValue {
	if d.Name != "" {
		a = append(a, semconv.MessagingDestinationName(d.Name))
	}
	if d.Subscription != "" {
		a = append(a, semconv.MessagingDestinationSubscriptionName(d.Subscription))
	}
	if d.Server != "" {
		a = append(a, semconv.ServerAddress(d.Server))
	}
	if d.Port != 0 {
		a = append(a, semconv.ServerPort(d.Port))
	}
	return a
}

// A MessageInfo is what a span says about one message. Zero fields are left out.
type MessageInfo struct {
	ID            string
	CorrelationID string
	Session       string
	Sequence      int64 // the broker's sequence number
	Delivery      int   // the broker's delivery count
	Size          int   // of the body, in bytes
	Enqueued      time.Time
	Properties    map[string]any // the application properties: the producer's trace; Send writes it into them
}

// appendTo appends the attributes of the message, for spans only: their values are without number.
func (m MessageInfo) appendTo(a []attribute.KeyValue) []attribute.KeyValue {
	if m.ID != "" {
		a = append(a, semconv.MessagingMessageID(m.ID))
	}
	if m.CorrelationID != "" {
		a = append(a, semconv.MessagingMessageConversationID(m.CorrelationID))
	}
	if m.Delivery > 0 {
		a = append(a, semconv.MessagingServiceBusMessageDeliveryCount(m.Delivery))
	}
	if m.Size > 0 {
		a = append(a, semconv.MessagingMessageBodySize(m.Size))
	}
	if !m.Enqueued.IsZero() {
		a = append(a, semconv.MessagingServiceBusMessageEnqueuedTime(int(m.Enqueued.Unix())))
	}
	if m.Session != "" {
		a = append(a, sessionKey.String(m.Session))
	}
	if m.Sequence != 0 {
		a = append(a, sequenceKey.Int64(m.Sequence))
	}
	return a
}

// links returns the link to the producer's span, or none.
func (m MessageInfo) links() []trace.Link {
	sc := trace.SpanContextFromContext(Extract(context.Background(), m.Properties))
	if !sc.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: sc}}
}
