package servicebus

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"fnobridge/emulator/servicebus/amqp"
	"fnobridge/emulator/servicebus/atom"
	"fnobridge/emulator/servicebus/entity"
)

// claims are the rights a connection has shown tokens for, and its $cbs node.
// Source: Microsoft Learn, service-bus-amqp-protocol-guide, claims-based security.
type claims struct {
	s    *Server
	conn *conn

	mu     sync.Mutex
	closed bool
	all    map[string]claim // by lower-case entity path, "" for the namespace
	end    *time.Timer      // of the next claim to expire
}

// watch sets the timer for the next claim to expire. Callers hold mu.
func (c *claims) watch() {
	var next time.Time
	now := time.Now()
	for _, cl := range c.all {
		if cl.until.After(now) && (next.IsZero() || cl.until.Before(next)) {
			next = cl.until
		}
	}
	if c.end != nil && c.end.Stop() {
		c.s.running.Done()
	}
	c.end = nil
	if next.IsZero() || c.closed {
		return
	}
	c.s.running.Add(1)
	c.end = time.AfterFunc(next.Sub(now), func() {
		defer c.s.running.Done()
		c.expired()
	})
}

// expired detaches the links whose claim has ended.
func (c *claims) expired() {
	for _, l := range c.conn.find("", "") {
		right := entity.Send
		if _, ok := l.(*outLink); ok {
			right = entity.Listen
		}
		if err := c.check(l.where(), right); err != nil {
			l.force(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = nil
	c.watch()
}

// close stops the timer.
func (c *claims) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.watch()
}

type claim struct {
	rule  entity.AuthorizationRule
	until time.Time // zero: no end
}

// request is the put-token operation.
func (c *claims) request(r *request) {
	if r.operation != "put-token" {
		r.respond(400, "Unknown operation '"+r.operation+"'.", amqp.NotImplemented, nil)
		return
	}
	token, _ := amqp.Text(r.body)
	audience := entityPath(r.properties.String("name"))
	r.in.s.c.perform(act{
		op: OpToken, address: audience, mute: func() { r.muted = true },
		run: func() *amqp.Error { c.putToken(r, token, audience); return nil },
		answer: func(err *amqp.Error) {
			if err != nil {
				r.fail(err)
			}
		},
	})
}

func (c *claims) putToken(r *request, token, audience string) {
	var cl claim
	switch kind := r.properties.String("type"); kind {
	case "jwt":
		// Tokens of an identity provider are not verified: there is no provider to ask.
		cl = claim{rule: entity.AuthorizationRule{Name: "jwt",
			Rights: []entity.Right{entity.Manage, entity.Send, entity.Listen}}}
	case "servicebus.windows.net:sastoken":
		var err error
		if cl, err = c.s.checkSAS(token, audience); err != nil {
			r.respond(401, err.Error(), amqp.UnauthorizedAccess, nil)
			return
		}
	default:
		r.respond(400, "Unknown token type '"+kind+"'.", amqp.InvalidField, nil)
		return
	}
	if audience != "" && !c.s.broker.Exists(audience) {
		r.respond(404, fmt.Sprintf("The messaging entity '%s' could not be found.", audience), amqp.NotFound, nil)
		return
	}
	c.put(audience, cl)
	r.respond(202, "Accepted", "", nil)
}

func (c *claims) put(path string, cl claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]claim{}
	}
	c.all[strings.ToLower(path)] = cl
	c.watch()
}

// plain checks the SASL PLAIN response: NUL name NUL key.
func (c *claims) plain(initial []byte) bool {
	parts := bytes.Split(initial, []byte{0})
	if len(parts) != 3 {
		return false
	}
	for _, r := range c.s.broker.Keys("") {
		if r.Name == string(parts[1]) && hmac.Equal([]byte(r.Key), parts[2]) {
			c.put("", claim{rule: r})
			return true
		}
	}
	return false
}

// check refuses an attach to address without a live claim for right; no right means any.
func (c *claims) check(address string, right entity.Right) *amqp.Error {
	now := time.Now() // tokens follow the machine's clock: clients issue them by theirs
	c.mu.Lock()
	defer c.mu.Unlock()
	expired := false
	for path := strings.ToLower(address); ; {
		if cl, ok := c.all[path]; ok {
			if !cl.until.IsZero() && !cl.until.After(now) {
				expired = true
			} else if right == "" || cl.rule.Allows(right) {
				return nil
			}
		}
		if path == "" {
			break
		}
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
	if expired {
		return amqp.Errorf(amqp.UnauthorizedAccess, "ExpiredToken: The token is expired.")
	}
	return amqp.Errorf(amqp.UnauthorizedAccess,
		"Unauthorized access. '%s' claim(s) are required to perform this operation. Resource: '%s'.", right, address)
}

// checkSAS verifies a shared access signature for an entity path.
func (s *Server) checkSAS(token, path string) (claim, error) {
	rest, ok := strings.CutPrefix(token, "SharedAccessSignature ")
	if !ok {
		return claim{}, fmt.Errorf("InvalidSignature: The token is not a shared access signature")
	}
	field := map[string]string{}
	for part := range strings.SplitSeq(rest, "&") {
		k, v, _ := strings.Cut(part, "=")
		field[k] = v
	}
	name, err1 := url.QueryUnescape(field["skn"])
	sig, err2 := url.QueryUnescape(field["sig"])
	resource, err3 := url.QueryUnescape(field["sr"])
	seconds, err4 := strconv.ParseInt(field["se"], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return claim{}, fmt.Errorf("InvalidSignature: The token is malformed")
	}
	if scope := resourcePath(resource); !within(scope, path) {
		return claim{}, fmt.Errorf("InvalidAudience: The token is for '%s', not for '%s'", scope, path)
	}
	for _, r := range s.broker.Keys(path) {
		if r.Name != name {
			continue
		}
		for _, key := range []string{r.Key, r.SecondaryKey} {
			if key == "" {
				continue
			}
			mac := hmac.New(sha256.New, []byte(key))
			mac.Write([]byte(field["sr"] + "\n" + field["se"]))
			if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(sig)) {
				continue
			}
			until := time.Unix(seconds, 0)
			if !until.After(time.Now()) {
				return claim{}, fmt.Errorf("ExpiredToken: The token is expired. Expiration time: %s",
					until.UTC().Format(time.RFC3339))
			}
			return claim{rule: r, until: until}, nil
		}
	}
	return claim{}, fmt.Errorf("InvalidSignature: The token has an invalid signature")
}

// resourcePath is the entity path of a signed resource: a URL, or host and path.
func resourcePath(resource string) string {
	resource, _, _ = strings.Cut(resource, "?")
	if !strings.Contains(resource, "://") {
		resource = "sb://" + resource
	}
	return entityPath(resource)
}

// within reports whether path is scope or lies in it.
func within(scope, path string) bool {
	scope, path = strings.ToLower(scope), strings.ToLower(path)
	return scope == "" || path == scope || strings.HasPrefix(path, scope+"/")
}

// Authorize implements atom.Authorizer.
func (s *Server) Authorize(authorization, path string) error {
	if authorization == "" {
		return fmt.Errorf("MissingToken: The request has no Authorization header")
	}
	if !strings.HasPrefix(authorization, "SharedAccessSignature ") {
		return nil // as jwt above; the Go client sends it without a scheme
	}
	cl, err := s.checkSAS(authorization, path)
	switch {
	case err != nil:
		return err
	case !cl.rule.Allows(entity.Manage):
		return atom.ErrForbidden
	}
	return nil
}
