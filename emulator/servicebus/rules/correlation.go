package rules

import (
	"maps"
	"slices"

	"fnobridge/emulator/servicebus/entity"
)

// wanted is one value that a correlation filter asks for.
type wanted struct {
	property property
	value    any
}

// correlation is a compiled correlation filter: all the values must be there.
type correlation []wanted

func newCorrelation(f entity.CorrelationFilter) correlation {
	var c correlation
	for _, s := range []struct {
		name  string
		value *string
	}{
		{"correlationid", f.CorrelationID},
		{"messageid", f.MessageID},
		{"to", f.To},
		{"replyto", f.ReplyTo},
		{"label", f.Subject},
		{"sessionid", f.SessionID},
		{"replytosessionid", f.ReplyToSessionID},
		{"contenttype", f.ContentType},
	} {
		if s.value != nil {
			c = append(c, wanted{property{system: systemProperties[s.name]}, *s.value})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Properties)) {
		c = append(c, wanted{property{name: name}, plain(f.Properties[name])})
	}
	return c
}

func (c correlation) match(m *Message) bool {
	for _, w := range c {
		v, _ := w.property.value(m) // reading a property never fails
		if v == nil || w.value == nil {
			if v != w.value {
				return false
			}
			continue
		}
		if order, ok := compareValues(v, w.value); !ok || order != 0 {
			return false
		}
	}
	return true
}
