package rules

import (
	"slices"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// Message is what a rule sees, and an action changes, of a message. It is cheap to make: the two decoded sections and
// what the broker knows.
type Message struct {
	Properties  amqp.Properties
	Application amqp.Map // keys are string or Symbol; nil when absent

	// What the broker knows; the zero value of each means absent.
	TimeToLive             time.Duration
	ScheduledEnqueueTime   time.Time
	EnqueuedTime           time.Time
	SequenceNumber         int64
	EnqueuedSequenceNumber int64
	DeliveryCount          int64
	PartitionKey           *string
	Size                   int64 // bytes
}

// Clone returns a copy that an action can change without the original noticing.
func (m *Message) Clone() *Message {
	c := *m
	c.Application = slices.Clone(m.Application)
	return &c
}

// find is the index of an application property: the one spelled exactly so, else the first that differs only in case,
// else -1.
func (m *Message) find(name string) int {
	folded := -1
	for i, p := range m.Application {
		key, ok := amqp.Text(p.Key)
		switch {
		case !ok:
		case key == name:
			return i
		case folded < 0 && strings.EqualFold(key, name):
			folded = i
		}
	}
	return folded
}

// application returns the value of an application property and whether there is one.
func (m *Message) application(name string) (any, bool) {
	if i := m.find(name); i >= 0 {
		return plain(m.Application[i].Value), true
	}
	return nil, false
}

// plain reduces the types of the wire to those the language knows: nil, bool, int64, float64, string, time.Time,
// time.Duration, amqp.UUID. Others stay as they are and can only be tested for existence.
func plain(v any) any {
	switch x := v.(type) {
	case amqp.Timestamp:
		return x.Time()
	case uint64:
		if n, ok := amqp.Integer(x); ok {
			return n
		}
		return float64(x)
	case float32:
		return float64(x)
	case int:
		return int64(x)
	case amqp.Char:
		return string(rune(x))
	}
	if n, ok := amqp.Integer(v); ok {
		return n
	}
	if s, ok := amqp.Text(v); ok {
		return s
	}
	return v
}

// identifier is a message or correlation ID as text, which is what Service Bus makes of it.
func identifier(v any) any {
	if v == nil {
		return nil
	}
	v = plain(v)
	if s, ok := asText(v); ok {
		return s
	}
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v
}

// systemProperty is one property of the sys scope.
type systemProperty struct {
	name string
	get  func(*Message) any       // nil: the message has none
	set  func(*Message, any) bool // nil: read-only; false: the value does not fit; a nil value removes
}

// systemProperties by lower-case name.
// Source: Microsoft Learn, service-bus-messages-payloads.
var systemProperties = func() map[string]*systemProperty {
	all := []*systemProperty{
		stringProperty("ContentType", func(m *Message) **string { return &m.Properties.ContentType }),
		stringProperty("Label", func(m *Message) **string { return &m.Properties.Subject }),
		stringProperty("Subject", func(m *Message) **string { return &m.Properties.Subject }),
		stringProperty("To", func(m *Message) **string { return &m.Properties.To }),
		stringProperty("ReplyTo", func(m *Message) **string { return &m.Properties.ReplyTo }),
		stringProperty("SessionId", func(m *Message) **string { return &m.Properties.GroupID }),
		stringProperty("ReplyToSessionId", func(m *Message) **string { return &m.Properties.ReplyToGroupID }),
		stringProperty("PartitionKey", func(m *Message) **string { return &m.PartitionKey }),
		identifierProperty("MessageId", func(m *Message) *any { return &m.Properties.MessageID }),
		identifierProperty("CorrelationId", func(m *Message) *any { return &m.Properties.CorrelationID }),
		timeProperty("EnqueuedTimeUtc", func(m *Message) time.Time { return m.EnqueuedTime }),
		timeProperty("ExpiresAtUtc", func(m *Message) time.Time {
			if m.TimeToLive == 0 || m.EnqueuedTime.IsZero() {
				return time.Time{}
			}
			return m.EnqueuedTime.Add(m.TimeToLive)
		}),
		numberProperty("SequenceNumber", func(m *Message) int64 { return m.SequenceNumber }),
		numberProperty("EnqueuedSequenceNumber", func(m *Message) int64 { return m.EnqueuedSequenceNumber }),
		{name: "DeliveryCount", get: func(m *Message) any { return m.DeliveryCount }},
		{name: "Size", get: func(m *Message) any { return m.Size }},
		{
			name: "TimeToLive",
			get: func(m *Message) any {
				if m.TimeToLive == 0 {
					return nil
				}
				return m.TimeToLive
			},
			set: func(m *Message, v any) bool {
				d, ok := v.(time.Duration)
				if v != nil && (!ok || d <= 0) {
					return false
				}
				m.TimeToLive = d
				return true
			},
		},
		{
			name: "ScheduledEnqueueTimeUtc",
			get:  timeProperty("", func(m *Message) time.Time { return m.ScheduledEnqueueTime }).get,
			set: func(m *Message, v any) bool {
				at, ok := v.(time.Time)
				m.ScheduledEnqueueTime = at
				return ok || v == nil
			},
		},
	}
	byName := make(map[string]*systemProperty, len(all))
	for _, p := range all {
		byName[strings.ToLower(p.name)] = p
	}
	return byName
}()

func stringProperty(name string, field func(*Message) **string) *systemProperty {
	return &systemProperty{
		name: name,
		get: func(m *Message) any {
			if s := *field(m); s != nil {
				return *s
			}
			return nil
		},
		set: func(m *Message, v any) bool {
			if v == nil {
				*field(m) = nil
				return true
			}
			s, ok := asText(v)
			if ok {
				*field(m) = &s
			}
			return ok
		},
	}
}

func identifierProperty(name string, field func(*Message) *any) *systemProperty {
	return &systemProperty{
		name: name,
		get:  func(m *Message) any { return identifier(*field(m)) },
		set: func(m *Message, v any) bool {
			if v == nil {
				*field(m) = nil
				return true
			}
			s, ok := asText(v)
			if ok {
				*field(m) = s
			}
			return ok
		},
	}
}

func timeProperty(name string, get func(*Message) time.Time) *systemProperty {
	return &systemProperty{name: name, get: func(m *Message) any {
		if t := get(m); !t.IsZero() {
			return t
		}
		return nil
	}}
}

func numberProperty(name string, get func(*Message) int64) *systemProperty {
	return &systemProperty{name: name, get: func(m *Message) any {
		if n := get(m); n != 0 {
			return n
		}
		return nil
	}}
}
