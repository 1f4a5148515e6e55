package failure

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"fnobridge/internal/redact"
)

// This file makes words fit for a Failure: one line, bounded, without secrets.

// Tidy makes one redacted line of a text, of at most limit bytes.
func Tidy(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return Cut(redact.Text(s), limit)
}

// Cut shortens s to limit bytes at most, between runes, and shows that it did.
func Cut(s string, limit int) string { return CutWith(s, limit, "…") }

// CutWith is Cut with other words to show that s was cut.
func CutWith(s string, limit int, mark string) string {
	if len(s) <= limit {
		return s
	}
	if limit < len(mark) {
		return ""
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimRight(s[:end], " ") + mark
}

// Quiet returns an error that shows other words than the one it wraps: SDK errors dump whole answers.
func Quiet(text string, err error) error { return &quietError{text, err} }

// Scrub returns err itself, or, when its text holds what must not be shown, an error that wraps it and shows the rest.
func Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := redact.Text(text); clean != text {
		return &quietError{clean, err}
	}
	return err
}

type quietError struct {
	text string
	err  error
}

func (q *quietError) Error() string { return q.text }
func (q *quietError) Unwrap() error { return q.err }
