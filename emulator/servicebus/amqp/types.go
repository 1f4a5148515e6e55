package amqp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed AMQP data")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Values are represented by these Go types: nil, bool, uint8..uint64, int8..int64, float32, float64, Decimal, Char,
// Timestamp, UUID, []byte, string, Symbol, List, Map, Array and Described.
type (
	// Symbol is an AMQP symbol.
	Symbol string
	// Char is an AMQP char (UTF-32).
	Char rune
	// Timestamp is milliseconds since the Unix epoch.
	Timestamp int64
	// UUID is an AMQP uuid in RFC 4122 byte order.
	UUID [16]byte
	// List is an AMQP list.
	List []any
	// Pair is one entry of a Map.
	Pair struct{ Key, Value any }
	// Map is an AMQP map; the order of the wire is kept.
	Map []Pair
	// Array is an AMQP array; all values have one constructor. Elem is the constructor's format code and matters when
	// there is no value to derive it from.
	Array struct {
		Elem   byte
		Values []any
	}
	// Described is a described value.
	Described struct{ Descriptor, Value any }
	// Decimal is a decimal32, decimal64 or decimal128, kept as bytes.
	Decimal string
)

// TimestampOf converts a time; the zero time becomes 0.
func TimestampOf(t time.Time) Timestamp {
	if t.IsZero() {
		return 0
	}
	return Timestamp(t.UnixMilli())
}

// Time returns the instant in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String returns the canonical form.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// GUID returns the bytes in the order .NET writes a Guid: the first three groups little-endian. Service Bus uses it for
// delivery tags.
func (u UUID) GUID() [16]byte {
	u[0], u[1], u[2], u[3] = u[3], u[2], u[1], u[0]
	u[4], u[5] = u[5], u[4]
	u[6], u[7] = u[7], u[6]
	return u
}

// Get returns the value whose key is the string or symbol name.
func (m Map) Get(name string) (any, bool) {
	for i := range m {
		switch k := m[i].Key.(type) {
		case string:
			if k == name {
				return m[i].Value, true
			}
		case Symbol:
			if string(k) == name {
				return m[i].Value, true
			}
		}
	}
	return nil, false
}

// String returns the text of a string or symbol entry, "" when absent.
func (m Map) String(name string) string {
	v, _ := m.Get(name)
	s, _ := Text(v)
	return s
}

// Text returns the text of a string or symbol.
func Text(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case Symbol:
		return string(s), true
	}
	return "", false
}

// Integer returns any integer value as int64; ok is false for other types and for values that do not fit.
func Integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint64:
		return int64(n), n < 1<<63
	case Timestamp:
		return int64(n), true
	}
	return 0, false
}
