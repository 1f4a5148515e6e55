package dynamics

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	dialTimeout     = 10 * time.Second // also of the TLS handshake
	idleConnTimeout = 60 * time.Second // below the 120 s of IIS and the 240 s of Azure's load balancers: we close first
	continueTimeout = 2 * time.Second  // how long an upload waits for "100 Continue" before it goes on without
	maxIdleConns    = 32
	maxHeaderBytes  = 64 << 10
	keepAlive       = 30 * time.Second
)

// NewTransport returns the transport that Options.Transport defaults to; wrap it for tracing.
//
// HTTP/1.1 only, on purpose: a connection then carries one call, so that a connection that breaks leaves one outcome
// unknown and not those of all uploads in flight. The proxy settings of the environment (HTTPS_PROXY, NO_PROXY) hold.
func NewTransport() *http.Transport {
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: onProxyConnect,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		IdleConnTimeout:        idleConnTimeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              &http1,
	}
}

// A proxyError says that a proxy refused to connect us. net/http gives only its text, hence this type.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("proxy answered CONNECT with HTTP %d", e.status)
}

func onProxyConnect(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyError{answer.StatusCode}
	}
	return nil
}
