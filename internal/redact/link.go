package redact

import (
	"net/url"
	"strings"
)

// kept are the query parameters of F&O's own pages: company, menu item, the record to open.
var kept = map[string]bool{
	"cmp": true, "mi": true, "q": true, "prt": true, "f": true, "lng": true, "debug": true, "limitednav": true,
}

// Link returns the address of an F&O page with only those parameters that say what it opens. It returns "" for what is
// not an absolute web address.
func Link(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	query := url.Values{}
	for name, values := range u.Query() {
		if !kept[strings.ToLower(name)] {
			continue
		}
		for _, v := range values {
			if Text(v) == v {
				query.Add(name, v)
			}
		}
	}
	u.User, u.Fragment, u.RawFragment, u.RawQuery = nil, "", "", query.Encode()
	return u.String()
}
