package inbound

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/telemetry"
)

// A message is one message in the lane's hand: what Service Bus handed out under the session's lock, and has to be
// settled. What it carries into F&O is an import.
type message struct {
	contract.Message
	raw  *azservicebus.ReceivedMessage
	seq  int64
	info telemetry.MessageInfo
	ctx  context.Context // the process span, the root of everything that is done for it; ends with the lease
	end  telemetry.End
}

// received begins the spans of a message that came.
func (o *ownedSession) received(raw *azservicebus.ReceivedMessage, began time.Time) *message {
	m := &message{raw: raw, seq: *raw.SequenceNumber}
	m.info = telemetry.MessageInfo{
		ID: raw.MessageID, Session: o.ID(), Sequence: m.seq, Delivery: int(raw.DeliveryCount),
		Size: len(raw.Body), Properties: raw.ApplicationProperties,
	}
	if raw.CorrelationID != nil {
		m.info.CorrelationID = *raw.CorrelationID
	}
	if raw.EnqueuedTime != nil {
		m.info.Enqueued = *raw.EnqueuedTime
	}
	ctx := o.tel.Receive(o.owned, o.src.Destination, began, m.info, nil)
	if raw.EnqueuedTime != nil {
		o.tel.PickedUp(ctx, o.src.Destination, *raw.EnqueuedTime)
	}
	m.ctx, m.end = o.tel.Process(ctx, o.src.Destination, m.info)
	return m
}
