package atom

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxBody bounds a request; descriptions are a few kilobytes.
const maxBody = 256 << 10

// pageSize is how many entries a list returns when the client does not say.
const pageSize = 100

// handler serves the administration API.
type handler struct {
	manager Manager
	auth    Authorizer
}

// NewHandler returns the administration API of a namespace.
func NewHandler(m Manager, a Authorizer) http.Handler { return &handler{m, a} }

// call is one request: which resource, and the parts of its path.
type call struct {
	*http.Request
	host                     string // as the client names the namespace
	kind                     kind
	name, subscription, rule string
}

type kind uint8

const (
	kindEntity kind = iota // queue or topic
	kindSubscription
	kindRule
	listQueues
	listTopics
	listSubscriptions
	listRules
	kindNamespace
)

// path is the resource as it is named in errors.
func (c *call) path() string { return strings.Trim(c.URL.Path, "/") }

// resolve finds out what a path means. Topic names may hold slashes, so the words Subscriptions and Rules are looked
// for from the end.
func resolve(r *http.Request) *call {
	c := &call{Request: r, host: r.Host, name: strings.Trim(r.URL.Path, "/")}
	switch strings.ToLower(c.name) {
	case "$namespaceinfo":
		c.kind = kindNamespace
		return c
	case "$resources/queues":
		c.kind = listQueues
		return c
	case "$resources/topics":
		c.kind = listTopics
		return c
	}
	parts := strings.Split(c.name, "/")
	is := func(fromEnd int, word string) bool {
		return len(parts) > fromEnd && strings.EqualFold(parts[len(parts)-fromEnd], word)
	}
	n := len(parts)
	switch {
	case is(4, "Subscriptions") && is(2, "Rules"):
		c.kind, c.name, c.subscription, c.rule = kindRule, strings.Join(parts[:n-4], "/"), parts[n-3], parts[n-1]
	case is(3, "Subscriptions") && is(1, "Rules"):
		c.kind, c.name, c.subscription = listRules, strings.Join(parts[:n-3], "/"), parts[n-2]
	case is(2, "Subscriptions"):
		c.kind, c.name, c.subscription = kindSubscription, strings.Join(parts[:n-2], "/"), parts[n-1]
	case is(1, "Subscriptions"):
		c.kind, c.name = listSubscriptions, strings.Join(parts[:n-1], "/")
	}
	return c
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := resolve(r)
	if err := h.serve(w, c); err != nil {
		refusalOf(err, c.path()).write(w)
	}
}

func (h *handler) serve(w http.ResponseWriter, c *call) error {
	single := c.kind == kindEntity || c.kind == kindSubscription || c.kind == kindRule
	switch {
	case c.Method == http.MethodGet:
	case single && (c.Method == http.MethodPut || c.Method == http.MethodDelete):
	default:
		w.Header().Set("Allow", "GET, PUT, DELETE")
		return refuse(http.StatusMethodNotAllowed, "The method %s is not supported for this resource.", c.Method)
	}
	if err := h.authorize(c); err != nil {
		return err
	}
	switch c.Method {
	case http.MethodPut:
		return h.put(w, c)
	case http.MethodDelete:
		return h.delete(w, c)
	}
	return h.get(w, c)
}

// authorize refuses with the texts of the service. It has two generations of them: one for entities, one for what
// belongs to topics.
func (h *handler) authorize(c *call) error {
	err := h.auth.Authorize(c.Header.Get("Authorization"), c.path())
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrForbidden) {
		return refuse(http.StatusUnauthorized, "%v", err)
	}
	if c.kind == kindEntity && c.Method == http.MethodGet && !h.exists(c.name) {
		return nil // the service tells everybody what does not exist
	}
	if operation := c.operation(); operation != "" {
		return refuse(http.StatusUnauthorized,
			"401 SubCode=40100: Unauthorized : Unauthorized access for '%s' operation on endpoint 'sb://%s/%s'.", operation,
			c.host, c.path())
	}
	switch c.Method {
	case http.MethodPut:
		return refuse(http.StatusUnauthorized, "Authorization failed for specified action: Manage,EntityWrite.")
	case http.MethodDelete:
		return refuse(http.StatusUnauthorized, "Authorization failed for specified action: Manage,EntityDelete.")
	}
	return refuse(http.StatusUnauthorized, "Manage,EntityRead claims required for this operation.")
}

// operation names what is done to a subscription or rule; "" for other resources.
func (c *call) operation() string {
	noun := "Subscription"
	switch c.kind {
	case listSubscriptions:
		return "EnumerateSubscriptions"
	case listRules:
		return "EnumerateRules"
	case kindSubscription:
	case kindRule:
		noun = "Rule"
	default:
		return ""
	}
	switch c.Method {
	case http.MethodPut:
		return "CreateOrUpdate" + noun
	case http.MethodDelete:
		return "Delete" + noun
	}
	return "Get" + noun
}

func (h *handler) exists(name string) bool {
	if _, err := h.manager.Queue(name); err == nil {
		return true
	}
	_, err := h.manager.Topic(name)
	return err == nil
}

func (h *handler) delete(w http.ResponseWriter, c *call) error {
	var err error
	switch c.kind {
	case kindEntity:
		err = h.manager.Delete(c.name)
	case kindSubscription:
		err = h.manager.DeleteSubscription(c.name, c.subscription)
	default:
		err = h.manager.DeleteRule(c.name, c.subscription, c.rule)
	}
	if err == nil {
		w.WriteHeader(http.StatusOK)
	}
	return err
}

// body reads the description of that name out of the request.
func (c *call) body() (*element, error) {
	raw, err := io.ReadAll(io.LimitReader(c.Body, maxBody+1))
	if err != nil {
		return nil, badRequest("The request body cannot be read: %v", err)
	}
	if len(raw) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", maxBody)
	}
	return content(raw)
}

// content is the description inside an entry.
func content(raw []byte) (*element, error) {
	top, err := parse(raw)
	if err != nil {
		return nil, err
	}
	in := top.child("content")
	if top.name != "entry" || in == nil || len(in.children) != 1 {
		return nil, badRequest("The request body must be an ATOM entry with one description as its content.")
	}
	return in.children[0], nil
}

// updating reports whether the client wants to change what exists.
func (c *call) updating() bool { return c.Header.Get("If-Match") != "" }

// page are $skip and $top.
func (c *call) page() (skip, top int, err error) {
	read := func(name string, to *int) {
		if s := c.query().Get(name); s != "" && err == nil {
			n, bad := strconv.Atoi(s)
			if bad != nil || n < 0 {
				err = badRequest("The value %q for %s is not valid.", s, name)
				return
			}
			*to = n
		}
	}
	top = pageSize
	read("$skip", &skip)
	read("$top", &top)
	return skip, top, err
}

func (c *call) query() url.Values { return c.URL.Query() }

// link is the URL of a resource of this namespace.
func (c *call) link(path string, query url.Values) string {
	u := url.URL{Scheme: "https", Host: c.host, Path: "/" + path, RawQuery: query.Encode()}
	return u.String()
}

func send(w http.ResponseWriter, status int, typ string, body []byte) {
	w.Header().Set("Content-Type", fmt.Sprintf("application/atom+xml;type=%s;charset=utf-8", typ))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; nobody else needs to know
}
