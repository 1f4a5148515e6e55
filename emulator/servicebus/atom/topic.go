package atom

import "fnobridge/emulator/servicebus/entity"

// readTopic makes a topic of a request, like readQueue.
func readTopic(e *element, name string, old *entity.TopicDescription) (entity.TopicDescription, error) {
	t := entity.NewTopic(name)
	if old != nil {
		t.Name = old.Name
		keepStorage(&t.Storage, old.Storage)
	}
	r := &reader{e: e}
	r.settings(&t.Settings)
	r.storage(&t.Storage)
	r.flag("FilteringMessagesBeforePublishing", &t.FilteringMessagesBeforePublishing)
	r.flag("EnableSubscriptionPartitioning", &t.EnableSubscriptionPartitioning)
	if old == nil {
		grow(&t.Storage)
	} else {
		r.errs = append(r.errs, unchanged("Topic", false, t.Storage, old.Storage)...)
	}
	if err := r.err(); err != nil {
		return t, err
	}
	return t, t.Validate()
}

func (w *writer) topic(t Topic) {
	const name = "TopicDescription"
	w.description(name)
	w.span("DefaultMessageTimeToLive", t.DefaultMessageTimeToLive)
	w.number("MaxSizeInMegabytes", int64(t.MaxSizeInMegabytes))
	w.flag("RequiresDuplicateDetection", t.RequiresDuplicateDetection)
	w.span("DuplicateDetectionHistoryTimeWindow", t.DuplicateDetectionHistoryTimeWindow)
	w.flag("EnableBatchedOperations", t.EnableBatchedOperations)
	w.number("SizeInBytes", t.SizeInBytes)
	w.flag("FilteringMessagesBeforePublishing", t.FilteringMessagesBeforePublishing)
	w.flag("IsAnonymousAccessible", t.IsAnonymousAccessible)
	w.authorization(t.AuthorizationRules)
	w.leaf("Status", string(t.Status))
	w.optional("UserMetadata", t.UserMetadata)
	w.times(t.Runtime)
	w.flag("SupportOrdering", t.SupportOrdering)
	w.counts(t.Runtime)
	w.number("SubscriptionCount", int64(t.SubscriptionCount))
	w.number("SqlFilterCount", int64(t.SQLFilters))
	w.number("CorrelationFilterCount", int64(t.CorrelationFilters))
	w.span("AutoDeleteOnIdle", t.AutoDeleteOnIdle)
	w.flag("EnablePartitioning", t.EnablePartitioning)
	w.leaf("EntityAvailabilityStatus", "Available")
	w.flag("EnableSubscriptionPartitioning", t.EnableSubscriptionPartitioning)
	w.flag("EnableExpress", t.EnableExpress)
	w.number("MaxMessageSizeInKilobytes", int64(t.MaxMessageSizeInKilobytes))
	w.close(name)
}
