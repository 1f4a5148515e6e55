package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/Azure/go-amqp"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"fnobridge/internal/failure"
)

// A whole file as the lane does it.
func oneFile(t *testing.T, p probe, props map[string]any) {
	t.Helper()
	m := MessageInfo{ID: "m-1", Session: "Customers", Sequence: 9, Delivery: 1, Size: 42, Enqueued: enqueued, Properties: props}
	ctx := p.Receive(t.Context(), orders, time.Now(), m, nil)
	ctx, processed := p.Process(ctx, orders, m)
	Describe(ctx, File{Route: "customers", Environment: "prod", Entity: "Customers", FnoMessage: "{1}"})
	_, got := p.Generic(ctx, orders, GetSessionState, "Customers")
	got(nil)
	event := map[string]any{}
	_, sent := p.Send(ctx, topic, MessageInfo{ID: "e-1", Session: "Customers", Properties: event})
	sent(nil)
	if want, _ := event[TraceParent].(string); want == "" || event[DiagnosticID] != want {
		t.Errorf("the event carries %v", event)
	}
	_, settled := p.Settle(ctx, orders, Complete, m)
	settled(nil)
	processed(nil)
}

func TestOneTracePerFile(t *testing.T) {
	for name, c := range map[string]struct {
		props map[string]any
		trace string
		links int
	}{
		"continued from traceparent":   {map[string]any{TraceParent: producer}, producerTrace, 1},
		"continued from Diagnostic-Id": {map[string]any{DiagnosticID: producer}, producerTrace, 1},
		"begun here":                   {nil, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProbe(t)
			oneFile(t, p, c.props)
			receive, process := p.span(t, "receive orders"), p.span(t, "process orders")
			id := receive.SpanContext().TraceID()
			if c.trace != "" && id.String() != c.trace {
				t.Errorf("trace %s, want the producer's", id)
			}
			for _, s := range p.spans.Ended() {
				if s.SpanContext().TraceID() != id {
					t.Errorf("%s is in another trace", s.Name())
				}
			}
			if len(receive.Links()) != c.links || len(process.Links()) != c.links {
				t.Errorf("links: receive %d, process %d, want %d", len(receive.Links()), len(process.Links()), c.links)
			}
			parent := receive.SpanContext().SpanID().String()
			if c.trace != "" {
				parent = producerSpan
			}
			if got := process.Parent().SpanID().String(); got != parent {
				t.Errorf("process has parent %s, want %s", got, parent)
			}
			for _, child := range []string{"get_session_state orders", "send fno-status", "complete orders"} {
				if got := p.span(t, child).Parent().SpanID(); got != process.SpanContext().SpanID() {
					t.Errorf("%s is not a child of process", child)
				}
			}
		})
	}
}

func TestSpansFollowTheConventions(t *testing.T) {
	p := newProbe(t)
	oneFile(t, p, map[string]any{TraceParent: producer})
	p.Accepted(t.Context(), orders, time.Now(), "Customers", nil)
	base := map[string]string{
		"messaging.system": "servicebus", "messaging.destination.name": "orders",
		"server.address": "contoso.servicebus.windows.net",
	}
	message := map[string]string{
		"messaging.message.id": "m-1", "messaging.message.body.size": "42",
		"messaging.servicebus.message.delivery_count": "1", "messaging.servicebus.message.enqueued_time": "1772366400",
		"fnobridge.session": "Customers", "fnobridge.sequence_number": "9",
	}
	for _, c := range []struct {
		span string
		kind trace.SpanKind
		more []map[string]string
	}{
		{"receive orders", trace.SpanKindClient, []map[string]string{base, message, {"messaging.operation.name": "receive", "messaging.operation.type": "receive"}}},
		{"process orders", trace.SpanKindConsumer, []map[string]string{base, message, {
			"messaging.operation.name": "process", "messaging.operation.type": "process", "fnobridge.route": "customers",
			"fnobridge.environment": "prod", "fnobridge.entity": "Customers", "fnobridge.fno_message": "{1}",
		}}},
		{"get_session_state orders", trace.SpanKindClient, []map[string]string{base, {"messaging.operation.name": "get_session_state", "fnobridge.session": "Customers"}}},
		{"accept_session orders", trace.SpanKindClient, []map[string]string{base, {"messaging.operation.name": "accept_session", "fnobridge.session": "Customers"}}},
		{"send fno-status", trace.SpanKindProducer, []map[string]string{base, {
			"messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.destination.name": "fno-status",
			"messaging.message.id": "e-1", "fnobridge.session": "Customers",
		}}},
		{"complete orders", trace.SpanKindClient, []map[string]string{base, message, {
			"messaging.operation.name": "complete", "messaging.operation.type": "settle", "messaging.servicebus.disposition_status": "complete",
		}}},
	} {
		s := p.span(t, c.span)
		want := map[string]string{}
		for _, m := range c.more {
			maps.Copy(want, m)
		}
		if diff := cmp.Diff(want, values(s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.span, diff)
		}
		if s.SpanKind() != c.kind {
			t.Errorf("%s is a %s span, want %s", c.span, s.SpanKind(), c.kind)
		}
	}
}

func TestSubscriptionAndPortAreNamed(t *testing.T) {
	p := newProbe(t)
	p.Receive(t.Context(), Destination{Name: "orders", Subscription: "fno", Server: "127.0.0.1", Port: 5672}, time.Now(), MessageInfo{}, nil)
	v := values(p.span(t, "receive orders"))
	if v["messaging.destination.subscription.name"] != "fno" || v["server.port"] != "5672" {
		t.Errorf("attributes: %v", v)
	}
}

