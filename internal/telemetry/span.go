package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"fnobridge/internal/failure"
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
	o := operation{name: "receive", kind: semconv.MessagingOperationTypeReceive, at: d, began: began}
	ctx, span := t.start(Extract(ctx, m.Properties), o, trace.SpanKindClient, m)
	t.finish(ctx, span, o, err)
	if err == nil && t.measured {
		t.metrics.consumed.AddSet(ctx, 1, t.labels.of(labelled{at: d, operation: o.name}))
	}
	return ctx
}

// Process begins the span that is the root of everything done for one message: its parent is the producer's span,
// and it links to it as the conventions ask. Without a producer's trace it is a child of the span in ctx, that of
// Receive. The end records how long the processing took.
func (t *Telemetry) Process(ctx context.Context, d Destination, m MessageInfo) (context.Context, End) {
	o := operation{name: process, kind: semconv.MessagingOperationTypeProcess, at: d, began: time.Now()}
	ctx, span := t.start(Extract(ctx, m.Properties), o, trace.SpanKindConsumer, m)
	return ctx, t.end(ctx, span, o)
}

// Settle begins the span of settling m, which it links to.
func (t *Telemetry) Settle(ctx context.Context, d Destination, how Settlement, m MessageInfo) (context.Context, End) {
	return t.call(ctx, operation{name: string(how), kind: semconv.MessagingOperationTypeSettle, at: d, disposition: how, began: time.Now()}, trace.SpanKindClient, m)
}

// Send begins the span of sending m and writes its context into m.Properties, which must not be nil. A message that
// carries a trace already keeps it; the span then links to that. The end counts the message as sent.
func (t *Telemetry) Send(ctx context.Context, d Destination, m MessageInfo) (context.Context, End) {
	kind := trace.SpanKindProducer
	if carries(m.Properties) {
		kind = trace.SpanKindClient // the producer is somebody else
	}
	ctx, end := t.call(ctx, operation{name: "send", kind: semconv.MessagingOperationTypeSend, at: d, began: time.Now()}, kind, m)
	if m.Properties != nil {
		Inject(ctx, m.Properties)
	}
	if !t.measured {
		return ctx, end
	}
	return ctx, func(err error) {
		end(err)
		t.metrics.sent.AddSet(ctx, 1, t.labels.of(labelled{at: d, operation: "send", fault: faultOf(ctx, err)}))
	}
}

// Generic begins the span of op. session may be empty.
func (t *Telemetry) Generic(ctx context.Context, d Destination, op Operation, session string) (context.Context, End) {
	return t.call(ctx, operation{name: string(op), at: d, began: time.Now()}, trace.SpanKindClient, MessageInfo{Session: session})
}

// Accepted records the accept of a session that has returned, begun at began: afterwards for the same reason as
// Receive. Do not record an accept that found no session: that is idleness, not an event.
func (t *Telemetry) Accepted(ctx context.Context, d Destination, began time.Time, session string, err error) {
	o := operation{name: string(AcceptSession), at: d, began: began}
	ctx, span := t.start(ctx, o, trace.SpanKindClient, MessageInfo{Session: session})
	t.finish(ctx, span, o, err)
}

// A File is what is known of a file beyond its message. Zero fields are left out.
type File struct {
	Route, Environment, Entity, Company string
	FnoMessage, FnoExecution            string // F&O's own IDs
}

// Describe adds f to the span in ctx, the one of Process.
func Describe(ctx context.Context, f File) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
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
	span.SetAttributes(a...)
}

// process is the operation that has a histogram of its own.
const process = "process"

// An operation is what one span and one duration are about.
type operation struct {
	name        string             // messaging.operation.name
	kind        attribute.KeyValue // messaging.operation.type; none where the conventions have none
	at          Destination
	disposition Settlement // of a settlement
	began       time.Time
}

// start begins the span of an operation, with everything that samplers may look at. Where nobody collects spans it only
// makes the IDs.
func (t *Telemetry) start(ctx context.Context, o operation, kind trace.SpanKind, m MessageInfo) (context.Context, trace.Span) {
	if !t.collected {
		return t.tracer.Start(ctx, o.name)
	}
	a := append(make([]attribute.KeyValue, 0, 16), semconv.MessagingSystemServiceBus, semconv.MessagingOperationName(o.name))
	if o.kind.Valid() {
		a = append(a, o.kind)
	}
	if o.disposition != "" {
		a = append(a, semconv.MessagingServiceBusDispositionStatusKey.String(string(o.disposition)))
	}
	name := o.name // the conventions: the operation, then the destination
	if o.at.Name != "" {
		name += " " + o.at.Name
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(o.began),
		trace.WithAttributes(m.appendTo(o.at.appendTo(a))...), trace.WithLinks(m.links()...))
}

// call begins the span of a call to the broker; its end records the duration.
func (t *Telemetry) call(ctx context.Context, o operation, kind trace.SpanKind, m MessageInfo) (context.Context, End) {
	ctx, span := t.start(ctx, o, kind, m)
	return ctx, t.end(ctx, span, o)
}

// end returns the End of a span.
func (t *Telemetry) end(ctx context.Context, span trace.Span, o operation) End {
	if !t.collected && !t.measured {
		return func(error) {}
	}
	kept, ended := o, false // a closure over o itself would put every o on the heap
	return func(err error) {
		if ended {
			return
		}
		ended = true
		t.finish(ctx, span, kept, err)
	}
}

// finish is the one place where a span gets its outcome. The description holds what was being done, never the text of
// an error: F&O's answers and URLs are in there.
func (t *Telemetry) finish(ctx context.Context, span trace.Span, o operation, err error) {
	if !t.collected && !t.measured {
		return
	}
	fault := faultOf(ctx, err)
	if err != nil {
		span.SetAttributes(semconv.ErrorTypeKey.String(fault))
		if fault != canceled {
			description := fault
			if f, ok := errors.AsType[*failure.Failure](err); ok && f.Op != "" {
				description = f.Op + ": " + fault
			}
			span.SetStatus(codes.Error, description)
		}
	}
	span.End()
	if !t.measured {
		return
	}
	x := labelled{at: o.at, operation: o.name, kind: o.kind.Value.AsString(), fault: fault}
	histogram := t.metrics.operation.Inst()
	if o.name == process {
		x.kind = "" // the conventions give this histogram no type
		histogram = t.metrics.process.Inst()
	}
	histogram.Record(ctx, time.Since(o.began).Seconds(), metric.WithAttributeSet(t.labels.of(x)))
}

// faultOf returns the error.type of an outcome, "" for a good one.
func faultOf(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	return errorType(ctx, err)
}
