package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"

	"fnobridge/internal/failure"
)

// A Destination is where messages come from or go to.
type Destination struct {
	Name         string // queue or topic, as configured
	Subscription string // of the topic; empty for a queue and for sending
	Server       string // host name of the namespace
	Port         int    // 0 when it is the one everybody expects (5671)
}

// attributes of the destination, for spans and for metrics.
func (d Destination) attributes(more ...attribute.KeyValue) []attribute.KeyValue {
	a := append(make([]attribute.KeyValue, 0, 16), more...)
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

func (m MessageInfo) attributes() []attribute.KeyValue {
	var a []attribute.KeyValue
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

// An End ends a span with the outcome of what it stands for. Call it once, deferred or right after; later calls do
// nothing. A cancelled context is a stop, not an error: it is named in error.type, but the span's status stays unset.
type End func(error)

// A Settlement is how a message is settled.
type Settlement string

// The settlements, by the names of the conventions.
const (
	Complete   Settlement = "complete"
	Abandon    Settlement = "abandon"
	DeadLetter Settlement = "dead_letter"
	Defer      Settlement = "defer"
)

// An Operation is a call to the broker that neither moves nor settles a message.
type Operation string

// The operations, by the names of the conventions.
const (
	AcceptSession    Operation = "accept_session"
	GetSessionState  Operation = "get_session_state"
	SetSessionState  Operation = "set_session_state"
	RenewSessionLock Operation = "renew_session_lock"
	Peek             Operation = "peek"
)

// Receive records a receive that has returned m or err, begun at began. It is recorded afterwards because only the
// message says which trace it belongs to, and because waiting in vain is no span. It counts the message as consumed.
//
// The context it returns carries the span: it is for Process. Its parent is the producer's span where there is one, and
// it links to it.
func (t *Telemetry) Receive(ctx context.Context, d Destination, began time.Time, m MessageInfo, err error) context.Context {
	attrs := d.attributes(semconv.MessagingSystemServiceBus, semconv.MessagingOperationName("receive"), semconv.MessagingOperationTypeReceive)
	ctx, span := t.tracer.Start(Extract(ctx, m.Properties), name("receive", d), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(began), trace.WithAttributes(append(attrs, m.attributes()...)...), trace.WithLinks(m.links()...))
	t.finish(ctx, span, began, err, func(ctx context.Context, seconds float64, fault []attribute.KeyValue) {
		t.metrics.operation.Record(ctx, seconds, "receive", messagingconv.SystemServiceBus,
			d.attributes(append(fault, semconv.MessagingOperationTypeReceive)...)...)
		if err == nil {
			t.metrics.consumed.Add(ctx, 1, "receive", messagingconv.SystemServiceBus, d.attributes()...)
		}
	})
	return ctx
}

// Process begins the span that is the root of everything done for one message: its parent is the producer's span,
// and it links to it as the conventions ask. Without a producer's trace it is a child of the span in ctx, that of
// Receive. The end records how long the processing took.
func (t *Telemetry) Process(ctx context.Context, d Destination, m MessageInfo) (context.Context, End) {
	attrs := d.attributes(semconv.MessagingSystemServiceBus, semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess)
	began := time.Now()
	ctx, span := t.tracer.Start(Extract(ctx, m.Properties), name("process", d), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(append(attrs, m.attributes()...)...), trace.WithLinks(m.links()...))
	return ctx, t.end(ctx, span, began, func(ctx context.Context, seconds float64, fault []attribute.KeyValue) {
		t.metrics.process.Record(ctx, seconds, "process", messagingconv.SystemServiceBus, d.attributes(fault...)...)
	})
}

// Settle begins the span of settling m, which it links to.
func (t *Telemetry) Settle(ctx context.Context, d Destination, how Settlement, m MessageInfo) (context.Context, End) {
	attrs := append(m.attributes(), semconv.MessagingOperationTypeSettle,
		semconv.MessagingServiceBusDispositionStatusKey.String(string(how)))
	return t.call(ctx, d, string(how), trace.SpanKindClient, attrs, m.links(), semconv.MessagingOperationTypeSettle)
}

// Send begins the span of sending m and writes its context into m.Properties, which must not be nil. A message that
// carries a trace already keeps it; the span then links to that. The end counts the message as sent.
func (t *Telemetry) Send(ctx context.Context, d Destination, m MessageInfo) (context.Context, End) {
	kind := trace.SpanKindProducer
	if carries(m.Properties) {
		kind = trace.SpanKindClient // the producer is somebody else
	}
	attrs := append(m.attributes(), semconv.MessagingOperationTypeSend)
	ctx, end := t.call(ctx, d, "send", kind, attrs, m.links(), semconv.MessagingOperationTypeSend)
	if m.Properties != nil {
		Inject(ctx, m.Properties)
	}
	return ctx, func(err error) {
		end(err)
		attrs := d.attributes()
		if err != nil {
			attrs = append(attrs, semconv.ErrorTypeKey.String(errorType(ctx, err)))
		}
		t.metrics.sent.Add(ctx, 1, "send", messagingconv.SystemServiceBus, attrs...)
	}
}

// Generic begins the span of op. session may be empty.
func (t *Telemetry) Generic(ctx context.Context, d Destination, op Operation, session string) (context.Context, End) {
	return t.call(ctx, d, string(op), trace.SpanKindClient, MessageInfo{Session: session}.attributes(), nil)
}

// Accepted records the accept of a session that has returned, begun at began: afterwards for the same reason as
// Receive. Do not record an accept that found no session: that is idleness, not an event.
func (t *Telemetry) Accepted(ctx context.Context, d Destination, began time.Time, session string, err error) {
	ctx, span := t.start(ctx, d, string(AcceptSession), trace.SpanKindClient, trace.WithTimestamp(began),
		trace.WithAttributes(MessageInfo{Session: session}.attributes()...))
	t.finish(ctx, span, began, err, t.operated(d, string(AcceptSession)))
}

// A File is what is known of a file beyond its message. Zero fields are left out.
type File struct {
	Route, Environment, Entity, Company string
	FnoMessage, FnoExecution            string // F&O's own IDs
}

// Describe adds f to the span in ctx, the one of Process.
func Describe(ctx context.Context, f File) {
	var a []attribute.KeyValue
	for _, kv := range []struct {
		key   attribute.Key
		value string
	}{
		{routeKey, f.Route}, {environmentKey, f.Environment}, {entityKey, f.Entity}, {companyKey, f.Company},
		{fnoMessageKey, f.FnoMessage}, {executionKey, f.FnoExecution},
	} {
		if kv.value != "" {
			a = append(a, kv.key.String(kv.value))
		}
	}
	trace.SpanFromContext(ctx).SetAttributes(a...)
}

// name returns the span name of the conventions: the operation, then the destination.
func name(operation string, d Destination) string {
	if d.Name == "" {
		return operation
	}
	return operation + " " + d.Name
}

// start begins a span with what samplers may look at.
func (t *Telemetry) start(ctx context.Context, d Destination, operation string, kind trace.SpanKind, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	attrs := d.attributes(semconv.MessagingSystemServiceBus, semconv.MessagingOperationName(operation))
	return t.tracer.Start(ctx, name(operation, d), append(opts, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))...)
}

// call begins the span of a call to the broker; its end records the duration under the attributes typed.
func (t *Telemetry) call(ctx context.Context, d Destination, operation string, kind trace.SpanKind, attrs []attribute.KeyValue, links []trace.Link, typed ...attribute.KeyValue) (context.Context, End) {
	began := time.Now()
	ctx, span := t.start(ctx, d, operation, kind, trace.WithAttributes(attrs...), trace.WithLinks(links...))
	return ctx, t.end(ctx, span, began, t.operated(d, operation, typed...))
}

// operated returns the recording of messaging.client.operation.duration for finish.
func (t *Telemetry) operated(d Destination, operation string, typed ...attribute.KeyValue) recording {
	return func(ctx context.Context, seconds float64, fault []attribute.KeyValue) {
		t.metrics.operation.Record(ctx, seconds, operation, messagingconv.SystemServiceBus,
			d.attributes(append(fault, typed...)...)...)
	}
}

// A recording notes a duration; fault holds error.type, or nothing.
type recording func(ctx context.Context, seconds float64, fault []attribute.KeyValue)

// end returns the End of a span.
func (t *Telemetry) end(ctx context.Context, span trace.Span, began time.Time, record recording) End {
	ended := false
	return func(err error) {
		if ended {
			return
		}
		ended = true
		t.finish(ctx, span, began, err, record)
	}
}

// finish is the one place where a span gets its outcome. The description holds what was being done, never the text of
// an error: F&O's answers and URLs are in there.
func (t *Telemetry) finish(ctx context.Context, span trace.Span, began time.Time, err error, record recording) {
	var fault []attribute.KeyValue
	if err != nil {
		kind := errorType(ctx, err)
		fault = []attribute.KeyValue{semconv.ErrorTypeKey.String(kind)}
		span.SetAttributes(fault...)
		if kind != canceled {
			description := kind
			if f, ok := errors.AsType[*failure.Failure](err); ok && f.Op != "" {
				description = f.Op + ": " + kind
			}
			span.SetStatus(codes.Error, description)
		}
	}
	span.End()
	record(ctx, time.Since(began).Seconds(), fault)
}
