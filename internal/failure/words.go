package failure

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file makes words fit for a Failure: one line, bounded, without tokens and without queries of URLs, which is where
// signatures travel.

var (
	urlQuery = regexp.MustCompile(`(?i)\b((?:https?|sb|amqps?)://[^\s"'<>?]*)\?[^\s"'<>]*`)
	jwt      = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*)?`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}`)
	assigned = regexp.MustCompile(`(?i)\b(SharedAccessKey|SharedAccessSignature|AccountKey|client_secret|client_assertion|sig)=[^\s;&"'<>]+`)
)

// Redact takes tokens, keys and the queries of URLs out of a text.
func Redact(s string) string {
	s = urlQuery.ReplaceAllString(s, "$1")
	s = jwt.ReplaceAllString(s, "[token]")
	s = bearer.ReplaceAllString(s, "${1}[token]")
	return assigned.ReplaceAllString(s, "$1=[removed]")
}

// Tidy makes one redacted line of a text, of at most limit bytes.
func Tidy(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return Cut(Redact(s), limit)
}

// Cut shortens s to limit bytes at most, between runes, and shows that it did.
func Cut(s string, limit int) string {
	const mark = "…"
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

// Quiet gives an error that shows other words than the one it wraps: SDK errors dump whole answers.
func Quiet(text string, err error) error { return &quietError{text, err} }

// Scrub gives err itself, or, when its text holds what must not be shown, an error that wraps it and shows the rest.
func Scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := Redact(text); clean != text {
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
