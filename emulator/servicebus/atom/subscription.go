package atom

import (
	"cmp"

	"fnobridge/emulator/servicebus/entity"
)

// readSubscription makes a subscription of a request, like readQueue. A new one has the default rule that the request
// describes, or $Default.
func readSubscription(e *element, name string,
	old *entity.SubscriptionDescription) (entity.SubscriptionDescription, error) {
	s := entity.NewSubscription(name)
	if old != nil {
		s.Name, s.Rules = old.Name, nil
		s.RequiresSession = old.RequiresSession
	}
	r := &reader{e: e}
	r.settings(&s.Settings)
	r.delivery(&s.Delivery)
	r.flag("DeadLetteringOnFilterEvaluationExceptions", &s.DeadLetteringOnFilterEvaluationExceptions)
	if old != nil && s.RequiresSession != old.RequiresSession {
		r.errs = append(r.errs, badRequest(
			"The value for the RequiresSession property of an existing Subscription cannot be changed."))
	}
	if d := e.child("DefaultRuleDescription"); d != nil && old == nil {
		name := entity.DefaultRule
		if n := d.child("Name"); n != nil && n.text != "" {
			name = n.text
		}
		rule, err := readRule(d, name)
		if err != nil {
			r.errs = append(r.errs, err)
		}
		s.Rules = []entity.RuleDescription{rule}
	}
	if err := r.err(); err != nil {
		return s, err
	}
	return s, s.Validate()
}

func (w *writer) subscription(s Subscription, host string) {
	const name = "SubscriptionDescription"
	if s.Accessed.IsZero() { // unlike a queue, a subscription has always been accessed
		s.Accessed = s.Created
	}
	w.description(name)
	w.span("LockDuration", s.LockDuration)
	w.flag("RequiresSession", s.RequiresSession)
	w.span("DefaultMessageTimeToLive", s.DefaultMessageTimeToLive)
	w.flag("DeadLetteringOnMessageExpiration", s.DeadLetteringOnMessageExpiration)
	w.flag("DeadLetteringOnFilterEvaluationExceptions", s.DeadLetteringOnFilterEvaluationExceptions)
	w.number("MessageCount", s.messages())
	w.number("MaxDeliveryCount", int64(s.MaxDeliveryCount))
	w.flag("EnableBatchedOperations", s.EnableBatchedOperations)
	w.leaf("Status", string(s.Status))
	w.optional("ForwardTo", cmp.Or(s.ForwardURL, address(host, s.ForwardTo)))
	w.times(s.Runtime)
	w.optional("UserMetadata", s.UserMetadata)
	w.optional("ForwardDeadLetteredMessagesTo",
		cmp.Or(s.ForwardDeadLettersURL, address(host, s.ForwardDeadLetteredMessagesTo)))
	w.counts(s.Runtime)
	w.span("AutoDeleteOnIdle", s.AutoDeleteOnIdle)
	w.leaf("EntityAvailabilityStatus", "Available")
	w.close(name)
}
