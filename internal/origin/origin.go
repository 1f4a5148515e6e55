// Package origin holds what scheme and host of an address say: whether it may be called, and how it is written.
package origin

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Safe reports whether a call to u keeps its secrets: over TLS, or to this machine.
func Safe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname())
}

// Loopback reports whether host is this machine.
func Loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}

// Of returns scheme and host of u in one spelling: the host in lower case, without a default port.
func Of(u *url.URL) *url.URL {
	host := strings.ToLower(u.Hostname())
	o := &url.URL{Scheme: u.Scheme, Host: host}
	if strings.Contains(host, ":") { // IPv6
		o.Host = "[" + host + "]"
	}
	if p := u.Port(); p != "" && (u.Scheme != "https" || p != "443") && (u.Scheme != "http" || p != "80") {
		o.Host = net.JoinHostPort(host, p)
	}
	return o
}
