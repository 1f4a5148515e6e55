package atom

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

// entry is one resource as it is sent.
type entry struct {
	path, title      string
	created, updated time.Time
	content          func(*writer)
}

func (c *call) queueEntry(q Queue) entry {
	return entry{q.Name, q.Name, q.Created, q.Updated, func(w *writer) { w.queue(q, c.host) }}
}

func (c *call) topicEntry(t Topic) entry {
	return entry{t.Name, t.Name, t.Created, t.Updated, func(w *writer) { w.topic(t) }}
}

func (c *call) subscriptionEntry(topic string, s Subscription) entry {
	return entry{entity.Path(topic, s.Name), s.Name, s.Created, s.Updated, func(w *writer) { w.subscription(s, c.host) }}
}

func (c *call) ruleEntry(topic, subscription string, r Rule) entry {
	return entry{entity.Path(topic, subscription) + "/Rules/" + r.Name, r.Name, r.Created, r.Created,
		func(w *writer) { w.rule(r) }}
}

// entry writes e; the outermost element declares the namespace.
func (w *writer) entry(c *call, author string, e entry, outermost bool) {
	var attributes []string
	if outermost {
		attributes = []string{"xmlns", atomSpace}
	}
	self := c.link(e.path, url.Values{"api-version": {c.query().Get("api-version")}})
	w.open("entry", attributes...)
	w.leaf("id", self)
	w.leaf("title", e.title, "type", "text")
	w.time("published", e.created)
	w.time("updated", e.updated)
	w.open("author")
	w.leaf("name", author)
	w.close("author")
	w.leaf("link", "", "rel", "self", "href", self)
	w.open("content", "type", "application/xml")
	e.content(w)
	w.close("content")
	w.close("entry")
}

func (h *handler) sendEntry(w http.ResponseWriter, c *call, status int, e entry) {
	x := &writer{}
	x.entry(c, h.manager.Namespace().Name, e, true)
	send(w, status, "entry", x.bytes())
}

// sendFeed sends one page of a list.
func (h *handler) sendFeed(w http.ResponseWriter, c *call, title string, all []entry) error {
	skip, top, err := c.page()
	if err != nil {
		return err
	}
	from := min(skip, len(all))
	to := min(from+top, len(all))
	x := &writer{}
	x.open("feed", "xmlns", atomSpace)
	x.leaf("title", title, "type", "text")
	x.leaf("id", c.link(c.path(), c.query()))
	x.time("updated", h.manager.Namespace().Modified)
	x.leaf("link", "", "rel", "self", "href", c.link(c.path(), c.query()))
	if to < len(all) && top > 0 {
		next := c.query()
		next.Set("$skip", strconv.Itoa(to))
		next.Set("$top", strconv.Itoa(top))
		x.leaf("link", "", "rel", "next", "href", c.link(c.path(), next))
	}
	name := h.manager.Namespace().Name
	for _, e := range all[from:to] {
		x.entry(c, name, e, false)
	}
	x.close("feed")
	send(w, http.StatusOK, "feed", x.bytes())
	return nil
}

func (h *handler) get(w http.ResponseWriter, c *call) error {
	switch c.kind {
	case kindNamespace:
		h.sendEntry(w, c, http.StatusOK, namespaceEntry(h.manager.Namespace()))
		return nil
	case kindEntity:
		return h.getEntity(w, c)
	case kindSubscription:
		s, err := h.manager.Subscription(c.name, c.subscription)
		if err != nil {
			return err
		}
		h.sendEntry(w, c, http.StatusOK, c.subscriptionEntry(c.name, s))
		return nil
	case kindRule:
		r, err := h.manager.Rule(c.name, c.subscription, c.rule)
		if err != nil {
			return err
		}
		h.sendEntry(w, c, http.StatusOK, c.ruleEntry(c.name, c.subscription, r))
		return nil
	}
	return h.list(w, c)
}

func (h *handler) getEntity(w http.ResponseWriter, c *call) error {
	q, err := h.manager.Queue(c.name)
	if err == nil {
		h.sendEntry(w, c, http.StatusOK, c.queueEntry(q))
		return nil
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	t, err := h.manager.Topic(c.name)
	if err == nil {
		h.sendEntry(w, c, http.StatusOK, c.topicEntry(t))
		return nil
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	// What is not there is a public list without entries: the clients know.
	return h.sendFeed(w, c, "Publicly Listed Services", nil)
}

func (h *handler) list(w http.ResponseWriter, c *call) error {
	switch c.kind {
	case listQueues:
		return h.sendFeed(w, c, "Queues", entries(h.manager.Queues(), c.queueEntry))
	case listTopics:
		return h.sendFeed(w, c, "Topics", entries(h.manager.Topics(), c.topicEntry))
	case listSubscriptions:
		all, err := h.manager.Subscriptions(c.name)
		if err != nil {
			return err
		}
		return h.sendFeed(w, c, "Subscriptions", entries(all,
			func(s Subscription) entry { return c.subscriptionEntry(c.name, s) }))
	}
	all, err := h.manager.Rules(c.name, c.subscription)
	if err != nil {
		return err
	}
	return h.sendFeed(w, c, "Rules", entries(all, func(r Rule) entry { return c.ruleEntry(c.name, c.subscription, r) }))
}

func entries[T any](all []T, of func(T) entry) []entry {
	out := make([]entry, len(all))
	for i, v := range all {
		out[i] = of(v)
	}
	return out
}

func namespaceEntry(n Namespace) entry {
	return entry{"$namespaceinfo", n.Name, n.Created, n.Modified, func(w *writer) {
		w.description("NamespaceInfo")
		w.time("CreatedTime", n.Created)
		w.leaf("MessagingSKU", "Standard")
		w.time("ModifiedTime", n.Modified)
		w.leaf("Name", n.Name)
		w.leaf("NamespaceType", "Messaging")
		w.close("NamespaceInfo")
	}}
}
