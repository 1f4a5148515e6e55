package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
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

// copyID returns the MessageID of a copy: the original one, a tilde, and what kind of copy it is. It is a function of
// what the message carries, so an interrupted and repeated resubmit sends the same ID again.
func copyID(original, suffix string) string {
	if len(original)+len(suffix) <= maxMessageID {
		return original + suffix
	}
	sum := sha256.Sum256([]byte(original))
	hash := "~" + hex.EncodeToString(sum[:8])
	return strings.ToValidUTF8(original[:maxMessageID-len(hash)-len(suffix)], "") + hash + suffix
}

// resubmitted is the suffix of the copy of a dead letter: which life it begins, and the place of the first one, because
// producers give one MessageID to several files. In another queue the places of several sources meet.
func resubmitted(s contract.Source, to string, life, key int64) string {
	suffix := fmt.Sprintf("~r%d-%d", life, key)
	if to != s.Target() {
		sum := sha256.Sum256([]byte(strings.ToLower(s.String())))
		suffix += "-" + hex.EncodeToString(sum[:4])
	}
	return suffix
}

// formerly is the suffix that earlier releases gave to the copy of a dead letter.
func formerly(life int64) string { return fmt.Sprintf("~r%d", life) }

// moved is the suffix of the copy of a waiting message that goes behind resubmitted ones. Its place decides the ID.
func moved(seq int64) string { return fmt.Sprintf("~q%d", seq) }

// resubmission is the copy of a dead letter.
func resubmission(
	s contract.Source, it *item, rm *azservicebus.ReceivedMessage, edit []byte,
) *azservicebus.AMQPAnnotatedMessage {
	c := copyOf(s, it, rm)
	c.ApplicationProperties[PropResubmits] = number(rm.ApplicationProperties[PropResubmits]) + 1
	if edit != nil { // the claim check and the hash belonged to the old payload
		c.Body = azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{edit}}
		delete(c.ApplicationProperties, contract.PropDataRef)
		delete(c.ApplicationProperties, contract.PropSHA256)
	}
	return c
}

// copyOf makes a message that says what rm says: body sections as they were, properties, session, correlation, trace.
// Gone are what the broker wrote, DeadLetter* and the diagnosis of the failed life; new are the ID and the origin.
func copyOf(
	s contract.Source, it *item, rm *azservicebus.ReceivedMessage,
) *azservicebus.AMQPAnnotatedMessage {
	raw := rm.RawAMQPMessage
	if raw == nil {
		raw = &azservicebus.AMQPAnnotatedMessage{
			ApplicationProperties: rm.ApplicationProperties,
			Body:                  azservicebus.AMQPAnnotatedMessageBody{Data: [][]byte{rm.Body}},
		}
	}
	c := &azservicebus.AMQPAnnotatedMessage{
		ApplicationProperties: propertiesOf(s, rm, raw.ApplicationProperties), Body: raw.Body, Footer: maps.Clone(raw.Footer),
		Properties: &azservicebus.AMQPAnnotatedMessageProperties{},
	}
	if raw.Properties != nil {
		*c.Properties = *raw.Properties
	} else {
		c.Properties.GroupID, c.Properties.ContentType, c.Properties.Subject = rm.SessionID, rm.ContentType, rm.Subject
	}
	c.Properties.MessageID = it.copyID
	// A copy does not expire by itself: an operator wants it imported, and a time to live that was too short once would be
	// too short again. That of the queue still counts.
	c.Properties.AbsoluteExpiryTime = nil
	if h := raw.Header; h != nil {
		c.Header = &azservicebus.AMQPAnnotatedMessageHeader{Durable: h.Durable, Priority: h.Priority}
	}
	for k, v := range raw.MessageAnnotations {
		if name, ok := k.(string); ok && strings.HasPrefix(name, "x-opt-") && !ofProducer[name] {
			continue // the broker's own
		}
		if c.MessageAnnotations == nil {
			c.MessageAnnotations = map[any]any{}
		}
		c.MessageAnnotations[k] = v
	}
	return c
}

// propertiesOf returns the application properties of a copy: those of the producer, and where the message comes from.
func propertiesOf(s contract.Source, rm *azservicebus.ReceivedMessage, said map[string]any) map[string]any {
	props := map[string]any{}
	for k, v := range said {
		if k == propReason || k == propDescription || strings.HasPrefix(k, ownPrefix) && !lasting[k] {
			continue
		}
		props[k] = v
	}
	props[contract.PropKey] = contract.Key(s.String(), rm)
	if number(props[PropOriginalSequenceNumber]) == 0 || !s.Is(text(props[PropResubmittedFrom])) {
		props[PropOriginalSequenceNumber] = orderKey(s, rm)
		props[PropResubmittedFrom] = s.String()
		if rm.EnqueuedTime != nil {
			props[PropOriginalEnqueuedTime] = letter.Stamp(*rm.EnqueuedTime)
		}
	}
	return props
}

// lasting are the bridge's properties that survive from life to life; all others describe one failure.
var lasting = map[string]bool{
	contract.PropKey: true, PropResubmits: true,
	PropOriginalSequenceNumber: true, PropOriginalEnqueuedTime: true, PropResubmittedFrom: true,
}

// ofProducer are the annotations named like the broker's that a producer sets.
var ofProducer = map[string]bool{"x-opt-partition-key": true, "x-opt-via-partition-key": true}
