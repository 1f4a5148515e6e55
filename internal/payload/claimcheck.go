package payload

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"fnobridge/internal/origin"
)

// resolve returns the URL of the blob that ref names, when it lies inside one of the containers. The URL is built anew from
// the container's own and the blob's name, so that nothing else of ref travels on.
func resolve(ref string, containers []string) (*url.URL, error) {
	u, err := parseStorageURL(ref)
	if err != nil {
		return nil, fmt.Errorf("dataref: %w", err)
	}
	if len(containers) == 0 {
		return nil, errors.New("dataref: the route takes no claim checks: it names no container (claimCheck)")
	}
	for _, c := range containers {
		base, err := parseStorageURL(c)
		if err != nil {
			continue // the configuration is checked elsewhere; a bad one lets nothing in
		}
		prefix := strings.TrimSuffix(base.Path, "/") + "/"
		if prefix == "/" || u.Scheme != base.Scheme || u.Host != base.Host {
			continue
		}
		if name, ok := strings.CutPrefix(u.Path, prefix); ok && name != "" {
			return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: prefix + name}, nil
		}
	}
	return nil, errors.New("dataref: not inside a container of this route (claimCheck)")
}

// parseStorageURL reads the URL of a container or blob into one normal form (host in lower case, no default port) and
// refuses whatever could make two readers of it disagree about where it points. Its errors quote nothing: a dataref
// with a signature in it must not end up in a log.
func parseStorageURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("not an absolute URL")
	case u.User != nil:
		return nil, errors.New("holds a user or password")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("holds a query: signatures (SAS) are not taken, the bridge reads by its own identity")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("holds a fragment")
	case !origin.Safe(u):
		return nil, errors.New("is not https")
	case strings.ContainsFunc(u.Path, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		return nil, errors.New("holds a backslash or a control character")
	}
	for i, segment := range strings.Split(strings.Trim(u.Path, "/"), "/") { // decoded: %2e%2e and %2f are seen for what they are
		if segment == "." || segment == ".." || segment == "" && i > 0 {
			return nil, errors.New("holds an empty segment, \".\" or \"..\"")
		}
	}
	if strings.HasPrefix(u.Path, "//") || strings.HasSuffix(u.Path, "//") {
		return nil, errors.New("holds an empty segment, \".\" or \"..\"")
	}
	n := origin.Of(u)
	n.Path = u.Path
	return n, nil
}
