package userconfig

import (
	"time"

	"fnobridge/emulator/servicebus/entity"
)

// Defaults of Microsoft's emulator where they are not Azure's.
const (
	defaultTimeToLive      = time.Hour
	defaultMaxDelivery     = 3
	defaultDuplicateWindow = 20 * time.Second
)

// place of something that is referred to, or refers to something.
type reference struct {
	n    *node
	name string
}

// names checks that no name is taken twice.
type names map[string]bool

func (r *reader) namespace(o *object) entity.Namespace {
	var n entity.Namespace
	n.Name = o.name()
	o.pass("Properties") // MaxAllowedConnections and the like
	o.flag("Faults", &r.faults)
	taken := names{}
	var targets []reference
	for _, e := range o.list("Queues") {
		q, refs := r.queue(r.object(e), taken)
		n.Queues, targets = append(n.Queues, q), append(targets, refs...)
	}
	for _, e := range o.list("Topics") {
		t, refs := r.topic(r.object(e), taken)
		n.Topics, targets = append(n.Topics, t), append(targets, refs...)
	}
	for _, t := range targets {
		if !taken[entity.Key(t.name)] {
			r.failf(t.n.at, t.n.path, "there is no queue or topic %q", t.name)
		}
	}
	n.AuthorizationRules = r.authorization(o)
	o.done()
	return n
}

// claim takes a name; it complains when it is taken, not when it is no name.
func (o *object) claim(name string, taken names) {
	if name == "" {
		return
	}
	if taken[entity.Key(name)] {
		n := o.get("Name")
		o.r.failf(n.at, n.path, "the name %q is taken already", name)
	}
	taken[entity.Key(name)] = true
}

// properties is the member Properties, or an object without members.
func (o *object) properties() *object {
	if p := o.child("Properties"); p != nil {
		return p
	}
	return o.r.object(&node{at: o.n.at, path: o.n.path, value: []member{}})
}

func (r *reader) queue(o *object, taken names) (entity.QueueDescription, []reference) {
	q := entity.NewQueue(o.name())
	o.claim(q.Name, taken)
	p := o.properties()
	q.DefaultMessageTimeToLive, q.MaxDeliveryCount, q.DuplicateDetectionHistoryTimeWindow = defaultTimeToLive,
		defaultMaxDelivery, defaultDuplicateWindow
	p.settings(&q.Settings)
	p.storage(&q.Storage)
	refs := p.delivery(&q.Delivery)
	p.done()
	o.done()
	o.validate(q.Name, q.Validate(), p)
	return q, refs
}

// validate reports what entity finds wrong; without a name it would only repeat that.
func (o *object) validate(name string, err error, properties *object) {
	if name != "" || o.members["name"] != nil {
		o.problems(err, properties)
		return
	}
	var rest []error
	for _, p := range entity.Problems(err) {
		if p.Property != "Name" {
			rest = append(rest, p)
		}
	}
	for _, err := range rest {
		o.problems(err, properties)
	}
}

func (r *reader) topic(o *object, taken names) (entity.TopicDescription, []reference) {
	t := entity.NewTopic(o.name())
	o.claim(t.Name, taken)
	p := o.properties()
	t.DefaultMessageTimeToLive, t.DuplicateDetectionHistoryTimeWindow = defaultTimeToLive, defaultDuplicateWindow
	p.settings(&t.Settings)
	p.storage(&t.Storage)
	p.flag("FilteringMessagesBeforePublishing", &t.FilteringMessagesBeforePublishing)
	p.flag("EnableSubscriptionPartitioning", &t.EnableSubscriptionPartitioning)
	p.done()
	var refs []reference
	subscriptions := names{}
	var all []entity.SubscriptionDescription
	for _, e := range o.list("Subscriptions") {
		s, more := r.subscription(r.object(e), subscriptions, t.Name)
		all, refs = append(all, s), append(refs, more...)
	}
	o.done()
	o.validate(t.Name, t.Validate(), p) // before it has its subscriptions, which are checked one by one
	t.Subscriptions = all
	return t, refs
}

