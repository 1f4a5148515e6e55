package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/letter"
)

// Names of the application properties that a resubmitted message carries.
const (
	// PropResubmits counts how often the message was resubmitted.
	PropResubmits = "fnobridge-resubmits"
	// PropOriginalSequenceNumber and PropOriginalEnqueuedTime are those of the first life.
	PropOriginalSequenceNumber = "fnobridge-original-sequence-number"
	PropOriginalEnqueuedTime   = "fnobridge-original-enqueued-time"
	// PropResubmittedFrom names the entity that the original sequence number belongs to.
	PropResubmittedFrom = "fnobridge-resubmitted-from"

	propReason      = "DeadLetterReason"
	propDescription = "DeadLetterErrorDescription"
	ownPrefix       = "fnobridge-"
	maxMessageID    = 128 // Source: Microsoft Learn, service-bus-quotas
)

// copyID returns the MessageID of the next copy: the original one, a tilde, and what kind of copy it is. It is a function
// of what the dead letter carries, so an interrupted and repeated resubmit sends the same ID again.
func copyID(original, suffix string) string {
	if len(original)+len(suffix) <= maxMessageID {
		return original + suffix
	}
	sum := sha256.Sum256([]byte(original))
	hash := "~" + hex.EncodeToString(sum[:8])
	return strings.ToValidUTF8(original[:maxMessageID-len(hash)-len(suffix)], "") + hash + suffix
}

// resubmission is the copy of a dead letter: the next number of resubmits decides the ID.
func resubmission(e Entity, rm *azservicebus.ReceivedMessage, edit []byte) *azservicebus.AMQPAnnotatedMessage {
	n := number(rm.ApplicationProperties[PropResubmits]) + 1
	c := copyOf(e, rm, "~r"+strconv.FormatInt(n, 10), edit)
	c.ApplicationProperties[PropResubmits] = n
	return c
}

// requeued is the copy of an active message that goes behind resubmitted ones. Its place decides the ID.
func requeued(e Entity, rm *azservicebus.ReceivedMessage) *azservicebus.AMQPAnnotatedMessage {
	return copyOf(e, rm, "~q"+strconv.FormatInt(seqOf(rm), 10), nil)
}

// copyOf makes a message that says what rm says: body sections as they were, properties, session, correlation, trace.
// Gone are what the broker wrote, DeadLetter* and the diagnosis of the failed life; new are the ID and the origin.
// An edited payload replaces the body, and drops the claim check and the hash that belonged to the old one.
func copyOf(e Entity, rm *azservicebus.ReceivedMessage, suffix string, edit []byte) *azservicebus.AMQPAnnotatedMessage {
	raw := rm.RawAMQPMessage
	if raw == nil {
		raw = &azservicebus.AMQPAnnotatedMessage{ApplicationProperties: rm.ApplicationProperties, Body: azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{rm.Body}}}
	}
	key := contract.Key(e.String(), rm)
	props := map[string]any{}
	for k, v := range raw.ApplicationProperties {
		if k == propReason || k == propDescription || strings.HasPrefix(k, ownPrefix) && !lasting[k] {
			continue
		}
		props[k] = v
	}
	props[contract.PropKey] = key
	if number(props[PropOriginalSequenceNumber]) == 0 || !e.Is(text(props[PropResubmittedFrom])) {
		props[PropOriginalSequenceNumber] = orderKey(e, rm)
		props[PropResubmittedFrom] = e.String()
		if rm.EnqueuedTime != nil {
			props[PropOriginalEnqueuedTime] = letter.Stamp(*rm.EnqueuedTime)
		}
	}

	c := &azservicebus.AMQPAnnotatedMessage{
		ApplicationProperties: props, Body: raw.Body, Footer: maps.Clone(raw.Footer),
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{},
	}
	if raw.Properties != nil {
		*c.Properties = *raw.Properties
	} else {
		c.Properties.GroupID, c.Properties.ContentType, c.Properties.Subject = rm.SessionID, rm.ContentType, rm.Subject
	}
	c.Properties.MessageID = copyID(key, suffix)
	// A copy does not expire by itself: an operator wants it imported, and a time to live that was too short once would be
	// too short again. That of the queue still counts.
	c.Properties.AbsoluteExpiryTime = nil
	if h := raw.Header; h != nil {
		c.Header = &azservicebus.AMQPAnnotatedMessageHeader{Durable: h.Durable, Priority: h.Priority}
	}
	for k, v := range raw.MessageAnnotations {
		if name, ok := k.(string); ok && strings.HasPrefix(name, "x-opt-") && name != "x-opt-partition-key" && name != "x-opt-via-partition-key" {
			continue // the broker's own
		}
		if c.MessageAnnotations == nil {
			c.MessageAnnotations = map[any]any{}
		}
		c.MessageAnnotations[k] = v
	}
	if edit != nil {
		c.Body = azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{edit}}
		delete(props, contract.PropDataRef)
		delete(props, contract.PropSHA256)
	}
	return c
}

// lasting are the bridge's properties that survive from life to life; all others describe one failure.
var lasting = map[string]bool{
	contract.PropKey: true, PropResubmits: true, PropOriginalSequenceNumber: true, PropOriginalEnqueuedTime: true, PropResubmittedFrom: true,
}
