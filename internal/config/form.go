package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fnobridge/internal/contract"
	"fnobridge/internal/origin"
)

// A form checks one value by itself. good is the value in its usual spelling ("" leaves it as it is); what says what is
// wrong ("" when nothing is), fix what to write instead.
type form func(value any) (good, what, fix string)

// forms by the name in the form tag. The empty text is checked by the forms where it means something, never refused
// as missing: that is what the need tag is for.
var forms = map[string]form{
	"positive":   positive,
	"fraction":   between(0, 1, "0.5"),
	"share":      above0(1, "0.1"),
	"attempts":   between(1, 1000, "8"),
	"multiplier": between(1, 100, "2"),
	"lock":       lock,
	"name":       ofText(name),
	"entity":     ofText(entity),
	"company":    ofText(company),
	"bus":        ofText(busEntity),
	"host":       ofText(host),
	"listen":     listen,
	"guid":       ofText(guid),
	"tenant":     ofText(tenant),
	"origin":     ofText(originOf),
	"authority":  ofText(authority),
	"container":  ofText(container),
}

func ofText(check func(string) (good, what, fix string)) form {
	return func(value any) (string, string, string) {
		s, _ := value.(string)
		if s == "" {
			return "", "an empty text", "write a value, or leave the key out"
		}
		return check(s)
	}
}

func number(value any) float64 {
	switch v := value.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	case time.Duration:
		return float64(v)
	case Size:
		return float64(v)
	}
	return 0
}

func show(value any) string {
	if d, ok := value.(time.Duration); ok {
		return duration(d)
	}
	return fmt.Sprint(value)
}

func positive(value any) (string, string, string) {
	if number(value) > 0 {
		return "", "", ""
	}
	return "", show(value) + " is not more than 0", "write a value above 0, or leave the key out for the default"
}

func between(low, high float64, eg string) form {
	return func(value any) (string, string, string) {
		if n := number(value); n >= low && n <= high {
			return "", "", ""
		}
		return "", fmt.Sprintf("%s is not between %g and %g", show(value), low, high), "write a value in between, as in " + eg
	}
}

func above0(high float64, eg string) form {
	return func(value any) (string, string, string) {
		if n := number(value); n > 0 && n <= high {
			return "", "", ""
		}
		return "", fmt.Sprintf("%s is not above 0 and at most %g", show(value), high), "write a value in between, as in " + eg
	}
}

// maxLock is the longest lock of Service Bus. Source: Microsoft Learn, Service Bus quotas.
const maxLock = 5 * time.Minute

func lock(value any) (string, string, string) {
	switch d, _ := value.(time.Duration); {
	case d <= 0:
		return positive(value)
	case d > maxLock:
		return "", fmt.Sprintf("%s is longer than %s, the longest lock Service Bus gives", duration(d), duration(maxLock)), "write 5m or less, as the queues have it"
	}
	return "", "", ""
}

func name(s string) (string, string, string) {
	if utf8.RuneCountInString(s) > 64 || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unprintable) {
		return "", quote(s) + " is not a name", "write at most 64 printable characters without spaces around them"
	}
	return "", "", ""
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func entity(s string) (string, string, string) {
	if strings.TrimSpace(s) != s || s != "" && contract.CheckEntity(s) != nil {
		return "", quote(s) + " is not the name of a data entity", `write it as the Data management workspace shows it, as in "Customer groups"`
	}
	return "", "", ""
}

func company(s string) (string, string, string) {
	if contract.CheckCompany(s) != nil {
		return "", quote(s) + " is not a company", "write the 1 to 4 characters of the legal entity's ID, as in usmf"
	}
	return "", "", ""
}

