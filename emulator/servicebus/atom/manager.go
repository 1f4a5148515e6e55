package atom

import (
	"errors"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

// Errors that a Manager wraps, and what becomes of them.
var (
	ErrNotFound = errors.New("the entity does not exist") // 404
	ErrExists   = errors.New("the entity already exists") // 409
	ErrQuota    = errors.New("a quota is exhausted")      // 403
	ErrInvalid  = errors.New("the request is not valid")  // 400; so is what holds an *entity.Problem
)

// Manager is the namespace that is administered. Its methods may be called concurrently. Descriptions it gets are
// valid, and it may keep them; names are compared without regard to case.
type Manager interface {
	Namespace() Namespace

	// Queues and the other lists return everything, sorted by name.
	Queues() []Queue
	Queue(name string) (Queue, error)
	CreateQueue(entity.QueueDescription) error
	UpdateQueue(entity.QueueDescription) error

	// Topics have no Subscriptions here, neither when they are got nor when they are put: subscriptions have methods of
	// their own.
	Topics() []Topic
	Topic(name string) (Topic, error)
	CreateTopic(entity.TopicDescription) error
	UpdateTopic(entity.TopicDescription) error

	// Delete removes a queue, or a topic with its subscriptions.
	Delete(name string) error

	// Subscriptions have no Rules here once they exist: a subscription is created with its rules, and updated without.
	Subscriptions(topic string) ([]Subscription, error)
	Subscription(topic, name string) (Subscription, error)
	CreateSubscription(topic string, d entity.SubscriptionDescription) error
	UpdateSubscription(topic string, d entity.SubscriptionDescription) error
	DeleteSubscription(topic, name string) error

	Rules(topic, subscription string) ([]Rule, error)
	Rule(topic, subscription, name string) (Rule, error)
	CreateRule(topic, subscription string, d entity.RuleDescription) error
	UpdateRule(topic, subscription string, d entity.RuleDescription) error
	DeleteRule(topic, subscription, name string) error
}

// Namespace describes the namespace itself.
type Namespace struct {
	Name              string
	Created, Modified time.Time
}

// Runtime is what the broker knows of an entity at the moment.
type Runtime struct {
	Created, Updated time.Time
	Accessed         time.Time // zero: never
	SizeInBytes      int64

	Active, DeadLetter, Scheduled, Transfer, TransferDeadLetter int64 // messages
}

func (r Runtime) messages() int64 {
	return r.Active + r.DeadLetter + r.Scheduled + r.Transfer + r.TransferDeadLetter
}

// Queue is a queue and its state.
type Queue struct {
	entity.QueueDescription
	Runtime
}

// Topic is a topic and its state.
type Topic struct {
	entity.TopicDescription
	Runtime

	SubscriptionCount int
	// SQLFilters counts the SQL filters of all subscriptions, true and false filters among them; CorrelationFilters the
	// others.
	SQLFilters, CorrelationFilters int
}

// Subscription is a subscription and its state.
type Subscription struct {
	entity.SubscriptionDescription
	Runtime
}

// Rule is a rule and when it was made.
type Rule struct {
	entity.RuleDescription
	Created time.Time
}

// Authorizer decides who may administer.
type Authorizer interface {
	// Authorize checks the value of an Authorization header ("" when there is none) for an entity path ("" for the
	// namespace). It returns nil when the token grants Manage there, ErrForbidden when it is good but does not, and any
	// other error when it is no good; the text of that goes to the client.
	Authorize(authorization, path string) error
}

// ErrForbidden says that a valid token lacks the Manage right.
var ErrForbidden = errors.New("the token does not give the Manage right")
