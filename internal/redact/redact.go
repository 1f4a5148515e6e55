// Package redact takes secrets out of texts: tokens, keys, the queries of addresses, where signatures travel.
//
// Logs, status events and dead letters quote what others wrote: error pages, exceptions, addresses. A dead letter is
// read by more people than a log and kept for longer. So every text goes through here on its way out, also one that was
// here before: a text that is clean already comes back as it was.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

// marked matches the mark, before anything that could match more than it: what is marked already stays as it is.
var marked = regexp.QuoteMeta(Mark)

var (
	// An address: signed ones carry the key in their query. The whole query goes, not only the names we know.
	address = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>\\]+`)
	// The query of an address whose scheme was cut off, when it is signed.
	signed = regexp.MustCompile(`(?i)\?[^\s"'<>]*\b(?:sig|code|token|access_token|key)=[^\s"'<>]*`)
	// A JSON web token, wherever it stands.
	jwt = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?`)
	// The value of an Authorization header, with or without a scheme, and a bearer token on its own.
	authorization = regexp.MustCompile(`(?i)(authorization"?\s*[:=]\s*"?)` +
		`(?:(?:bearer|basic|negotiate|digest|sharedkey(?:lite)?)\s+)?(?:` + marked + `|[^\s"',;]+)`)
	bearer = regexp.MustCompile(`(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}`)
	// A Service Bus SAS token.
	sas = regexp.MustCompile(`(?i)\b(SharedAccessSignature\s+)(?:` + marked + `|\S+)`)
	// name=value, name: value and "name": "value" of names that hold secrets.
	named = regexp.MustCompile(`(?i)((?:sharedaccesskey|sharedaccesssignature|accountkey|client[_-]?secret` +
		`|client[_-]?assertion|access[_-]?token|refresh[_-]?token|id[_-]?token|password|passwd|pwd|\bsig` +
		`|x-functions-key|api[_-]?key|subscription-key)"?\s*[=:]\s*)` +
		`(` + marked + `|"[^"]*"|'[^']*'|[^\s;&"']+)`)
)

// Text returns s without what must not be shown.
func Text(s string) string {
	if s == "" {
		return ""
	}
	s = address.ReplaceAllStringFunc(s, bare)
	s = sas.ReplaceAllString(s, "${1}"+Mark)
	s = signed.ReplaceAllString(s, "?"+Mark)
	s = authorization.ReplaceAllString(s, "${1}"+Mark)
	s = bearer.ReplaceAllString(s, "${1}"+Mark)
	s = jwt.ReplaceAllString(s, Mark)
	return named.ReplaceAllString(s, "${1}"+Mark)
}

// bare returns an address without user, query and fragment, and with the punctuation that followed it in the text.
func bare(address string) string {
	rest := ""
	if i := strings.IndexAny(address, "?#"); i >= 0 {
		address = address[:i]
	} else if t := strings.TrimRight(address, ".,;:)]}"); t != address {
		address, rest = t, address[len(t):]
	}
	scheme, after, _ := strings.Cut(address, "://")
	host, path, slash := strings.Cut(after, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	address = scheme + "://" + host
	if slash {
		address += "/" + path
	}
	return address + rest
}
