package amqp

// Properties is the properties section (part 3, 3.2.4). MessageID and CorrelationID may be a string, ulong, uuid or
// binary.
type Properties struct {
	MessageID          any
	UserID             []byte
	To                 *string
	Subject            *string
	ReplyTo            *string
	CorrelationID      any
	ContentType        *string
	ContentEncoding    *string
	AbsoluteExpiryTime Timestamp // 0 when absent
	CreationTime       Timestamp // 0 when absent
	GroupID            *string
	GroupSequence      *uint32
	ReplyToGroupID     *string
}

// ParseProperties decodes an encoded properties list; for nil it returns empty properties.
func ParseProperties(raw []byte) (Properties, error) {
	var p Properties
	if raw == nil {
		return p, nil
	}
	r := Reader{b: raw}
	f, err := listFields(&r)
	if err != nil {
		return p, err
	}
	p.MessageID = f.any()
	if b, ok := f.bytes(); ok {
		p.UserID = append([]byte{}, b...)
	}
	p.To, p.Subject, p.ReplyTo = f.stringPtr(), f.stringPtr(), f.stringPtr()
	p.CorrelationID = f.any()
	p.ContentType, p.ContentEncoding = f.stringPtr(), f.stringPtr()
	p.AbsoluteExpiryTime, p.CreationTime = f.timestamp(), f.timestamp()
	p.GroupID = f.stringPtr()
	if n, ok := f.uint(); ok {
		p.GroupSequence = &n
	}
	p.ReplyToGroupID = f.stringPtr()
	return p, f.err
}

func (f *fields) timestamp() Timestamp {
	v := f.any()
	if v == nil || f.err != nil {
		return 0
	}
	t, ok := v.(Timestamp)
	if !ok {
		f.err = malformed("timestamp wanted, %T found", v)
	}
	return t
}

// Encode returns the encoded list.
func (p *Properties) Encode() []byte { return p.Append(nil) }

// Append appends the encoded list.
func (p *Properties) Append(b []byte) []byte {
	at := len(b)
	l := beginList(b, codeProperties)
	str := func(s *string) {
		if s != nil {
			l.string(*s)
		} else {
			l.null()
		}
	}
	sym := func(s *string) {
		if s != nil {
			l.symbol(Symbol(*s))
		} else {
			l.null()
		}
	}
	stamp := func(t Timestamp) {
		if t != 0 {
			l.value(t)
		} else {
			l.null()
		}
	}
	l.value(p.MessageID)
	if p.UserID != nil {
		l.binary(p.UserID)
	} else {
		l.null()
	}
	str(p.To)
	str(p.Subject)
	str(p.ReplyTo)
	l.value(p.CorrelationID)
	sym(p.ContentType)
	sym(p.ContentEncoding)
	stamp(p.AbsoluteExpiryTime)
	stamp(p.CreationTime)
	str(p.GroupID)
	if p.GroupSequence != nil {
		l.uint(*p.GroupSequence)
	} else {
		l.null()
	}
	str(p.ReplyToGroupID)
	out := l.end()
	return append(out[:at], out[at+3:]...) // without the descriptor
}
