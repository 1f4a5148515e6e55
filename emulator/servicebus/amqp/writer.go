package amqp

import (
	"encoding/binary"
	"fmt"
	"math"
)

var be = binary.BigEndian

// AppendValue appends the encoding of v. It panics on a type that is not one of the value types of this package: only a
// programming error can cause that, since every decoded value is one of them.
func AppendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 0x40)
	case bool:
		if v {
			return append(b, 0x41)
		}
		return append(b, 0x42)
	case uint8:
		return append(b, 0x50, v)
	case int8:
		return append(b, 0x51, byte(v))
	case uint16:
		return be.AppendUint16(append(b, 0x60), v)
	case int16:
		return be.AppendUint16(append(b, 0x61), uint16(v))
	case uint32:
		return AppendUint(b, v)
	case int32:
		return be.AppendUint32(append(b, 0x71), uint32(v))
	case uint64:
		return AppendUlong(b, v)
	case int64:
		return AppendLong(b, v)
	case int:
		return AppendLong(b, int64(v))
	case float32:
		return be.AppendUint32(append(b, 0x72), math.Float32bits(v))
	case float64:
		return be.AppendUint64(append(b, 0x82), math.Float64bits(v))
	case Char:
		return be.AppendUint32(append(b, 0x73), uint32(v))
	case Timestamp:
		return AppendTimestamp(b, v)
	case UUID:
		return AppendUUID(b, v)
	case Decimal:
		switch len(v) {
		case 4:
			b = append(b, 0x74)
		case 8:
			b = append(b, 0x84)
		default:
			b = append(b, 0x94)
		}
		return append(b, v...)
	case []byte:
		return AppendBinary(b, v)
	case string:
		return AppendString(b, v)
	case Symbol:
		return AppendSymbol(b, v)
	case List:
		return appendList(b, v)
	case Map:
		return AppendMap(b, v)
	case Array:
		return appendArray(b, v)
	case []int64:
		b, at := open(b, 0xf0, len(v))
		b = append(b, 0x81)
		for _, n := range v {
			b = be.AppendUint64(b, uint64(n))
		}
		return closeCompound(b, at)
	case []string:
		b, at := open(b, 0xf0, len(v))
		b = append(b, 0xb1)
		for _, s := range v {
			b = append(be.AppendUint32(b, uint32(len(s))), s...)
		}
		return closeCompound(b, at)
	case []Symbol:
		b, at := open(b, 0xf0, len(v))
		b = append(b, 0xb3)
		for _, s := range v {
			b = append(be.AppendUint32(b, uint32(len(s))), s...)
		}
		return closeCompound(b, at)
	case []Timestamp:
		b, at := open(b, 0xf0, len(v))
		b = append(b, 0x83)
		for _, t := range v {
			b = be.AppendUint64(b, uint64(t))
		}
		return closeCompound(b, at)
	case Described:
		b = append(b, 0)
		b = AppendValue(b, v.Descriptor)
		return AppendValue(b, v.Value)
	}
	panic(fmt.Sprintf("amqp: %T is not a value type", v))
}

// AppendUint appends a uint.
func AppendUint(b []byte, n uint32) []byte {
	switch {
	case n == 0:
		return append(b, 0x43)
	case n < 256:
		return append(b, 0x52, byte(n))
	}
	return be.AppendUint32(append(b, 0x70), n)
}

// AppendUlong appends a ulong.
func AppendUlong(b []byte, n uint64) []byte {
	switch {
	case n == 0:
		return append(b, 0x44)
	case n < 256:
		return append(b, 0x53, byte(n))
	}
	return be.AppendUint64(append(b, 0x80), n)
}

// AppendLong appends a long.
func AppendLong(b []byte, n int64) []byte {
	if n >= -128 && n < 128 {
		return append(b, 0x55, byte(n))
	}
	return be.AppendUint64(append(b, 0x81), uint64(n))
}

// AppendTimestamp appends a timestamp.
func AppendTimestamp(b []byte, t Timestamp) []byte {
	return be.AppendUint64(append(b, 0x83), uint64(t))
}

// AppendUUID appends a uuid.
func AppendUUID(b []byte, u UUID) []byte { return append(append(b, 0x98), u[:]...) }

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0x41)
	}
	return append(b, 0x42)
}

// AppendBinary appends a binary.
func AppendBinary(b, v []byte) []byte {
	if len(v) < 256 {
		return append(append(b, 0xa0, byte(len(v))), v...)
	}
	return append(be.AppendUint32(append(b, 0xb0), uint32(len(v))), v...)
}

// AppendString appends a string.
func AppendString(b []byte, s string) []byte {
	if len(s) < 256 {
		return append(append(b, 0xa1, byte(len(s))), s...)
	}
	return append(be.AppendUint32(append(b, 0xb1), uint32(len(s))), s...)
}