func (r *reader) subscription(o *object, taken names, topic string) (entity.SubscriptionDescription, []reference) {
	s := entity.NewSubscription(o.name())
	o.claim(s.Name, taken)
	p := o.properties()
	s.DefaultMessageTimeToLive, s.MaxDeliveryCount = defaultTimeToLive, defaultMaxDelivery
	p.settings(&s.Settings)
	refs := p.delivery(&s.Delivery)
	p.flag("DeadLetteringOnFilterEvaluationExceptions", &s.DeadLetteringOnFilterEvaluationExceptions)
	p.pass("ClientAffineProperties", "IsClientAffine", "DuplicateDetectionHistoryTimeWindow", "RequiresDuplicateDetection")
	p.done()
	var all []entity.RuleDescription
	rules := names{}
	for _, e := range o.list("Rules") {
		all = append(all, r.rule(r.object(e), rules))
	}
	o.done()
	o.validate(s.Name, s.Validate(), p)
	for _, ref := range refs {
		if entity.Key(ref.name) == entity.Key(topic) {
			r.failf(ref.n.at, ref.n.path, "must not be the topic of the subscription")
		}
	}
	if len(all) > 0 { // an empty list, like none, leaves the rule that lets everything in
		s.Rules = all
	}
	return s, refs
}

func (o *object) settings(s *entity.Settings) {
	o.span("DefaultMessageTimeToLive", &s.DefaultMessageTimeToLive)
	o.span("AutoDeleteOnIdle", &s.AutoDeleteOnIdle)
	o.flag("EnableBatchedOperations", &s.EnableBatchedOperations)
	o.text("UserMetadata", &s.UserMetadata)
	status := string(s.Status)
	o.one("Status", &status, string(entity.Active), string(entity.Disabled), string(entity.SendDisabled),
		string(entity.ReceiveDisabled))
	s.Status = entity.Status(status)
}

func (o *object) storage(s *entity.Storage) {
	o.number("MaxSizeInMegabytes", &s.MaxSizeInMegabytes)
	o.number("MaxMessageSizeInKilobytes", &s.MaxMessageSizeInKilobytes)
	o.flag("RequiresDuplicateDetection", &s.RequiresDuplicateDetection)
	o.span("DuplicateDetectionHistoryTimeWindow", &s.DuplicateDetectionHistoryTimeWindow)
	o.flag("EnablePartitioning", &s.EnablePartitioning)
	o.flag("EnableExpress", &s.EnableExpress)
	o.flag("SupportOrdering", &s.SupportOrdering)
}

// delivery returns the names of entities that are forwarded to.
func (o *object) delivery(d *entity.Delivery) []reference {
	o.span("LockDuration", &d.LockDuration)
	o.flag("RequiresSession", &d.RequiresSession)
	o.number("MaxDeliveryCount", &d.MaxDeliveryCount)
	o.flag("DeadLetteringOnMessageExpiration", &d.DeadLetteringOnMessageExpiration)
	var refs []reference
	forward := func(name string, to *string) {
		if o.text(name, to) && *to != "" {
			refs = append(refs, reference{o.get(name), *to})
		}
	}
	forward("ForwardTo", &d.ForwardTo)
	forward("ForwardDeadLetteredMessagesTo", &d.ForwardDeadLetteredMessagesTo)
	return refs
}

func (r *reader) authorization(o *object) []entity.AuthorizationRule {
	n := o.get("AuthorizationRules")
	if n == nil {
		return []entity.AuthorizationRule{entity.RootRule()}
	}
	all := o.list("AuthorizationRules")
	if _, ok := n.value.([]*node); ok && len(all) == 0 {
		r.failf(n.at, n.path, "must hold a rule, or nobody could connect")
	}
	if len(all) > entity.MaxAuthorizationRules {
		r.failf(n.at, n.path, "must hold at most %d rules, holds %d", entity.MaxAuthorizationRules, len(all))
	}
	var rules []entity.AuthorizationRule
	seen := map[string]bool{}
	for _, e := range all {
		a := r.object(e)
		rule := entity.AuthorizationRule{Name: a.name()}
		a.text("Key", &rule.Key)
		for _, right := range a.list("Rights") {
			s, ok := right.value.(string)
			if !ok {
				r.failf(right.at, right.path, "must be a text, is %s", kindOf(right))
				continue
			}
			rule.Rights = append(rule.Rights, entity.Right(s))
		}
		a.done()
		a.validate(rule.Name, rule.Validate(), nil)
		if rule.Name != "" && seen[rule.Name] {
			name := a.get("Name")
			r.failf(name.at, name.path, "the name %q is taken already", rule.Name)
		}
		seen[rule.Name] = true
		rules = append(rules, rule)
	}
	return rules
}
