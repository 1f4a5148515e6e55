package amqp

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

const (
	// maxDepth bounds nesting: the deepest legitimate value (a filter in a source in an attach) has five levels.
	maxDepth = 32
	// maxEmpty bounds the elements of an array whose elements take no bytes.
	maxEmpty = 4096
)

// Reader decodes values from a byte slice. Strings and binaries are copied, so nothing decoded keeps the slice alive.
type Reader struct {
	b   []byte
	pos int
}

// NewReader returns a Reader over b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Len returns the number of bytes left.
func (r *Reader) Len() int { return len(r.b) - r.pos }

func (r *Reader) take(n int) ([]byte, error) {
	if n < 0 || n > r.Len() {
		return nil, malformed("%d bytes wanted, %d left", n, r.Len())
	}
	p := r.b[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return p, nil
}

func (r *Reader) byte() (byte, error) {
	if r.Len() == 0 {
		return 0, malformed("unexpected end")
	}
	c := r.b[r.pos]
	r.pos++
	return c, nil
}

func (r *Reader) uint32() (uint32, error) {
	p, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(p), nil
}

// size reads a 1 or 4 byte length.
func (r *Reader) size(wide bool) (int, error) {
	if !wide {
		c, err := r.byte()
		return int(c), err
	}
	n, err := r.uint32()
	if err != nil {
		return 0, err
	}
	if n > math.MaxInt32 {
		return 0, malformed("length %d", n)
	}
	return int(n), nil
}

// Value decodes the next value.
func (r *Reader) Value() (any, error) { return r.value(0) }

func (r *Reader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, malformed("nested more than %d deep", maxDepth)
	}
	code, err := r.byte()
	if err != nil {
		return nil, err
	}
	if code == 0 {
		d, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		return Described{d, v}, nil
	}
	return r.coded(code, depth)
}

// coded decodes a value whose constructor has been read.
func (r *Reader) coded(code byte, depth int) (any, error) {
	switch code {
	case 0x40:
		return nil, nil
	case 0x41:
		return true, nil
	case 0x42:
		return false, nil
	case 0x43:
		return uint32(0), nil
	case 0x44:
		return uint64(0), nil
	case 0x45:
		return List{}, nil
	}
	switch code >> 4 {
	case 0x5:
		c, err := r.byte()
		if err != nil {
			return nil, err
		}
		return fixed1(code, c)
	case 0x6:
		p, err := r.take(2)
		if err != nil {
			return nil, err
		}
		switch n := binary.BigEndian.Uint16(p); code {
		case 0x60:
			return n, nil
		case 0x61:
			return int16(n), nil
		}
	case 0x7:
		p, err := r.take(4)
		if err != nil {
			return nil, err
		}
		switch n := binary.BigEndian.Uint32(p); code {
		case 0x70:
			return n, nil
		case 0x71:
			return int32(n), nil
		case 0x72:
			return math.Float32frombits(n), nil
		case 0x73:
			return Char(n), nil
		case 0x74:
			return Decimal(p), nil
		}
	case 0x8:
		p, err := r.take(8)
		if err != nil {
			return nil, err
		}
		switch n := binary.BigEndian.Uint64(p); code {
		case 0x80:
			return n, nil
		case 0x81:
			return int64(n), nil
		case 0x82:
			return math.Float64frombits(n), nil
		case 0x83:
			return Timestamp(n), nil
		case 0x84:
			return Decimal(p), nil
		}
	case 0x9:
		p, err := r.take(16)
		if err != nil {
			return nil, err
		}
		switch code {
		case 0x94:
			return Decimal(p), nil
		case 0x98:
			return UUID(p), nil
		}
	case 0xa, 0xb:
		n, err := r.size(code>>4 == 0xb)
		if err != nil {
			return nil, err
		}
		p, err := r.take(n)
		if err != nil {
			return nil, err
		}
		switch code & 0xf {
		case 0:
			return append(make([]byte, 0, n), p...), nil
		case 1:
			if !utf8.Valid(p) {
				return nil, malformed("string is not UTF-8")
			}
			return string(p), nil
		case 3:
			return Symbol(p), nil
		}
	case 0xc, 0xd:
		sub, count, err := r.compound(code>>4 == 0xd)
		if err != nil {
			return nil, err
		}
		switch code & 0xf {
		case 0:
			return sub.list(count, depth)
		case 1:
			return sub.pairs(count, depth)
		}
	case 0xe, 0xf:
		if code&0xf == 0 {
			sub, count, err := r.compound(code == 0xf0)
			if err != nil {
				return nil, err
			}
			return sub.array(count, depth)
		}
	}
	return nil, malformed("constructor 0x%02x", code)
}

