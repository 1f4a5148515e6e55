package amqp

// fields walks the list of a performative. Every getter returns false and the zero value for an absent or null field;
// the first error sticks.
type fields struct {
	r   Reader
	n   int
	err error
}

// listFields reads a list constructor.
func listFields(r *Reader) (fields, error) {
	code, err := r.byte()
	if err != nil {
		return fields{}, err
	}
	switch code {
	case 0x45:
		return fields{}, nil
	case 0xc0, 0xd0:
		sub, n, err := r.compound(code == 0xd0)
		return fields{r: sub, n: n}, err
	}
	return fields{}, malformed("list wanted, constructor 0x%02x found", code)
}

// next returns the constructor of the next field, false when null or absent.
func (f *fields) next() (byte, bool) {
	if f.err != nil || f.n == 0 {
		return 0, false
	}
	f.n--
	code, err := f.r.byte()
	if err != nil {
		f.err = err
		return 0, false
	}
	return code, code != 0x40
}

func (f *fields) any() any {
	if f.err != nil || f.n == 0 {
		return nil
	}
	f.n--
	v, err := f.r.Value()
	f.err = err
	return v
}

func (f *fields) skip() {
	if f.err != nil || f.n == 0 {
		return
	}
	f.n--
	f.err = f.r.Skip()
}

func (f *fields) number(max uint64) (uint64, bool) {
	code, ok := f.next()
	if !ok {
		return 0, false
	}
	var n uint64
	switch code {
	case 0x43, 0x44:
	case 0x52, 0x53, 0x50:
		c, err := f.r.byte()
		n, f.err = uint64(c), err
	case 0x60:
		p, err := f.r.take(2)
		if f.err = err; err == nil {
			n = uint64(be.Uint16(p))
		}
	case 0x70:
		v, err := f.r.uint32()
		n, f.err = uint64(v), err
	case 0x80:
		p, err := f.r.take(8)
		if f.err = err; err == nil {
			n = be.Uint64(p)
		}
	default:
		f.err = malformed("unsigned integer wanted, constructor 0x%02x found", code)
	}
	if f.err == nil && n > max {
		f.err = malformed("integer %d above %d", n, max)
	}
	return n, f.err == nil
}

func (f *fields) uint() (uint32, bool) {
	n, ok := f.number(1<<32 - 1)
	return uint32(n), ok
}

func (f *fields) uintOr(def uint32) uint32 {
	if n, ok := f.uint(); ok {
		return n
	}
	return def
}

func (f *fields) ulong() uint64 {
	n, _ := f.number(1<<64 - 1)
	return n
}

func (f *fields) ushort(def uint16) uint16 {
	if n, ok := f.number(1<<16 - 1); ok {
		return uint16(n)
	}
	return def
}

func (f *fields) ubyte(def uint8) uint8 {
	if n, ok := f.number(1<<8 - 1); ok {
		return uint8(n)
	}
	return def
}

func (f *fields) bool(def bool) bool {
	code, ok := f.next()
	if !ok {
		return def
	}
	switch code {
	case 0x41:
		return true
	case 0x42:
		return false
	case 0x56:
		c, err := f.r.byte()
		f.err = err
		return c == 1
	}
	f.err = malformed("boolean wanted, constructor 0x%02x found", code)
	return def
}

// bytes returns the content of a binary, string or symbol, aliasing the input.
func (f *fields) bytes() ([]byte, bool) {
	code, ok := f.next()
	if !ok {
		return nil, false
	}
	if code>>4 != 0xa && code>>4 != 0xb {
		f.err = malformed("text wanted, constructor 0x%02x found", code)
		return nil, false
	}
	n, err := f.r.size(code>>4 == 0xb)
	if err != nil {
		f.err = err
		return nil, false
	}
	p, err := f.r.take(n)
	f.err = err
	return p, err == nil
}

func (f *fields) string() string {
	p, _ := f.bytes()
	return string(p)
}

