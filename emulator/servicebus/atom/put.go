package atom

import (
	"net/http"

	"fnobridge/emulator/servicebus/entity"
)

// put creates or, with If-Match, updates a resource.
func (h *handler) put(w http.ResponseWriter, c *call) error {
	e, err := c.body()
	if err != nil {
		return err
	}
	wanted := map[kind]string{kindSubscription: "SubscriptionDescription", kindRule: "RuleDescription"}[c.kind]
	if wanted == "" && e.name != "QueueDescription" {
		wanted = "TopicDescription"
	}
	if wanted != "" && e.name != wanted {
		return badRequest("The content of the request must be a %s, is a %s.", wanted, e.name)
	}
	var answer entry
	switch e.name {
	case "QueueDescription":
		answer, err = h.putQueue(c, e)
	case "TopicDescription":
		answer, err = h.putTopic(c, e)
	case "SubscriptionDescription":
		answer, err = h.putSubscription(c, e)
	default:
		answer, err = h.putRule(c, e)
	}
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if c.updating() {
		status = http.StatusOK
	}
	h.sendEntry(w, c, status, answer)
	return nil
}

func (h *handler) putQueue(c *call, e *element) (entry, error) {
	var old *entity.QueueDescription
	store := h.manager.CreateQueue
	if c.updating() {
		q, err := h.manager.Queue(c.name)
		if err != nil {
			return entry{}, err
		}
		old, store = &q.QueueDescription, h.manager.UpdateQueue
	}
	d, err := readQueue(e, c.name, old)
	if err == nil {
		err = h.targets(d.Delivery)
	}
	if err == nil {
		err = store(d)
	}
	if err != nil {
		return entry{}, err
	}
	q, err := h.manager.Queue(c.name)
	return c.queueEntry(q), err
}

func (h *handler) putTopic(c *call, e *element) (entry, error) {
	var old *entity.TopicDescription
	store := h.manager.CreateTopic
	if c.updating() {
		t, err := h.manager.Topic(c.name)
		if err != nil {
			return entry{}, err
		}
		old, store = &t.TopicDescription, h.manager.UpdateTopic
	}
	d, err := readTopic(e, c.name, old)
	if err == nil {
		err = store(d)
	}
	if err != nil {
		return entry{}, err
	}
	t, err := h.manager.Topic(c.name)
	return c.topicEntry(t), err
}

func (h *handler) putSubscription(c *call, e *element) (entry, error) {
	var old *entity.SubscriptionDescription
	store := h.manager.CreateSubscription
	if c.updating() {
		s, err := h.manager.Subscription(c.name, c.subscription)
		if err != nil {
			return entry{}, err
		}
		old, store = &s.SubscriptionDescription, h.manager.UpdateSubscription
	}
	d, err := readSubscription(e, c.subscription, old)
	if err == nil {
		err = h.targets(d.Delivery)
	}
	if err == nil {
		err = store(c.name, d)
	}
	if err != nil {
		return entry{}, err
	}
	s, err := h.manager.Subscription(c.name, c.subscription)
	return c.subscriptionEntry(c.name, s), err
}

func (h *handler) putRule(c *call, e *element) (entry, error) {
	name, store := c.rule, h.manager.CreateRule
	if c.updating() {
		r, err := h.manager.Rule(c.name, c.subscription, c.rule)
		if err != nil {
			return entry{}, err
		}
		name, store = r.Name, h.manager.UpdateRule
	}
	d, err := readRule(e, name)
	if err == nil {
		err = store(c.name, c.subscription, d)
	}
	if err != nil {
		return entry{}, err
	}
	r, err := h.manager.Rule(c.name, c.subscription, name)
	return c.ruleEntry(c.name, c.subscription, r), err
}

// targets checks that what is forwarded to exists.
func (h *handler) targets(d entity.Delivery) error {
	var errs []error
	check := func(property, name string) {
		if name != "" && !h.exists(name) {
			errs = append(errs, badRequest("The auto-forwarding destination '%s' of %s does not exist.", name, property))
		}
	}
	check("ForwardTo", d.ForwardTo)
	check("ForwardDeadLetteredMessagesTo", d.ForwardDeadLetteredMessagesTo)
	return together(errs)
}