// Samplers decide when a span starts, so what they may look at must be there by then.
func TestDestinationIsKnownAtTheStart(t *testing.T) {
	p := newProbe(t)
	_, end := p.Settle(t.Context(), orders, DeadLetter, MessageInfo{})
	started := p.spans.Started()
	if v := values(started[0].(sdktrace.ReadOnlySpan)); v["messaging.destination.name"] != "orders" || v["messaging.operation.name"] != "dead_letter" {
		t.Errorf("at the start: %v", v)
	}
	end(nil)
}

func TestResentMessageKeepsItsTrace(t *testing.T) {
	p := newProbe(t)
	props := map[string]any{DiagnosticID: producer}
	_, end := p.Send(t.Context(), orders, MessageInfo{ID: "m-1", Properties: props})
	end(nil)
	s := p.span(t, "send orders")
	if props[TraceParent] != nil || props[DiagnosticID] != producer {
		t.Errorf("properties were changed: %v", props)
	}
	if s.SpanKind() != trace.SpanKindClient || len(s.Links()) != 1 || s.Links()[0].SpanContext.TraceID().String() != producerTrace {
		t.Errorf("%s span with links %v, want a client span that links to the message's trace", s.SpanKind(), s.Links())
	}
}

type leaseError struct{}

func (leaseError) Error() string     { return "the lock of session X is gone" }
func (leaseError) ErrorType() string { return "lease_lost" }

func TestErrorTypeIsShortAndFromAClosedSet(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	late, done := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer done()
	lost, lose := context.WithCancelCause(t.Context())
	lose(leaseError{})
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want string
	}{
		{t.Context(), fmt.Errorf("post: %w", &failure.Failure{Verdict: failure.Retry, Reason: failure.Throttled, Err: slow{}}), "Throttled"},
		{t.Context(), fmt.Errorf("complete: %w", &azservicebus.Error{Code: azservicebus.CodeLockLost}), "locklost"},
		{t.Context(), &amqp.Error{Condition: amqp.ErrCondUnauthorizedAccess, Description: "long"}, "amqp:unauthorized-access"},
		{t.Context(), &azcore.ResponseError{ErrorCode: "BlobNotFound", StatusCode: 404}, "BlobNotFound"},
		{t.Context(), &azcore.ResponseError{StatusCode: 404}, "404"},
		{stopped, stopped.Err(), "canceled"},
		{late, late.Err(), "timeout"},
		{lost, fmt.Errorf("send: %w", lost.Err()), "lease_lost"},
		{lost, context.Cause(lost), "lease_lost"},
		{t.Context(), slow{}, "timeout"},
		{t.Context(), fmt.Errorf("x: %w", errors.New("free text")), "*errors.errorString"},
	} {
		if got := errorType(c.ctx, c.err); got != c.want {
			t.Errorf("%v: type %q, want %q", c.err, got, c.want)
		}
	}
}

type slow struct{}

func (slow) Error() string { return "read tcp 127.0.0.1: i/o timeout" }
func (slow) Timeout() bool { return true }

func TestFailureMarksTheSpanOnceAndWithoutItsText(t *testing.T) {
	p := newProbe(t)
	_, end := p.Process(t.Context(), orders, MessageInfo{})
	end(&failure.Failure{
		Verdict: failure.Reject, Reason: failure.PreProcessingError, Op: "enqueue", Detail: "password=hunter2",
		Err: errors.New("SharedAccessKey=c2VjcmV0"),
	})
	end(nil) // the deferred one
	s := p.span(t, "process orders")
	if s.Status().Code != codes.Error || s.Status().Description != "enqueue: PreProcessingError" {
		t.Errorf("status %v", s.Status())
	}
	if got := values(s)["error.type"]; got != "PreProcessingError" {
		t.Errorf("error.type %q", got)
	}
	if len(s.Events()) != 0 {
		t.Errorf("events %v: their text is not ours to vouch for", s.Events())
	}
}

func TestStopIsNotAFailureOfTheSpan(t *testing.T) {
	p := newProbe(t)
	ctx, stop := context.WithCancel(t.Context())
	ctx, end := p.Process(ctx, orders, MessageInfo{})
	stop()
	end(ctx.Err())
	s := p.span(t, "process orders")
	if s.Status().Code != codes.Unset || values(s)["error.type"] != "canceled" {
		t.Errorf("status %v, error.type %q", s.Status(), values(s)["error.type"])
	}
}

// What is said in a span that nobody collects, or in a metric that nobody reads, is not even put together. One file is
// eleven allocations, of IDs and contexts; with what they say it would be 97.
func TestWhatNobodyCollectsCostsNextToNothing(t *testing.T) {
	plain(t)
	tel, err := Start(t.Context(), Options{Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	file := func() {
		m := MessageInfo{ID: "m-1", Session: "Customers", Sequence: 9, Delivery: 1, Size: 42, Enqueued: enqueued}
		ctx := tel.Receive(t.Context(), orders, time.Now(), m, nil)
		tel.PickedUp(ctx, orders, enqueued)
		ctx, processed := tel.Process(ctx, orders, m)
		tel.FileBegan(ctx, "customers")
		Describe(ctx, File{Route: "customers", Environment: "prod", Entity: "Customers", FnoMessage: "{1}"})
		_, stored := tel.Generic(ctx, orders, SetSessionState, "Customers")
		stored(nil)
		_, settled := tel.Settle(ctx, orders, Complete, m)
		settled(nil)
		tel.FileEnded(ctx, "customers", Processed, enqueued)
		tel.FileLeft(ctx, "customers")
		processed(nil)
	}
	if got := testing.AllocsPerRun(100, file); got > 20 {
		t.Errorf("%.0f allocations for a file", got)
	}
}