var busName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/~-]*[A-Za-z0-9_])?$`)

func busEntity(s string) (string, string, string) {
	if len(s) > 260 || !busName.MatchString(s) || strings.Contains(s, "//") {
		return "", quote(s) + " is not the name of a Service Bus entity", "write letters, digits, periods, hyphens, underscores and slashes, beginning with a letter or digit, at most 260"
	}
	return "", "", ""
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

func host(s string) (string, string, string) {
	fix := "write the host name alone, as in contoso.servicebus.windows.net"
	bare, _, _ := strings.Cut(s, ":")
	switch {
	case !hostName.MatchString(s):
		return "", quote(s) + " is not a host name", fix
	case !strings.Contains(bare, ".") && bare != "localhost":
		return "", quote(s) + " is not a full host name", "write " + bare + ".servicebus.windows.net"
	}
	return "", "", ""
}

func listen(value any) (string, string, string) {
	s, _ := value.(string)
	if s == "" {
		return "", "", "" // off
	}
	h, port, err := net.SplitHostPort(s)
	n, errPort := strconv.Atoi(port)
	if _, errAddr := netip.ParseAddr(h); err != nil || errPort != nil || n < 0 || n > 65535 || (errAddr != nil && h != "localhost" && h != "") {
		return "", quote(s) + " is not an address to listen on", `write IP:PORT, as in 127.0.0.1:8080, or 0.0.0.0:8080 in a container, or "" for none`
	}
	return "", "", ""
}

var guidShape = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)

func guid(s string) (string, string, string) {
	switch bare := strings.Trim(s, "{}() "); {
	case guidShape.MatchString(s):
		return "", "", ""
	case guidShape.MatchString(bare):
		return "", quote(s) + " is a GUID with something around it", "write " + bare
	}
	return "", quote(s) + " is not a GUID", "write 8-4-4-4-12 hexadecimal digits, as in 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
}

var tenantShape = regexp.MustCompile(`^[A-Za-z0-9.-]{1,253}$`) // what azidentity accepts

func tenant(s string) (string, string, string) {
	if !tenantShape.MatchString(s) {
		return "", quote(s) + " is not a tenant", "write its ID, a GUID, or a domain as in contoso.onmicrosoft.com"
	}
	return "", "", ""
}

// parseURL reads an absolute URL that goes over TLS or to this machine, with nothing behind its path.
func parseURL(s, eg string) (u *url.URL, what, fix string) {
	fix = "write it as in " + eg
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, quote(s) + " is not a URL", fix
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, "a URL with a user, a query or a fragment (not shown: it may hold a secret)", fix
	case !origin.Safe(u):
		return nil, quote(s) + " is not https", "write https://; http is for this machine only"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, quote(s) + " has no usable port", fix
		}
	}
	u.Host = strings.ToLower(u.Host)
	return u, "", ""
}

// originOf reads scheme and host. A slash at the end is dropped: it would end up in the audience of the token, which F&O
// then refuses. Source: Microsoft Learn, "Troubleshoot service authentication".
func originOf(s string) (string, string, string) {
	const eg = "https://contoso.operations.dynamics.com"
	u, what, fix := parseURL(s, eg)
	switch {
	case what != "":
		return "", what, fix
	case strings.Trim(u.Path, "/") != "":
		return "", quote(s) + " has a path", "write scheme and host alone: " + u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host, "", ""
}

// authority must be https even on this machine: azidentity sends no secret anywhere else.
func authority(s string) (string, string, string) {
	const eg = "https://login.microsoftonline.us"
	u, what, fix := parseURL(s, eg)
	switch {
	case what != "":
		return "", what, fix
	case u.Scheme != "https":
		return "", quote(s) + " is not https", "write https://; on this machine too, with authorityCA"
	}
	return u.String(), "", ""
}

// container is account and container, and on this machine (Azurite) host, account and container.
func container(s string) (string, string, string) {
	const eg = "https://account.blob.core.windows.net/container"
	u, what, fix := parseURL(s, eg)
	if what != "" {
		return "", what, fix
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	depth := 1
	if origin.Loopback(u.Hostname()) {
		depth = min(max(len(parts), 1), 2)
	}
	for _, p := range parts {
		if len(parts) != depth || !containerName.MatchString(p) {
			return "", quote(s) + " is not the URL of a blob container", "write account and container, nothing behind them, as in " + eg
		}
	}
	return u.Scheme + "://" + u.Host + "/" + strings.Join(parts, "/"), "", ""
}

var containerName = regexp.MustCompile(`^(\$root|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$`)

// FormatDuration writes a duration as people do: 5m, not 5m0s. Reading it back returns the same duration.
func FormatDuration(d time.Duration) string { return duration(d) }

func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
