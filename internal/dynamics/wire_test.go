package dynamics

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fnobridge/internal/failure"
)

// rawServer accepts connections and gives each to handle, which may do to it what a server never would.
func rawServer(t *testing.T, handle func(net.Conn, *http.Request)) *Environment {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				handle(c, r)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return newEnvironment(t, Options{URL: "http://" + l.Addr().String()})
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func goOn(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") }

func TestWhatABreakOnTheWireMeans(t *testing.T) {
	const big = 48 << 20 // more than all the buffers between here and there
	rows := []struct {
		name    string
		size    int
		handle  func(net.Conn, *http.Request)
		verdict failure.Verdict
		reason  failure.Reason
	}{
		{"reset before the body", 10, func(c net.Conn, _ *http.Request) { reset(c) }, failure.Retry, failure.ConnectionBroken},
		{"closed before the body", 10, func(net.Conn, *http.Request) {}, failure.Retry, failure.ConnectionBroken},
		{"reset in the middle of the body", big, func(c net.Conn, r *http.Request) {
			goOn(c)
			_, _ = io.CopyN(io.Discard, r.Body, big/4)
			reset(c)
		}, failure.Retry, failure.ConnectionBroken},
		{"reset after the body", 10, func(c net.Conn, r *http.Request) {
			goOn(c)
			_, _ = io.Copy(io.Discard, r.Body)
			reset(c)
		}, failure.Unknown, failure.UnknownOutcome},
		{"closed after the body", big, func(c net.Conn, r *http.Request) {
			goOn(c)
			_, _ = io.Copy(io.Discard, r.Body)
		}, failure.Unknown, failure.UnknownOutcome},
		{"answer cut off", 10, func(c net.Conn, r *http.Request) {
			goOn(c)
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n\"7b0e")
		}, failure.Unknown, failure.UnknownOutcome},
		{"not HTTP", 10, func(c net.Conn, r *http.Request) {
			goOn(c)
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
		}, failure.Unknown, failure.UnknownOutcome},
		{"refused before the body", big, func(c net.Conn, _ *http.Request) {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}, failure.Reject, failure.PayloadTooLarge},
		{"no body, reset", 0, func(c net.Conn, _ *http.Request) { reset(c) }, failure.Unknown, failure.UnknownOutcome},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			e := rawServer(t, r.handle)
			f, _ := aFile(strings.Repeat("x", r.size))
			_, err := e.Enqueue(t.Context(), f)
			failed(t, err, r.verdict, r.reason)
		})
	}
}

func TestADeadKeptConnectionIsNoUnknownOutcome(t *testing.T) {
	var connections atomic.Int64
	e := rawServer(t, func(c net.Conn, r *http.Request) {
		connections.Add(1)
		goOn(c)
		_, _ = io.Copy(io.Discard, r.Body)
		body := `"` + aMessageID + `"`
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		// Says keep-alive and then hangs up: the next request on this connection goes nowhere.
	})
	f, _ := aFile("x")
	for range 20 {
		if _, err := e.Enqueue(t.Context(), f); err != nil {
			failed(t, err, failure.Retry, failure.ConnectionBroken)
		}
	}
	if connections.Load() < 10 {
		t.Errorf("%d connections: this server closes every one", connections.Load())
	}
}
