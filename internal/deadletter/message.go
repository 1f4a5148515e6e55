package deadletter

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/letter"
)

// A Message is one dead letter as it is listed, shown and exported. It is made from any producer's message: whatever
// is missing stays empty.
type Message struct {
	Source         string    `json:"source"` // the queue or subscription
	SequenceNumber int64     `json:"sequenceNumber"`
	Original       int64     `json:"originalSequenceNumber,omitempty"` // what replay sorts by, when it is another one
	MessageID      string    `json:"messageId,omitempty"`
	Key            string    `json:"originalMessageId,omitempty"` // of the first life, when it was resubmitted before
	Session        *string   `json:"session,omitempty"`
	Reason         string    `json:"reason,omitempty"`
	Description    string    `json:"description,omitempty"`
	Entity         string    `json:"entity,omitempty"` // the data entity of F&O
	Company        string    `json:"company,omitempty"`
	EnqueuedAt     time.Time `json:"enqueuedAt,omitzero"`
	FailedAt       time.Time `json:"failedAt,omitzero"` // last attempt, when the bridge recorded one
	Deliveries     uint32    `json:"deliveries,omitempty"`
	Resubmits      int64     `json:"resubmits,omitempty"`
	Deferred       bool      `json:"deferred,omitempty"`
	Bytes          int       `json:"bytes"`

	ContentType   string         `json:"contentType,omitempty"`
	Subject       string         `json:"subject,omitempty"`
	CorrelationID string         `json:"correlationId,omitempty"`
	Properties    map[string]any `json:"properties,omitempty"`
	Body          string         `json:"body,omitempty"`        // as it is when it is text
	BodyBase64    string         `json:"bodyBase64,omitempty"`  // else
	BodyCutAt     int            `json:"bodyCutAt,omitempty"`   // bytes shown, when not all are
	WhatToDo      string         `json:"whatToDo,omitempty"`    // advice for the reason
	BodySection   string         `json:"bodySection,omitempty"` // value or sequence, when the body is not plain data
}

// Time is the moment the time filters look at: when the bridge last tried, else when the message was enqueued.
// Service Bus does not keep when a message was dead-lettered.
func (m Message) Time() time.Time {
	if !m.FailedAt.IsZero() {
		return m.FailedAt
	}
	return m.EnqueuedAt
}

// view reads the head of a message: everything but properties and body.
func view(s contract.Source, rm *azservicebus.ReceivedMessage) Message {
	p := rm.ApplicationProperties
	said, _ := contract.Read(s.String(), rm) // other programs' messages are listed, too
	about := contract.Pair{Entity: text(p[letter.PropEntity]), Company: text(p[letter.PropCompany])}.Or(said.Pair)
	m := Message{
		Source: s.String(), SequenceNumber: seqOf(rm), MessageID: contract.MessageID(rm),
		Session: rm.SessionID, Deliveries: rm.DeliveryCount,
		Reason: deref(rm.DeadLetterReason), Description: deref(rm.DeadLetterErrorDescription),
		Entity: about.Entity, Company: about.Company, Key: text(p[contract.PropKey]), Resubmits: number(p[PropResubmits]),
		Deferred: rm.State == azservicebus.MessageStateDeferred, Bytes: bodySize(rm),
	}
	if k := orderKey(s, rm); k != m.SequenceNumber {
		m.Original = k
	}
	if rm.EnqueuedTime != nil {
		m.EnqueuedAt = rm.EnqueuedTime.UTC()
	}
	if t, err := time.Parse(time.RFC3339Nano, text(p[letter.PropLastAttempt])); err == nil {
		m.FailedAt = t.UTC()
	}
	return m
}

