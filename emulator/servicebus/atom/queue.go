package atom

import (
	"cmp"

	"fnobridge/emulator/servicebus/entity"
)

// partitions is how many a partitioned entity has; the size asked for is that of each.
const partitions = 16

// readQueue makes a queue of a request. old is the queue that is updated, nil for a new one: what cannot change, and
// the sizes, stay as they are when they are not sent; anything else that is not sent becomes the default again.
func readQueue(e *element, name string, old *entity.QueueDescription) (entity.QueueDescription, error) {
	q := entity.NewQueue(name)
	if old != nil {
		q.Name = old.Name
		q.RequiresSession = old.RequiresSession
		keepStorage(&q.Storage, old.Storage)
	}
	r := &reader{e: e}
	r.settings(&q.Settings)
	r.storage(&q.Storage)
	r.delivery(&q.Delivery)
	if old == nil {
		grow(&q.Storage)
	} else {
		r.errs = append(r.errs, unchanged("Queue", q.RequiresSession != old.RequiresSession, q.Storage, old.Storage)...)
	}
	if err := r.err(); err != nil {
		return q, err
	}
	return q, q.Validate()
}

func keepStorage(s *entity.Storage, old entity.Storage) {
	s.RequiresDuplicateDetection = old.RequiresDuplicateDetection
	s.EnablePartitioning = old.EnablePartitioning
	s.MaxSizeInMegabytes = old.MaxSizeInMegabytes
	s.MaxMessageSizeInKilobytes = old.MaxMessageSizeInKilobytes
}

// grow multiplies the size of a new partitioned entity by its partitions.
func grow(s *entity.Storage) {
	if s.EnablePartitioning {
		s.MaxSizeInMegabytes *= partitions
	}
}

// unchanged refuses to change what the service does not let change.
func unchanged(kind string, session bool, s, old entity.Storage) []error {
	var errs []error
	fixed := func(name string, changed bool) {
		if changed {
			errs = append(errs, badRequest("The value for the %s property of an existing %s cannot be changed.", name, kind))
		}
	}
	fixed("RequiresSession", session)
	fixed("RequiresDuplicateDetection", s.RequiresDuplicateDetection != old.RequiresDuplicateDetection)
	if s.EnablePartitioning != old.EnablePartitioning {
		errs = append(errs, badRequest("Partitioning cannot be changed for %s. ", kind))
	}
	return errs
}

func (w *writer) queue(q Queue, host string) {
	const name = "QueueDescription"
	w.description(name)
	w.span("LockDuration", q.LockDuration)
	w.number("MaxSizeInMegabytes", int64(q.MaxSizeInMegabytes))
	w.flag("RequiresDuplicateDetection", q.RequiresDuplicateDetection)
	w.flag("RequiresSession", q.RequiresSession)
	w.span("DefaultMessageTimeToLive", q.DefaultMessageTimeToLive)
	w.flag("DeadLetteringOnMessageExpiration", q.DeadLetteringOnMessageExpiration)
	w.span("DuplicateDetectionHistoryTimeWindow", q.DuplicateDetectionHistoryTimeWindow)
	w.number("MaxDeliveryCount", int64(q.MaxDeliveryCount))
	w.flag("EnableBatchedOperations", q.EnableBatchedOperations)
	w.number("SizeInBytes", q.SizeInBytes)
	w.number("MessageCount", q.messages())
	w.flag("IsAnonymousAccessible", q.IsAnonymousAccessible)
	w.authorization(q.AuthorizationRules)
	w.leaf("Status", string(q.Status))
	w.optional("ForwardTo", cmp.Or(q.ForwardURL, address(host, q.ForwardTo)))
	w.optional("UserMetadata", q.UserMetadata)
	w.times(q.Runtime)
	w.flag("SupportOrdering", q.SupportOrdering)
	w.counts(q.Runtime)
	w.span("AutoDeleteOnIdle", q.AutoDeleteOnIdle)
	w.flag("EnablePartitioning", q.EnablePartitioning)
	w.optional("ForwardDeadLetteredMessagesTo",
		cmp.Or(q.ForwardDeadLettersURL, address(host, q.ForwardDeadLetteredMessagesTo)))
	w.leaf("EntityAvailabilityStatus", "Available")
	w.flag("EnableExpress", q.EnableExpress)
	w.number("MaxMessageSizeInKilobytes", int64(q.MaxMessageSizeInKilobytes))
	w.close(name)
}

// address is an entity as the service names a forwarding target; "" for none.
func address(host, name string) string {
	if name == "" {
		return ""
	}
	return "sb://" + host + "/" + name
}
