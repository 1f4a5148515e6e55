package bustest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	sdk "github.com/Azure/go-amqp"

	"fnobridge/emulator/servicebus/amqp"
)

// The broker keeps messages as they travel. What stands here is what the SDK does at the two ends of the wire
// (azservicebus v1.11.0, message.go and amqp_message.go), which it does not offer to others.

// annotate returns a message as the SDK sends it.
func annotate(m *azservicebus.Message) *azservicebus.AMQPAnnotatedMessage {
	p := &azservicebus.AMQPAnnotatedMessageProperties{
		GroupID: m.SessionID, ContentType: m.ContentType, Subject: m.Subject, To: m.To, ReplyTo: m.ReplyTo,
		ReplyToGroupID: m.ReplyToSessionID,
	}
	if m.MessageID != nil {
		p.MessageID = *m.MessageID
	}
	if m.CorrelationID != nil {
		p.CorrelationID = *m.CorrelationID
	}
	a := &azservicebus.AMQPAnnotatedMessage{
		Properties: p, ApplicationProperties: m.ApplicationProperties, MessageAnnotations: map[any]any{},
		Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{m.Body}},
	}
	if m.TimeToLive != nil {
		a.Header = &azservicebus.AMQPAnnotatedMessageHeader{TTL: *m.TimeToLive}
	}
	if m.PartitionKey != nil {
		a.MessageAnnotations["x-opt-partition-key"] = *m.PartitionKey
	}
	if m.ScheduledEnqueueTime != nil {
		a.MessageAnnotations["x-opt-scheduled-enqueue-time"] = *m.ScheduledEnqueueTime
	}
	return a
}

func encode(m *azservicebus.AMQPAnnotatedMessage) ([]byte, error) {
	wire := &sdk.Message{
		Annotations: m.MessageAnnotations, ApplicationProperties: m.ApplicationProperties, Data: m.Body.Data,
		DeliveryAnnotations: m.DeliveryAnnotations, Footer: m.Footer, Sequence: m.Body.Sequence, Value: m.Body.Value,
		Properties: &sdk.MessageProperties{},
	}
	if h := m.Header; h != nil {
		wire.Header = &sdk.MessageHeader{
			DeliveryCount: h.DeliveryCount, Durable: h.Durable, FirstAcquirer: h.FirstAcquirer, Priority: h.Priority, TTL: h.TTL,
		}
	}
	if m.Properties != nil {
		p := *m.Properties
		wire.Properties = &sdk.MessageProperties{
			AbsoluteExpiryTime: p.AbsoluteExpiryTime, ContentEncoding: p.ContentEncoding, ContentType: p.ContentType,
			CorrelationID: p.CorrelationID, CreationTime: p.CreationTime, GroupID: p.GroupID, GroupSequence: p.GroupSequence,
			MessageID: p.MessageID, ReplyTo: p.ReplyTo, ReplyToGroupID: p.ReplyToGroupID, Subject: p.Subject, To: p.To,
			UserID: p.UserID,
		}
	}
	return wire.MarshalBinary()
}

func decodeAll(raws [][]byte) ([]*azservicebus.ReceivedMessage, error) {
	all := make([]*azservicebus.ReceivedMessage, 0, len(raws))
	for _, raw := range raws {
		m, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("decode what the broker sent: %w", err)
		}
		all = append(all, m)
	}
	return all, nil
}

// decode returns an encoded message as the SDK returns it.
func decode(raw []byte) (*azservicebus.ReceivedMessage, error) {
	var wire sdk.Message
	if err := wire.UnmarshalBinary(raw); err != nil {
		return nil, err
	}
	a := &azservicebus.AMQPAnnotatedMessage{
		MessageAnnotations: wire.Annotations, ApplicationProperties: wire.ApplicationProperties, Footer: wire.Footer,
		DeliveryAnnotations: wire.DeliveryAnnotations, DeliveryTag: wire.DeliveryTag,
		Body: azservicebus.AMQPAnnotatedMessageBody{Data: wire.Data, Sequence: wire.Sequence, Value: wire.Value},
	}
	m := &azservicebus.ReceivedMessage{
		RawAMQPMessage: a, ApplicationProperties: maps.Clone(wire.ApplicationProperties),
	}
	if len(wire.Data) == 1 {
		m.Body = wire.Data[0]
	}
	if h := wire.Header; h != nil {
		a.Header = &azservicebus.AMQPAnnotatedMessageHeader{
			DeliveryCount: h.DeliveryCount, Durable: h.Durable, FirstAcquirer: h.FirstAcquirer, Priority: h.Priority, TTL: h.TTL,
		}
		m.DeliveryCount, m.TimeToLive = h.DeliveryCount+1, &h.TTL
	}
	if p := wire.Properties; p != nil {
		a.Properties = &azservicebus.AMQPAnnotatedMessageProperties{
			AbsoluteExpiryTime: p.AbsoluteExpiryTime, ContentEncoding: p.ContentEncoding, ContentType: p.ContentType,
			CorrelationID: p.CorrelationID, CreationTime: p.CreationTime, GroupID: p.GroupID, GroupSequence: p.GroupSequence,
			MessageID: p.MessageID, ReplyTo: p.ReplyTo, ReplyToGroupID: p.ReplyToGroupID, Subject: p.Subject, To: p.To,
			UserID: p.UserID,
		}
		m.MessageID, _ = p.MessageID.(string)
		m.CorrelationID = find[string](p.CorrelationID)
		m.SessionID, m.ContentType, m.Subject, m.To = p.GroupID, p.ContentType, p.Subject, p.To
		m.ReplyTo, m.ReplyToSessionID = p.ReplyTo, p.ReplyToGroupID
	}
	m.DeadLetterReason = find[string](m.ApplicationProperties["DeadLetterReason"])
	m.DeadLetterErrorDescription = find[string](m.ApplicationProperties["DeadLetterErrorDescription"])
	notes := wire.Annotations
	m.LockedUntil = find[time.Time](notes["x-opt-locked-until"])
	m.SequenceNumber = find[int64](notes["x-opt-sequence-number"])
	m.PartitionKey = find[string](notes["x-opt-partition-key"])
	m.EnqueuedTime = find[time.Time](notes["x-opt-enqueued-time"])
	m.DeadLetterSource = find[string](notes["x-opt-deadletter-source"])
	m.ScheduledEnqueueTime = find[time.Time](notes["x-opt-scheduled-enqueue-time"])
	m.EnqueuedSequenceNumber = find[int64](notes["x-opt-enqueue-sequence-number"])
	if state := find[int32](notes["x-opt-message-state"]); state != nil {
		m.State = azservicebus.MessageState(*state)
	}
	if token, ok := wire.DeliveryAnnotations["x-opt-lock-token"].(sdk.UUID); ok {
		m.LockToken = token
	}
	return m, nil
}

// find returns a value if it is there and of its type.
func find[T any](v any) *T {
	if t, ok := v.(T); ok {
		return &t
	}
	return nil
}

// pairs returns properties as the broker takes them, in a steady order.
func pairs(props map[string]any) (m amqp.Map) {
	for _, k := range slices.Sorted(maps.Keys(props)) {
		v := props[k]
		switch t := v.(type) {
		case time.Time:
			v = amqp.TimestampOf(t)
		case int:
			v = int64(t)
		}
		m = append(m, amqp.Pair{Key: k, Value: v})
	}
	return m
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