func (f *fields) stringPtr() *string {
	p, ok := f.bytes()
	if !ok {
		return nil
	}
	s := string(p)
	return &s
}

func (f *fields) mapValue() Map {
	v := f.any()
	if v == nil || f.err != nil {
		return nil
	}
	m, ok := v.(Map)
	if !ok {
		f.err = malformed("map wanted, %T found", v)
	}
	return m
}

// symbols reads one symbol or an array of them.
func (f *fields) symbols() []Symbol {
	switch v := f.any().(type) {
	case Symbol:
		return []Symbol{v}
	case Array:
		var out []Symbol
		for _, e := range v.Values {
			if s, ok := e.(Symbol); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// described reads a described list field (source, target, error, state): the descriptor code and the fields of the
// list. ok is false when null.
func (f *fields) described() (code uint64, sub fields, ok bool) {
	c, present := f.next()
	if !present {
		return 0, fields{}, false
	}
	if c != 0 {
		f.err = malformed("described type wanted, constructor 0x%02x found", c)
		return 0, fields{}, false
	}
	code, f.err = f.r.descriptor()
	if f.err != nil {
		return 0, fields{}, false
	}
	sub, f.err = listFields(&f.r)
	return code, sub, f.err == nil
}

// descriptor reads a descriptor; symbolic ones of the types used here are translated, unknown ones return 0.
func (r *Reader) descriptor() (uint64, error) {
	if r.Len() >= 2 && r.b[r.pos] == 0x53 {
		c := r.b[r.pos+1]
		r.pos += 2
		return uint64(c), nil
	}
	v, err := r.Value()
	if err != nil {
		return 0, err
	}
	switch d := v.(type) {
	case uint64:
		return d, nil
	case Symbol:
		return symbolicDescriptors[d], nil
	}
	return 0, malformed("descriptor of type %T", v)
}

// list builds the list of a performative. null keeps trailing absent fields cheap: they are counted only when a later
// field is present.
type list struct {
	b      []byte
	at     int
	n      uint32
	absent uint32
}

func beginList(b []byte, code byte) list {
	b = append(b, 0, 0x53, code, 0xd0, 0, 0, 0, 0, 0, 0, 0, 0)
	return list{b: b, at: len(b)}
}

func (l *list) null() { l.absent++ }

func (l *list) field() {
	for range l.absent {
		l.b = append(l.b, 0x40)
	}
	l.n += l.absent + 1
	l.absent = 0
}

func (l *list) uint(n uint32)   { l.field(); l.b = AppendUint(l.b, n) }
func (l *list) ulong(n uint64)  { l.field(); l.b = AppendUlong(l.b, n) }
func (l *list) ubyte(n uint8)   { l.field(); l.b = append(l.b, 0x50, n) }
func (l *list) ushort(n uint16) { l.field(); l.b = append(l.b, 0x60, byte(n>>8), byte(n)) }
func (l *list) bool(v bool)     { l.field(); l.b = AppendBool(l.b, v) }
func (l *list) string(s string) { l.field(); l.b = AppendString(l.b, s) }
func (l *list) binary(p []byte) { l.field(); l.b = AppendBinary(l.b, p) }
func (l *list) symbol(s Symbol) { l.field(); l.b = AppendSymbol(l.b, s) }

func (l *list) trueOrNull(v bool) {
	if v {
		l.bool(true)
	} else {
		l.null()
	}
}

func (l *list) value(v any) {
	if v == nil {
		l.null()
		return
	}
	l.field()
	l.b = AppendValue(l.b, v)
}

func (l *list) mapOrNull(m Map) {
	if m == nil {
		l.null()
		return
	}
	l.field()
	l.b = AppendMap(l.b, m)
}

func (l *list) symbolsOrNull(s []Symbol) {
	if len(s) == 0 {
		l.null()
		return
	}
	l.value(s)
}

func (l *list) end() []byte {
	be.PutUint32(l.b[l.at-8:], uint32(len(l.b)-l.at+4))
	be.PutUint32(l.b[l.at-4:], l.n)
	return l.b
}
