package entity

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Settings are the properties that queues, topics and subscriptions share.
type Settings struct {
	DefaultMessageTimeToLive time.Duration // Forever: messages do not expire
	AutoDeleteOnIdle         time.Duration // Forever: never
	EnableBatchedOperations  bool
	Status                   Status
	UserMetadata             string
}

// Storage are the properties of whatever messages are sent to: queues and topics.
type Storage struct {
	MaxSizeInMegabytes        int
	MaxMessageSizeInKilobytes int // of one message or batch

	RequiresDuplicateDetection          bool
	DuplicateDetectionHistoryTimeWindow time.Duration

	EnablePartitioning    bool
	EnableExpress         bool
	SupportOrdering       bool
	IsAnonymousAccessible bool

	AuthorizationRules []AuthorizationRule // in addition to the namespace's
}

// Delivery are the properties of whatever messages are received from: queues and subscriptions.
type Delivery struct {
	LockDuration                     time.Duration // of a message, and of a session
	RequiresSession                  bool
	MaxDeliveryCount                 int // deliveries after which a message is dead-lettered
	DeadLetteringOnMessageExpiration bool

	ForwardTo                     string // name of a queue or topic, "" for none
	ForwardDeadLetteredMessagesTo string // name of a queue or topic, "" for none

	// ForwardURL and ForwardDeadLettersURL are the two targets as a client of the administration API wrote them, which
	// it wants to read again; "" when it did not. They decide nothing.
	ForwardURL, ForwardDeadLettersURL string
}

// QueueDescription is a queue.
type QueueDescription struct {
	Name string
	Settings
	Storage
	Delivery
}

// NewQueue is a queue with Azure's defaults.
func NewQueue(name string) QueueDescription {
	return QueueDescription{Name: name, Settings: newSettings(), Storage: newStorage(), Delivery: newDelivery()}
}

func newSettings() Settings {
	return Settings{
		DefaultMessageTimeToLive: Forever, AutoDeleteOnIdle: Forever,
		EnableBatchedOperations: true, Status: Active,
	}
}

func newStorage() Storage {
	return Storage{
		MaxSizeInMegabytes: DefaultMaxSizeMegabytes, MaxMessageSizeInKilobytes: DefaultMaxMessageKilobytes,
		DuplicateDetectionHistoryTimeWindow: DefaultDuplicateWindow, SupportOrdering: true,
	}
}

func newDelivery() Delivery {
	return Delivery{LockDuration: DefaultLockDuration, MaxDeliveryCount: DefaultMaxDeliveryCount}
}

// Validate returns every problem of the queue, as Problems.
func (q QueueDescription) Validate() error {
	c := &check{entity: fmt.Sprintf("queue %q", q.Name)}
	c.entityName("Name", q.Name)
	c.settings(q.Settings)
	c.storage(q.Storage)
	c.delivery(q.Delivery, q.Name)
	return c.err()
}

// Clone returns a copy that shares nothing with q.
func (q QueueDescription) Clone() QueueDescription {
	q.AuthorizationRules = cloneAuthorization(q.AuthorizationRules)
	return q
}

func (c *check) settings(s Settings) {
	if s.DefaultMessageTimeToLive < MinTimeToLive {
		c.failf("DefaultMessageTimeToLive", "must be at least %v, is %v", MinTimeToLive, s.DefaultMessageTimeToLive)
	}
	if s.AutoDeleteOnIdle < MinAutoDeleteOnIdle {
		c.failf("AutoDeleteOnIdle", "must be at least %v, is %v", MinAutoDeleteOnIdle, s.AutoDeleteOnIdle)
	}
	if !s.Status.valid() {
		c.failf("Status", "must be Active, Disabled, SendDisabled or ReceiveDisabled, is %q", string(s.Status))
	}
	if n := utf8.RuneCountInString(s.UserMetadata); n > MaxUserMetadata {
		c.failf("UserMetadata", "must be at most %d characters, is %d", MaxUserMetadata, n)
	}
}

func (c *check) storage(s Storage) {
	if s.MaxSizeInMegabytes < 1 || s.MaxSizeInMegabytes > MaxMaxSizeMegabytes {
		c.failf("MaxSizeInMegabytes", "must be between 1 and %d, is %d", MaxMaxSizeMegabytes, s.MaxSizeInMegabytes)
	}
	if s.MaxMessageSizeInKilobytes < 1 || s.MaxMessageSizeInKilobytes > MaxMaxMessageKilobytes {
		c.failf("MaxMessageSizeInKilobytes", "must be between 1 and %d, is %d", MaxMaxMessageKilobytes,
			s.MaxMessageSizeInKilobytes)
	}
	if w := s.DuplicateDetectionHistoryTimeWindow; w < MinDuplicateWindow || w > MaxDuplicateWindow {
		c.failf("DuplicateDetectionHistoryTimeWindow", "must be between %v and %v, is %v", MinDuplicateWindow,
			MaxDuplicateWindow, w)
	}
	c.authorization(s.AuthorizationRules)
}

// delivery checks what queues and subscriptions share; self is the path that must not be its own forwarding target.
func (c *check) delivery(d Delivery, self string) {
	if d.LockDuration <= 0 || d.LockDuration > MaxLockDuration {
		c.failf("LockDuration", "must be more than 0 and at most %v, is %v", MaxLockDuration, d.LockDuration)
	}
	if d.MaxDeliveryCount < 1 || d.MaxDeliveryCount > MaxMaxDeliveryCount {
		c.failf("MaxDeliveryCount", "must be between 1 and %d, is %d", MaxMaxDeliveryCount, d.MaxDeliveryCount)
	}
	if d.ForwardTo != "" && d.RequiresSession {
		c.failf("ForwardTo", "an entity that requires sessions cannot forward")
	}
	target := func(property, name string) {
		switch {
		case name == "":
		case Key(name) == Key(self):
			c.failf(property, "must not be the entity itself")
		default:
			c.entityName(property, name)
		}
	}
	target("ForwardTo", d.ForwardTo)
	target("ForwardDeadLetteredMessagesTo", d.ForwardDeadLetteredMessagesTo)
}