func fixed1(code, c byte) (any, error) {
	switch code {
	case 0x50:
		return c, nil
	case 0x51:
		return int8(c), nil
	case 0x52:
		return uint32(c), nil
	case 0x53:
		return uint64(c), nil
	case 0x54:
		return int32(int8(c)), nil
	case 0x55:
		return int64(int8(c)), nil
	case 0x56:
		if c > 1 {
			return nil, malformed("boolean 0x%02x", c)
		}
		return c == 1, nil
	}
	return nil, malformed("constructor 0x%02x", code)
}

// compound reads size and count of a list, map or array and returns a Reader over exactly its content.
func (r *Reader) compound(wide bool) (Reader, int, error) {
	size, err := r.size(wide)
	if err != nil {
		return Reader{}, 0, err
	}
	p, err := r.take(size)
	if err != nil {
		return Reader{}, 0, err
	}
	sub := Reader{b: p}
	count, err := sub.size(wide)
	return sub, count, err
}

func (r *Reader) list(count, depth int) (any, error) {
	if count > r.Len() {
		return nil, malformed("list of %d in %d bytes", count, r.Len())
	}
	l := make(List, 0, count)
	for range count {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, v)
	}
	return l, r.end("list")
}

func (r *Reader) pairs(count, depth int) (any, error) {
	if count > r.Len() || count%2 != 0 {
		return nil, malformed("map of %d in %d bytes", count, r.Len())
	}
	m := make(Map, 0, count/2)
	for range count / 2 {
		k, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		m = append(m, Pair{k, v})
	}
	return m, r.end("map")
}

func (r *Reader) array(count, depth int) (any, error) {
	if depth > maxDepth {
		return nil, malformed("nested more than %d deep", maxDepth)
	}
	code, err := r.byte()
	if err != nil {
		return nil, err
	}
	var descriptor any
	described := code == 0
	if described {
		if descriptor, err = r.value(depth + 1); err != nil {
			return nil, err
		}
		if code, err = r.byte(); err != nil {
			return nil, err
		}
	}
	if count > r.Len() && (code>>4 != 4 || count > maxEmpty) {
		return nil, malformed("array of %d in %d bytes", count, r.Len())
	}
	a := Array{Elem: code, Values: make([]any, 0, count)}
	for range count {
		v, err := r.coded(code, depth+1)
		if err != nil {
			return nil, err
		}
		if described {
			v = Described{descriptor, v}
		}
		a.Values = append(a.Values, v)
	}
	return a, r.end("array")
}

func (r *Reader) end(what string) error {
	if r.Len() != 0 {
		return malformed("%d bytes after the last element of a %s", r.Len(), what)
	}
	return nil
}

// Skip passes over the next value without decoding it.
func (r *Reader) Skip() error {
	for range maxDepth {
		code, err := r.byte()
		if err != nil {
			return err
		}
		if code == 0 { // described: the descriptor, then the value
			if err := r.Skip(); err != nil {
				return err
			}
			continue
		}
		var n int
		switch code >> 4 {
		case 0x4:
		case 0x5:
			n = 1
		case 0x6:
			n = 2
		case 0x7:
			n = 4
		case 0x8:
			n = 8
		case 0x9:
			n = 16
		case 0xa, 0xc, 0xe:
			n, err = r.size(false)
		case 0xb, 0xd, 0xf:
			n, err = r.size(true)
		default:
			return malformed("constructor 0x%02x", code)
		}
		if err != nil {
			return err
		}
		_, err = r.take(n)
		return err
	}
	return malformed("nested more than %d deep", maxDepth)
}

// Raw returns the bytes of the next value and passes over it. The result aliases the Reader's slice.
func (r *Reader) Raw() ([]byte, error) {
	from := r.pos
	if err := r.Skip(); err != nil {
		return nil, err
	}
	return r.b[from:r.pos:r.pos], nil
}
