package config

import (
	"reflect"
	"strings"
	"unicode/utf8"
)

// quote shows a value from the file in a problem, short, and not at all where it looks as if it holds a secret: a
// connection string or a signed URL that was pasted into the wrong place must not end up in a log.
func quote(value string) string {
	low := strings.ToLower(value)
	for _, mark := range []string{"sig=", "sharedaccess", "accountkey", "password", "secret", "@", "-----begin"} {
		if strings.Contains(low, mark) {
			return "the value (not shown: it looks like a secret)"
		}
	}
	const limit = 60
	if utf8.RuneCountInString(value) > limit {
		value = string([]rune(value)[:limit]) + "..."
	}
	return `"` + strings.NewReplacer("\n", `\n`, "\r", `\r`, "\x1b", `\e`, `"`, `\"`).Replace(strings.ToValidUTF8(value, "?")) + `"`
}

// instead says what to write: the nearest of the allowed words, or all of them.
func instead(word string, allowed []string) string {
	switch best := nearest(word, allowed); {
	case best != "":
		return "write " + best
	case len(allowed) == 1:
		return "only " + allowed[0] + " can be here"
	case len(allowed) == 0:
		return "nothing can be here"
	default:
		return "write one of " + strings.Join(allowed, ", ")
	}
}

// insteadOfKey is instead for a key of t. A key that is right somewhere else is sent there.
func insteadOfKey(key string, t reflect.Type) string {
	keys := keysOf(t)
	if nearest(key, keys) == "" {
		if home := homeOf(key, reflect.TypeFor[Config](), ""); home != "" {
			return "it belongs into " + home + "; here are " + strings.Join(keys, ", ")
		}
	}
	return instead(key, keys)
}

// homeOf returns the first mapping below t that has the key.
func homeOf(key string, t reflect.Type, path string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	for f := range t.Fields() {
		name, ok := keyOf(f)
		if ok && name == key {
			if path == "" {
				return "the top level of the file"
			}
			return path
		}
	}
	for f := range t.Fields() {
		if name, ok := keyOf(f); ok {
			if home := homeOf(key, f.Type, join(path, name)); home != "" {
				return home
			}
		}
	}
	return ""
}

// nearest returns the allowed word that was probably meant, "" when none is near.
func nearest(word string, allowed []string) string {
	best, distance := "", 1+max(1, utf8.RuneCountInString(word)/3)
	for _, a := range allowed {
		if n := Distance(word, a); n < distance {
			best, distance = a, n
		}
	}
	return best
}

// Distance returns how many letters must be inserted, deleted, changed or swapped with a neighbour to come from a to b,
// without regard to case.
func Distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y))
	}
	before, last, row := []int(nil), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, make([]int, len(y)+1)
	}
	return last[len(y)]
}

// example returns what a missing key could look like.
func example(key string, f reflect.StructField) string {
	if eg := f.Tag.Get("eg"); eg != "" {
		return key + ": " + eg
	}
	return key + ": and its value"
}
