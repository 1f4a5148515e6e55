package dynamics

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// signIn is the page that a gateway answers with when the caller is not signed in: HTTP 200 and no GUID in it.
const signIn = `<!DOCTYPE html><html><head><title>Sign in to your account</title></head>` +
	`<body><form method="post" action="/common/login"></form></body></html>`

// serve carries out a fault, or the call itself when there is none.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, fault *Fault, do http.HandlerFunc) {
	if fault == nil {
		do(w, r)
		return
	}
	if fault.Delay > 0 && !wait(r.Context(), s.clock, time.Duration(fault.Delay)) {
		panic(http.ErrAbortHandler) // the client or the server went away meanwhile
	}
	switch fault.Act {
	case Delay, ImportEnds:
		do(w, r)
	case HTML:
		s.drain(r)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, signIn) // a client that is gone needs no answer
	case Answer:
		s.drain(r)
		s.say(w, fault)
	case Refuse:
		s.say(w, fault)
	case AnswerAfter:
		do(newAnswer(), r)
		s.say(w, fault)
	case Hang:
		s.drain(r)
		s.hang(w)
	case ResetBefore:
		s.reset(w)
	case ResetHalf:
		_, _ = io.CopyN(io.Discard, r.Body, max(r.ContentLength/2, 1)) // the reset follows whatever came
		s.reset(w)
	case ResetAfter:
		do(newAnswer(), r)
		s.reset(w)
	case HangAfter:
		do(newAnswer(), r)
		s.hang(w)
	case Truncate:
		a := newAnswer()
		do(a, r)
		if a.body.Len() == 0 { // an empty answer has no half
			s.reset(w)
			return
		}
		s.truncate(w, a)
	}
}

// say answers what the fault says.
func (s *Server) say(w http.ResponseWriter, fault *Fault) {
	fault.header(w.Header(), s.clock.Now())
	status := fault.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	body := fault.Body
	if body == "" && status == http.StatusTooManyRequests {
		body = throttled(w.Header().Get("Retry-After"))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that is gone needs no answer
}

// throttled is the text of a resource-based limit. Source: Microsoft Learn, service protection API limits.
func throttled(after string) string {
	if after == "" {
		after = "0"
	}
	return "This request could not be processed at this time due to system experiencing high resource utilization. " +
		"Retry the request after " + after + " seconds"
}

// drain reads the request to its end, so that the client has sent everything before it hears the answer.
func (s *Server) drain(r *http.Request) {
	// A client that breaks off does not hear the answer anyway.
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 4*s.options.MaxBody))
}

// hijack takes the connection from the HTTP server.
func (s *Server) hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // already broken: the client sees that either way
	}
	return conn
}

func (s *Server) reset(w http.ResponseWriter) { reset(s.hijack(w)) }

// hang keeps the connection, silent, until the client or the server goes.
func (s *Server) hang(w http.ResponseWriter) {
	conn := s.hijack(w)
	if !s.keepHanging(conn) {
		return
	}
	_, _ = io.Copy(io.Discard, conn) // ends when the client closes; its bytes are dropped
	s.release(conn)
}

// truncate sends the head and half the body of an answer.
func (s *Server) truncate(w http.ResponseWriter, a *answer) {
	conn := s.hijack(w)
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.code) + " " + http.StatusText(a.code) + "\r\n")
	a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	_ = a.header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	b.Write(a.body.Bytes()[:a.body.Len()/2])
	_, _ = conn.Write(b.Bytes())
	_ = conn.Close() // not a reset: the half must arrive; the missing rest is what breaks
}

// answer keeps an answer instead of sending it.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}, code: http.StatusOK} }

// Header is the header of the answer.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the status.
func (a *answer) WriteHeader(code int) { a.code = code }

// Write keeps the body.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
