package rules

// piece is one element of a LIKE pattern.
type piece struct {
	r    rune
	kind pieceKind
}

type pieceKind uint8

const (
	literal pieceKind = iota
	one               // _
	many              // %
)

type pattern []piece

// newPattern reads a LIKE pattern; escape -1 means none. ok is false when the escape character stands last.
func newPattern(s string, escape rune) (p pattern, ok bool) {
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			p, escaped = append(p, piece{r: r}), false
		case r == escape:
			escaped = true
		case r == '_':
			p = append(p, piece{kind: one})
		case r == '%':
			p = append(p, piece{kind: many})
		default:
			p = append(p, piece{r: r})
		}
	}
	return p, !escaped
}

// match reports whether the whole text fits. It goes back to the last % only, which suffices and keeps the time at
// len(p) * len(text).
func (p pattern) match(text []rune) bool {
	i, j := 0, 0
	star, resume := -1, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i].kind == many:
			star, resume = i, j
			i++
		case i < len(p) && (p[i].kind == one || p[i].kind == literal && p[i].r == text[j]):
			i++
			j++
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(p) && p[i].kind == many {
		i++
	}
	return i == len(p)
}
