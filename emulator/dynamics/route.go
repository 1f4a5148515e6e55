package dynamics

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
)

const (
	connectorPath = "/api/connector/"
	actionPath    = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
)

// maxAction bounds the body of an OData action or an acknowledgement.
const maxAction = 1 << 20

// A call is a request that has been understood as far as its addressing goes.
type call struct {
	target
	job      *job    // nil: no such activity
	rec      *record // the message it is about, for status calls
	id       string  // the message or execution ID it asks for
	download string  // the message a download wants
	raw      []byte  // the body of an ack
	plus     bool    // the query has a plus sign
	bad      bool    // the query or the body cannot be read: 400
}

// accept takes every request: it counts it, lets a fault strike it, and passes it on.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()

	if s.refused(r) {
		s.reset(w)
		return
	}
	if r.Header.Get("Cookie") != "" {
		s.cookies.Add(1)
	}
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, connectorPath):
		s.connector(w, r, path[len(connectorPath):])
	case strings.HasPrefix(path, actionPath):
		s.action(w, r, path[len(actionPath):])
	case s.control(w, r):
	default:
		s.identity(w, r, strings.Split(strings.TrimPrefix(path, "/"), "/"))
	}
}

// identity serves the Entra side.
func (s *Server) identity(w http.ResponseWriter, r *http.Request, parts []string) {
	tenant, rest := parts[0], strings.Join(parts[1:], "/")
	switch {
	case r.Method == http.MethodPost && (rest == "oauth2/v2.0/token" || rest == "oauth2/token"):
		s.calls[Token].Add(1)
		fault := s.faults.pick(target{op: Token}, false)
		s.serve(w, r, fault, func(w http.ResponseWriter, r *http.Request) {
			s.token(w, r, tenant, rest == "oauth2/token")
		})
	case r.Method == http.MethodGet && rest == "v2.0/.well-known/openid-configuration":
		s.serve(w, r, s.faults.pick(target{op: Token}, false), func(w http.ResponseWriter, r *http.Request) {
			s.discovery(w, r, tenant)
		})
	case r.Method == http.MethodGet && tenant == "common" && rest == "discovery/instance":
		s.instance(w, r)
	default:
		http.NotFound(w, r)
	}
}

// connector serves /api/connector/{operation}/{id}.
func (s *Server) connector(w http.ResponseWriter, r *http.Request, rest string) {
	name, id, _ := strings.Cut(rest, "/")
	c := &call{}
	var do func(http.ResponseWriter, *http.Request, *call)
	method := http.MethodGet
	switch name {
	case "enqueue":
		c.op, do, method = Enqueue, s.enqueue, http.MethodPost
	case "jobstatus":
		c.op, do = JobStatus, s.jobStatus
	case "dequeue":
		c.op, do = Dequeue, s.dequeue
	case "download":
		c.op, do = Download, s.fetch
	case "ack":
		c.op, do, method = Ack, s.ack, http.MethodPost
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != method {
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	}
	s.calls[c.op].Add(1)
	s.address(r, c, trimBraces(id))
	s.serve(w, r, s.faults.pick(c.target, false), func(w http.ResponseWriter, r *http.Request) {
		if s.admit(w, r, c) {
			do(w, r, c)
		}
	})
}

// address finds out what a connector call is about.
func (s *Server) address(r *http.Request, c *call, id string) {
	q, plus, err := query(r.URL.RawQuery)
	c.plus, c.bad = plus, err != nil
	c.entity, c.company, c.external = q.Get("entity"), q.Get("company"), r.Header.Get(externalHeader)
	c.id = q.Get("jobId")
	if c.op == Download {
		c.download = id
		c.job = s.exports.job(id)
	} else if u, err := uuid.Parse(id); err == nil {
		c.job = s.jobs[u]
		c.activity = u.String()
	}
	if c.op == JobStatus {
		c.about(s.imports.byMessage(c.id))
	}
	if c.op == Ack {
		c.raw, err = io.ReadAll(io.LimitReader(r.Body, maxAction))
		c.bad = c.bad || err != nil
	}
}

// about fills in what a call is about from the message it names.
func (c *call) about(r *record) {
	if r == nil {
		return
	}
	c.rec, c.entity, c.company, c.external, c.activity = r, r.entity, r.company, r.external, r.job.id.String()
}

// admit checks the bearer, then the activity, then the rights. Source: Microsoft Learn, recurring integrations and
// "Troubleshoot service authentication": 401 for a token that is missing, expired, for another audience or of a client
// that the job's authorization policy does not name; 403 for a user without rights.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, c *call) bool {
	g, ok := s.bearer(r)
	switch {
	case !ok:
		s.challenge(w)
		return false
	case c.bad:
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return false
	case c.job == nil || (c.op == Enqueue && c.job.Export) || ((c.op == Dequeue || c.op == Ack) && !c.job.Export):
		http.Error(w, "", http.StatusNotFound)
		return false
	case len(c.job.clients) > 0 && !c.job.clients[g.client]:
		unauthorized(w)
		return false
	case c.job.denied[g.client]:
		http.Error(w, "", http.StatusForbidden)
		return false
	}
	w.Header().Set("Set-Cookie", "ARRAffinity=node1; HttpOnly")
	return true
}

func (s *Server) bearer(r *http.Request) (grant, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return grant{}, false
	}
	g, ok := s.tokens.holder(s.clock.Now(), token)
	return g, ok && g.audience == origin(r)
}

// challenge refuses a token, and asks for one that is not older than now. Source: Microsoft Learn, "Claims challenges, claims
// requests and client capabilities".
func (s *Server) challenge(w http.ResponseWriter) {
	claims := fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, s.clock.Now().Unix())
	w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", `+
		`error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(claims))+`"`)
	w.WriteHeader(http.StatusUnauthorized)
}

// unauthorized refuses a client whose token is good.
func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate",
		`Bearer authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that is gone needs no answer
}

// braced is a path segment with the braces that F&O puts around GUIDs.
func braced(id string) string { return url.PathEscape("{" + id + "}") }
