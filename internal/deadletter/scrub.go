package deadletter

import (
	"net/url"
	"regexp"
	"strings"
)

// hidden stands where a secret was.
const hidden = "[hidden]"

// A dead letter is read by more people than a log and is kept for longer, and it quotes texts that others wrote: error
// pages, exceptions, addresses. So it is scrubbed again, although failures promise to be clean already.
var (
	// An address with a query or user part: signed URLs carry the key there. The whole query goes, not only known names.
	addressRE = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>\\]+`)
	// The query of an address whose scheme was cut off, when it is signed.
	signedRE = regexp.MustCompile(`(?i)\?[^\s"'<>]*\b(?:sig|code|token|access_token|key)=[^\s"'<>]*`)
	// A JSON web token, wherever it stands.
	jwtRE = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?`)
	// The value of an Authorization header, with or without a scheme, and a bearer token on its own.
	authorizationRE = regexp.MustCompile(`(?i)(authorization"?\s*[:=]\s*"?)(?:(?:bearer|basic|negotiate|digest|sharedkey(?:lite)?)\s+)?[^\s"',;]+`)
	bearerRE        = regexp.MustCompile(`(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{16,}`)
	// A Service Bus SAS token.
	sasRE = regexp.MustCompile(`(?i)\bSharedAccessSignature\s+\S+`)
	// name=value, name: value and "name": "value" of names that hold secrets.
	namedRE = regexp.MustCompile(`(?i)((?:sharedaccesskey|sharedaccesssignature|accountkey|client[_-]?secret|client[_-]?assertion|access[_-]?token|refresh[_-]?token|id[_-]?token|password|passwd|pwd|\bsig|x-functions-key|api[_-]?key|subscription-key)"?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"'}]+)`)
)

// scrub takes out of a text what must not be in a dead letter, an audit line or an error.
func scrub(s string) string {
	if s == "" {
		return ""
	}
	s = addressRE.ReplaceAllStringFunc(s, scrubAddress)
	s = sasRE.ReplaceAllString(s, "SharedAccessSignature "+hidden)
	s = signedRE.ReplaceAllString(s, "?"+hidden)
	s = authorizationRE.ReplaceAllString(s, "${1}"+hidden)
	s = bearerRE.ReplaceAllString(s, "Bearer "+hidden)
	s = jwtRE.ReplaceAllString(s, hidden)
	return namedRE.ReplaceAllString(s, "${1}"+hidden)
}

// scrubAddress drops user, query and fragment of one address and keeps the punctuation that followed it in the text.
func scrubAddress(a string) string {
	rest := ""
	if i := strings.IndexAny(a, "?#"); i >= 0 {
		a = a[:i]
	} else if t := strings.TrimRight(a, ".,;:)]}"); t != a {
		a, rest = t, a[len(t):]
	}
	scheme, after, _ := strings.Cut(a, "://")
	host, path, slash := strings.Cut(after, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	a = scheme + "://" + host
	if slash {
		a += "/" + path
	}
	return a + rest
}

// linkParams are the query parameters of F&O's own pages (company, menu item, the record to open). Nothing else may
// stay in a link.
var linkParams = map[string]bool{"cmp": true, "mi": true, "q": true, "prt": true, "f": true, "lng": true, "debug": true, "limitednav": true}

// scrubLink keeps the address of an F&O page usable, whose query says which record it opens, and drops every other
// parameter. It gives "" for what is not an absolute web address.
func scrubLink(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	kept := url.Values{}
	for name, values := range u.Query() {
		if !linkParams[strings.ToLower(name)] {
			continue
		}
		for _, v := range values {
			if scrub(v) == v {
				kept.Add(name, v)
			}
		}
	}
	u.User, u.Fragment, u.RawFragment, u.RawQuery = nil, "", "", kept.Encode()
	return u.String()
}
