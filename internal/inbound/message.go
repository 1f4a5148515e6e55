package inbound

import (
	"context"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/telemetry"
)

// A message is one message in the lane's hand: what Service Bus handed out under the session's lock, and has to be
// settled. What it carries into F&O is an import.
type message struct {
	contract.Message
	raw *azservicebus.ReceivedMessage
	seq int64
	ctx context.Context // the process span, the root of everything that is done for it; ends with the lease
	end telemetry.End
}

// receive waits up to d for the next message of the session; nil when none came.
func (l *lane) receive(d time.Duration) (*fileImport, error) {
	until := time.Now().Add(d)
	for {
		began := time.Now()
		m, err := l.s.Receive(l.waiting, max(time.Until(until), time.Millisecond))
		switch {
		case err != nil:
			return nil, err
		case m != nil:
			return l.take(m, began)
		case time.Until(until) <= 0: // one receive is bounded, the idle time may be longer
			return nil, nil
		}
	}
}

// take makes an import of a message that was received. A message that is older than one seen before means that the
// broker or the SDK changed the order: better to start over than to post it.
func (l *lane) take(raw *azservicebus.ReceivedMessage, began time.Time) (*fileImport, error) {
	m := &message{raw: raw, seq: *raw.SequenceNumber}
	if m.seq <= l.highest {
		return nil, fmt.Errorf("a message came out of order: sequence number %d after %d", m.seq, l.highest)
	}
	l.highest = m.seq
	info := l.info(m)
	ctx := l.w.o.Telemetry.Receive(l.owned, l.src.Destination, began, info, nil)
	if raw.EnqueuedTime != nil {
		l.w.o.Telemetry.PickedUp(ctx, l.src.Destination, *raw.EnqueuedTime)
	}
	m.ctx, m.end = l.w.o.Telemetry.Process(ctx, l.src.Destination, info)
	return l.newImport(m), nil
}

func (l *lane) info(m *message) telemetry.MessageInfo {
	i := telemetry.MessageInfo{
		ID: m.raw.MessageID, Session: l.s.ID(), Sequence: m.seq, Delivery: int(m.raw.DeliveryCount),
		Size: len(m.raw.Body), Properties: m.raw.ApplicationProperties, Enqueued: m.enqueued(),
	}
	if m.raw.CorrelationID != nil {
		i.CorrelationID = *m.raw.CorrelationID
	}
	return i
}

// enqueued returns when the message came to its queue, the zero time if that is not known.
func (m *message) enqueued() time.Time {
	if m.raw.EnqueuedTime == nil {
		return time.Time{}
	}
	return *m.raw.EnqueuedTime
}

// settle makes the one call that takes the message off its queue.
func (l *lane) settle(m *message, how telemetry.Settlement, call func(context.Context) error) error {
	ctx, end := l.w.o.Telemetry.Settle(m.ctx, l.src.Destination, how, l.info(m))
	err := call(ctx)
	end(err)
	return err
}