// full is the message with all that rm says: properties, and the body up to most bytes (all of it when most < 0).
func (m Message) full(rm *azservicebus.ReceivedMessage, most int) Message {
	m.ContentType, m.Subject, m.CorrelationID = deref(rm.ContentType), deref(rm.Subject), deref(rm.CorrelationID)
	m.Properties = map[string]any{}
	for k, v := range rm.ApplicationProperties {
		if k != propReason && k != propDescription { // shown on their own
			m.Properties[k] = plain(v)
		}
	}
	if m.Reason != "" {
		m.WhatToDo = letter.Advice(failure.Reason(m.Reason))
	}
	var body []byte
	m.BodySection, body = bodyOf(rm)
	if most >= 0 && len(body) > most {
		body, m.BodyCutAt = wholeRunes(body[:most]), most
	}
	if utf8.Valid(body) {
		m.Body = string(body)
	} else {
		m.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	return m
}

// bodyOf returns the body as bytes, and its section when it is not plain data.
func bodyOf(rm *azservicebus.ReceivedMessage) (section string, body []byte) {
	raw := rm.RawAMQPMessage
	switch {
	case raw == nil || len(raw.Body.Data) == 1:
		return "", rm.Body
	case raw.Body.Value != nil:
		return "value", fmt.Append(nil, plain(raw.Body.Value))
	case raw.Body.Sequence != nil:
		return "sequence", fmt.Append(nil, raw.Body.Sequence)
	}
	return "", slices.Concat(raw.Body.Data...)
}

// wholeRunes takes a rune off the end that was cut in half: it does not make a text binary.
func wholeRunes(body []byte) []byte {
	for n := 0; n < utf8.UTFMax && len(body) > 0 && !utf8.Valid(body); n++ {
		if r, _ := utf8.DecodeLastRune(body); r != utf8.RuneError {
			break
		}
		body = body[:len(body)-1]
	}
	return body
}

func seqOf(rm *azservicebus.ReceivedMessage) int64 {
	if rm.SequenceNumber == nil {
		return 0
	}
	return *rm.SequenceNumber
}

// orderKey is the number that says which of two messages of an entity came first: the sequence number of the message's
// first life in this entity.
func orderKey(s contract.Source, rm *azservicebus.ReceivedMessage) int64 {
	p := rm.ApplicationProperties
	if n := number(p[PropOriginalSequenceNumber]); n > 0 && s.Is(text(p[PropResubmittedFrom])) {
		return n
	}
	return lived(rm)
}

// lived is the sequence number that the message had in the queue itself, as the bridge wrote it down when it moved the
// message to the dead letters; else the one it has.
func lived(rm *azservicebus.ReceivedMessage) int64 {
	if n := number(rm.ApplicationProperties[letter.PropSequenceNumber]); n > 0 && rm.DeadLetterReason != nil {
		return n
	}
	return seqOf(rm)
}

func bodySize(rm *azservicebus.ReceivedMessage) int {
	n := 0
	if rm.RawAMQPMessage != nil {
		for _, d := range rm.RawAMQPMessage.Body.Data {
			n += len(d)
		}
	}
	return max(n, len(rm.Body))
}

// text returns a property that is a string, "" for anything else: other producers send other types.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// number returns a property that is a number of any width; clients in other languages choose their own.
func number(v any) int64 {
	switch n := reflect.ValueOf(v); {
	case n.CanInt():
		return n.Int()
	case n.CanUint():
		return int64(n.Uint())
	case n.CanFloat():
		return int64(n.Float())
	}
	return 0
}

// plain makes a property printable as JSON: bytes become base64, times RFC 3339, maps get string keys.
func plain(v any) any {
	switch x := v.(type) {
	case nil, string, bool, int64, int32, int16, int8, int, uint64, uint32, uint16, uint8, float32, float64:
		return x
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case []byte:
		return base64.StdEncoding.EncodeToString(x)
	case fmt.Stringer:
		return x.String()
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = plain(x[i])
		}
		return out
	case map[string]any:
		out := maps.Clone(x)
		for k := range out {
			out[k] = plain(out[k])
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k, v := range x {
			out[fmt.Sprint(k)] = plain(v)
		}
		return out
	}
	return fmt.Sprint(v)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