// AppendSymbol appends a symbol.
func AppendSymbol(b []byte, s Symbol) []byte {
	if len(s) < 256 {
		return append(append(b, 0xa3, byte(len(s))), s...)
	}
	return append(be.AppendUint32(append(b, 0xb3), uint32(len(s))), s...)
}

// AppendMap appends a map in the order of its pairs.
func AppendMap(b []byte, m Map) []byte {
	b, at := open(b, 0xd1, 2*len(m))
	for i := range m {
		b = AppendValue(b, m[i].Key)
		b = AppendValue(b, m[i].Value)
	}
	return closeCompound(b, at)
}

func appendList(b []byte, l List) []byte {
	if len(l) == 0 {
		return append(b, 0x45)
	}
	b, at := open(b, 0xd0, len(l))
	for _, v := range l {
		b = AppendValue(b, v)
	}
	return closeCompound(b, at)
}

// open appends constructor, size and count; closeCompound fills the size in.
func open(b []byte, code byte, count int) ([]byte, int) {
	b = append(b, code, 0, 0, 0, 0)
	at := len(b)
	return be.AppendUint32(b, uint32(count)), at
}

func closeCompound(b []byte, at int) []byte {
	be.PutUint32(b[at-4:], uint32(len(b)-at))
	return b
}

// appendArray writes every element with the widest constructor of its type, so that one constructor fits all.
func appendArray(b []byte, a Array) []byte {
	b, at := open(b, 0xf0, len(a.Values))
	if len(a.Values) == 0 {
		code := a.Elem
		if code == 0 {
			code = 0x40
		}
		return closeCompound(append(b, code), at)
	}
	first := a.Values[0]
	if d, ok := first.(Described); ok {
		b = AppendValue(append(b, 0), d.Descriptor)
		first = d.Value
	}
	code := wideCode(first)
	b = append(b, code)
	for _, v := range a.Values {
		if d, ok := v.(Described); ok {
			v = d.Value
		}
		b = appendElement(b, code, v)
	}
	return closeCompound(b, at)
}

func wideCode(v any) byte {
	switch v := v.(type) {
	case bool:
		return 0x56
	case uint8:
		return 0x50
	case int8:
		return 0x51
	case uint16:
		return 0x60
	case int16:
		return 0x61
	case uint32:
		return 0x70
	case int32:
		return 0x71
	case float32:
		return 0x72
	case Char:
		return 0x73
	case uint64:
		return 0x80
	case int64:
		return 0x81
	case float64:
		return 0x82
	case Timestamp:
		return 0x83
	case Decimal:
		return map[int]byte{4: 0x74, 8: 0x84, 16: 0x94}[len(v)]
	case UUID:
		return 0x98
	case []byte:
		return 0xb0
	case string:
		return 0xb1
	case Symbol:
		return 0xb3
	case List:
		return 0xd0
	case Map:
		return 0xd1
	case Array:
		return 0xf0
	}
	return 0x40
}

// appendElement writes v without its constructor. Elements of another type than the first cannot come from a decoded
// array and are written as zeros.
func appendElement(b []byte, code byte, v any) []byte {
	if wideCode(v) != code {
		return append(b, make([]byte, widthOf(code))...)
	}
	switch v := v.(type) {
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case uint32:
		return be.AppendUint32(b, v)
	case uint64:
		return be.AppendUint64(b, v)
	case int64:
		return be.AppendUint64(b, uint64(v))
	case []byte:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case string:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case Symbol:
		return append(be.AppendUint32(b, uint32(len(v))), v...)
	case List:
		if len(v) == 0 { // its own encoding is list0, which has no size to share
			return append(b, 0, 0, 0, 4, 0, 0, 0, 0)
		}
	case nil:
		return b
	}
	// The remaining types have one constructor: drop it.
	from := len(b)
	b = AppendValue(b, v)
	copy(b[from:], b[from+1:])
	return b[:len(b)-1]
}

func widthOf(code byte) int {
	switch code >> 4 {
	case 0x5:
		return 1
	case 0x6:
		return 2
	case 0x7:
		return 4
	case 0x8:
		return 8
	case 0x9:
		return 16
	case 0xb:
		return 4
	case 0xd, 0xf:
		return 8
	}
	return 0
}

// OpenMapSection appends a section holding a map of n entries whose encoded pairs the caller appends; CloseMap
// completes it.
func OpenMapSection(b []byte, section byte, n int) ([]byte, int) {
	return open(append(b, 0, 0x53, section), 0xd1, 2*n)
}

// CloseMap completes the map opened at offset at.
func CloseMap(b []byte, at int) []byte { return closeCompound(b, at) }
