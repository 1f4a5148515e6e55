package rules

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// unordered is the order of a NaN and anything.
const unordered = 2

// compareValues orders two values that are not nil: negative, zero, positive or unordered. ok is false when their types
// cannot be compared. Integers are compared with floating-point numbers as such, as C# does.
func compareValues(a, b any) (order int, ok bool) {
	switch x := a.(type) {
	case int64:
		switch y := b.(type) {
		case int64:
			return cmp.Compare(x, y), true
		case float64:
			return compareFloats(float64(x), y), true
		}
	case float64:
		switch y := b.(type) {
		case int64:
			return compareFloats(x, float64(y)), true
		case float64:
			return compareFloats(x, y), true
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), true
		}
	case bool:
		if y, ok := b.(bool); ok {
			if x == y {
				return 0, true
			}
			return 1, true
		}
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y), true
		}
	case time.Duration:
		if y, ok := b.(time.Duration); ok {
			return cmp.Compare(x, y), true
		}
	case amqp.UUID:
		if y, ok := b.(amqp.UUID); ok {
			return bytes.Compare(x[:], y[:]), true
		}
	}
	return 0, false
}

func compareFloats(x, y float64) int {
	if math.IsNaN(x) || math.IsNaN(y) {
		return unordered
	}
	return cmp.Compare(x, y)
}

// ordered reports whether < and > make sense for the type of v.
func ordered(v any) bool {
	switch v.(type) {
	case bool, amqp.UUID:
		return false
	}
	return true
}

// kindOf names the type of a value for error messages.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a floating-point number"
	case string:
		return "a text"
	case time.Time:
		return "a time"
	case time.Duration:
		return "a time span"
	case amqp.UUID:
		return "a GUID"
	}
	return fmt.Sprintf("a value of type %T", v)
}

// calculate applies an arithmetic operator to two values that are not nil; a reason says why it cannot.
func calculate(op byte, a, b any) (result any, reason string) {
	if op == '+' {
		_, left := a.(string)
		_, right := b.(string)
		if left || right {
			x, ok := asText(a)
			y, ok2 := asText(b)
			if ok && ok2 {
				return x + y, ""
			}
		}
	}
	x, isInt := a.(int64)
	y, isInt2 := b.(int64)
	if isInt && isInt2 {
		return calculateIntegers(op, x, y)
	}
	f, ok := asFloat(a)
	g, ok2 := asFloat(b)
	if !ok || !ok2 {
		return nil, fmt.Sprintf("cannot calculate %s %c %s", kindOf(a), op, kindOf(b))
	}
	switch op {
	case '+':
		return f + g, ""
	case '-':
		return f - g, ""
	case '*':
		return f * g, ""
	case '/':
		return f / g, "" // by zero is infinite, as in C#
	}
	return math.Mod(f, g), ""
}

// calculateIntegers wraps around on overflow, as C# does unless told otherwise.
func calculateIntegers(op byte, x, y int64) (result any, reason string) {
	switch op {
	case '+':
		return x + y, ""
	case '-':
		return x - y, ""
	case '*':
		return x * y, ""
	}
	if y == 0 {
		return nil, "division by zero"
	}
	if op == '/' {
		return x / y, ""
	}
	return x % y, ""
}

func asFloat(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// asText is a value as text, for those types that have an undisputed form.
func asText(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case int64:
		return strconv.FormatInt(x, 10), true
	case float64:
		return strconv.FormatFloat(x, 'G', -1, 64), true
	case bool:
		if x {
			return "True", true
		}
		return "False", true
	case amqp.UUID:
		return x.String(), true
	}
	return "", false
}
