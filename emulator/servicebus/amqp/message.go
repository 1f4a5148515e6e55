package amqp

import "time"

// Section descriptor codes (part 3, 3.2).
const (
	codeHeader                = 0x70
	codeDeliveryAnnotations   = 0x71
	codeMessageAnnotations    = 0x72
	codeProperties            = 0x73
	codeApplicationProperties = 0x74
	codeData                  = 0x75
	codeSequence              = 0x76
	codeValue                 = 0x77
	codeFooter                = 0x78
)

// FormatBatch is the message format of a Service Bus batch: every data section holds one encoded message.
const FormatBatch = 0x80013700

// Message is a message cut into its sections. Section bytes are values without their descriptor and are immutable once
// parsed, so copies of a message share them.
type Message struct {
	Header                Header
	HasHeader             bool
	DeliveryAnnotations   []byte // encoded map, nil when absent
	MessageAnnotations    []byte // encoded map, nil when absent
	Properties            []byte // encoded list, nil when absent
	ApplicationProperties []byte // encoded map, nil when absent
	Body                  []byte // body sections and footer with descriptors, untouched
}

// Header is the header section.
type Header struct {
	Durable       bool
	Priority      uint8
	TTL           time.Duration // 0 when absent
	HasTTL        bool
	FirstAcquirer bool
	DeliveryCount uint32
}

// ParseMessage cuts p into sections. The message aliases p.
func ParseMessage(p []byte) (*Message, error) {
	m := &Message{}
	r := Reader{b: p}
	for r.Len() > 0 {
		from := r.pos
		c, err := r.byte()
		if err != nil {
			return nil, err
		}
		if c != 0 {
			return nil, malformed("section wanted, constructor 0x%02x found", c)
		}
		code, err := r.descriptor()
		if err != nil {
			return nil, err
		}
		switch code {
		case codeHeader:
			f, err := listFields(&r)
			if err != nil {
				return nil, err
			}
			m.Header, m.HasHeader = decodeHeader(&f), true
			if f.err != nil {
				return nil, f.err
			}
			continue
		case codeData, codeSequence, codeValue, codeFooter:
			// Everything from the first body section on is kept as it is, once it is known to be well-formed sections.
			if err := skipBody(&r); err != nil {
				return nil, err
			}
			m.Body = p[from:]
			return m, nil
		}
		raw, err := r.Raw()
		if err != nil {
			return nil, err
		}
		switch code {
		case codeDeliveryAnnotations:
			m.DeliveryAnnotations = raw
		case codeMessageAnnotations:
			m.MessageAnnotations = raw
		case codeProperties:
			m.Properties = raw
		case codeApplicationProperties:
			m.ApplicationProperties = raw
		default:
			return nil, malformed("unknown section 0x%x", code)
		}
	}
	return m, nil
}

func skipBody(r *Reader) error {
	if err := r.Skip(); err != nil {
		return err
	}
	for r.Len() > 0 {
		c, err := r.byte()
		if err != nil {
			return err
		}
		if c != 0 {
			return malformed("section wanted, constructor 0x%02x found", c)
		}
		if _, err := r.descriptor(); err != nil {
			return err
		}
		if err := r.Skip(); err != nil {
			return err
		}
	}
	return nil
}

func decodeHeader(f *fields) Header {
	h := Header{Durable: f.bool(false), Priority: f.ubyte(4)}
	if ms, ok := f.uint(); ok {
		h.TTL, h.HasTTL = time.Duration(ms)*time.Millisecond, true
	}
	h.FirstAcquirer, h.DeliveryCount = f.bool(false), f.uintOr(0)
	return h
}

// AppendHeader appends a header section.
func AppendHeader(b []byte, h *Header) []byte {
	l := beginList(b, codeHeader)
	l.trueOrNull(h.Durable)
	if h.Priority != 4 {
		l.ubyte(h.Priority)
	} else {
		l.null()
	}
	if h.HasTTL {
		l.uint(uint32(min(h.TTL.Milliseconds(), 1<<32-1)))
	} else {
		l.null()
	}
	l.trueOrNull(h.FirstAcquirer)
	l.uint(h.DeliveryCount)
	return l.end()
}

// AppendSection appends a section from its encoded value; nothing when nil.
func AppendSection(b []byte, code byte, raw []byte) []byte {
	if raw == nil {
		return b
	}
	return append(append(b, 0, 0x53, code), raw...)
}

// Section codes for AppendSection.
const (
	SectionDeliveryAnnotations   = codeDeliveryAnnotations
	SectionMessageAnnotations    = codeMessageAnnotations
	SectionProperties            = codeProperties
	SectionApplicationProperties = codeApplicationProperties
	SectionData                  = codeData
	SectionValue                 = codeValue
)

// Append appends the whole message.
func (m *Message) Append(b []byte) []byte {
	if m.HasHeader {
		b = AppendHeader(b, &m.Header)
	}
	b = AppendSection(b, codeDeliveryAnnotations, m.DeliveryAnnotations)
	b = AppendSection(b, codeMessageAnnotations, m.MessageAnnotations)
	b = AppendSection(b, codeProperties, m.Properties)
	b = AppendSection(b, codeApplicationProperties, m.ApplicationProperties)
	return append(b, m.Body...)
}

// Size returns the encoded size of the message without its header.
func (m *Message) Size() int {
	return len(m.DeliveryAnnotations) + len(m.MessageAnnotations) + len(m.Properties) + len(m.ApplicationProperties) +
		len(m.Body)
}

// Datas returns the payload of every data section of the body.
func (m *Message) Datas() ([][]byte, error) {
	var out [][]byte
	r := Reader{b: m.Body}
	for r.Len() > 0 {
		if _, err := r.byte(); err != nil {
			return nil, err
		}
		code, err := r.descriptor()
		if err != nil {
			return nil, err
		}
		if code != codeData {
			if err := r.Skip(); err != nil {
				return nil, err
			}
			continue
		}
		f := fields{r: r, n: 1}
		p, ok := f.bytes()
		if f.err != nil {
			return nil, f.err
		}
		if !ok {
			return nil, malformed("data section without a binary")
		}
		r = f.r
		out = append(out, p)
	}
	return out, nil
}

// Value decodes the amqp-value section of the body.
func (m *Message) Value() (any, error) {
	r := Reader{b: m.Body}
	if _, err := r.byte(); err != nil {
		return nil, err
	}
	code, err := r.descriptor()
	if err != nil {
		return nil, err
	}
	if code != codeValue {
		return nil, malformed("amqp-value wanted, section 0x%x found", code)
	}
	return r.Value()
}

// MapOf decodes an encoded map; for nil it returns an empty map.
func MapOf(raw []byte) (Map, error) {
	if raw == nil {
		return nil, nil
	}
	v, err := NewReader(raw).Value()
	if err != nil {
		return nil, err
	}
	m, ok := v.(Map)
	if !ok {
		return nil, malformed("map wanted, %T found", v)
	}
	return m, nil
}
