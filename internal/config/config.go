package config

import (
	"time"

	"fnobridge/internal/contract"
)

// A Config is the content of bridge.yaml. Every field has a usable value once Load has returned without an error.
//
// The tags are the schema: yaml names the key, doc describes it, need marks a key without a default, enum lists the
// words that are allowed, path says that the value is a file name relative to the folder of bridge.yaml, form names the
// check of a single value (see form.go). Decoding, `bridge config show` and the JSON Schema are all derived from them.
type Config struct {
	ServiceBus   ServiceBus    `yaml:"serviceBus" need:"true" eg:"{namespace: NAME.servicebus.windows.net, identity: {kind: managedIdentity}}" doc:"The Service Bus namespace and how to sign in to it."`
	Storage      Storage       `yaml:"storage" doc:"How to sign in to Blob Storage for claim checks."`
	Sources      []Source      `yaml:"sources" doc:"The session-enabled queues and subscriptions that are read. At least one, unless there are only exports."`
	Status       Status        `yaml:"status" doc:"Where every status transition is published."`
	Environments []Environment `yaml:"environments" need:"true" eg:"[{name: prod, url: https://NAME.operations.dynamics.com, identity: {...}}]" doc:"The F&O environments that routes and exports name."`
	Routes       []Route       `yaml:"routes" doc:"Which message goes where. The first route that matches wins; a message without a route is dead-lettered."`
	Exports      []Export      `yaml:"exports" doc:"Recurring export jobs that are dequeued, published to Service Bus and acknowledged."`

	Sessions int           `yaml:"sessions" form:"positive" doc:"Sessions (lanes) that prepare or post a file at the same time, all sources together. Those that wait, for F&O above all, are bounded by locks."`
	Locks    int           `yaml:"locks" form:"positive" doc:"Sessions owned at the same time, whatever they do: those at work, those whose files F&O has, those that wait, held ones. Not fewer than sessions; some 0.3 MB each."`
	Accepts  int           `yaml:"accepts" form:"positive" doc:"Accept calls that wait for the next session in parallel; not more than sessions."`
	Idle     time.Duration `yaml:"idle" form:"positive" doc:"A session without messages is released after this time, or two round trips to Service Bus if that is longer. Much shorter than the lock."`
	Poll     Poll          `yaml:"poll" doc:"How often F&O is asked for the status of an import."`
	Grace    time.Duration `yaml:"grace" form:"positive" doc:"Time to finish or write down what is in hand after SIGTERM. Shorter than terminationGracePeriodSeconds."`
	Listen   string        `yaml:"listen" form:"listen" doc:"HOST:PORT of the health, lane and session-count endpoints; an empty text turns them off."`

	File     string    `yaml:"-"` // the file it was read from, as it was named to Load
	Warnings []Problem `yaml:"-"` // what is allowed but probably not meant, in file order
}

// ServiceBus says which namespace is used. Exactly one of Namespace (with an Identity) and ConnectionString is set.
type ServiceBus struct {
	Namespace        string        `yaml:"namespace" form:"host" doc:"Host name of the namespace, as in contoso.servicebus.windows.net; used with identity."`
	Identity         *Identity     `yaml:"identity" doc:"Who the bridge is to Service Bus; the default identity chain when absent."`
	ConnectionString *Secret       `yaml:"connectionString" doc:"Instead of namespace and identity: where the connection string is. Never the value itself."`
	Lock             time.Duration `yaml:"lock" form:"lock" doc:"Lock duration of the session queues and subscriptions. The bridge never assumes more lease than this; a longer one there is a waste, a shorter one breaks sessions."`
}

// Storage says who the bridge is to Blob Storage. The zero value means the identity of Service Bus or, with a
// connection string there, the default identity chain.
type Storage struct {
	Identity *Identity `yaml:"identity" doc:"Who the bridge is to Blob Storage; serviceBus.identity when absent, or the default identity chain."`
	Errors   string    `yaml:"errors" form:"container" doc:"URL of the blob container that takes execution errors too long for a dead letter; without one they are cut."`
}

// A Source is one session-enabled queue or subscription. Exactly one of Queue and the other two is set.
type Source struct {
	Queue        string `yaml:"queue" form:"bus" doc:"A session-enabled queue."`
	Topic        string `yaml:"topic" form:"bus" doc:"The topic of a session-enabled subscription; together with subscription."`
	Subscription string `yaml:"subscription" form:"bus" doc:"A session-enabled subscription; together with topic."`
}

// Name returns the name that Match.Source refers to: the queue, or topic/subscription.
func (s Source) Name() string { return contract.Source(s).String() }

// Status says where status events go.
type Status struct {
	Topic string `yaml:"topic" form:"bus" doc:"Topic or queue that takes the status events. Required as soon as there is a route."`
}

// An Environment is one F&O environment.
type Environment struct {
	Name        string        `yaml:"name" need:"true" eg:"prod" form:"name" doc:"The name that routes, exports, events and metrics use."`
	URL         string        `yaml:"url" need:"true" eg:"https://NAME.operations.dynamics.com" form:"origin" doc:"Scheme and host of the environment, as in https://contoso.operations.dynamics.com."`
	Identity    Identity      `yaml:"identity" doc:"Who the bridge is to F&O. Its client ID must be registered in F&O under Microsoft Entra applications."`
	Requests    int           `yaml:"requests" form:"positive" doc:"HTTP requests in flight to this environment, all lanes together."`
	StatusCalls float64       `yaml:"statusCalls" form:"positive" doc:"Status calls per second to this environment, all lanes together. F&O throttles OData."`
	Timeout     time.Duration `yaml:"timeout" form:"positive" doc:"Time of one HTTP call; an upload has 8 s more for each MB. Shorter than half the lock minus its margin."`
}

// Format is what a data job of F&O takes.
type Format string

// The formats.
const (
	FormatFile    Format = "file"
	FormatPackage Format = "package"
)

// Order says when the next file of a session may be posted.
type Order string

// The orders.
const (
	OrderProcessed Order = "processed" // after the one before it has ended in F&O
	OrderEnqueued  Order = "enqueued"  // after the one before it was accepted by F&O
)

// UnknownOutcome says what happens to a file when the answer to its post never came.
type UnknownOutcome string

// The policies for an unknown outcome.
const (
	UnknownDeadLetter UnknownOutcome = "deadletter" // never imported twice, perhaps not at all: a person looks
	UnknownResend     UnknownOutcome = "resend"     // imported at least once, perhaps twice: for data where that is harmless
)

// PartialImport says what happens to a file whose import collided with another one when some of its records may be in.
type PartialImport string

// The policies for a partial import.
const (
	PartialDeadLetter PartialImport = "deadletter" // imported once is imported: a person looks
	PartialRepeat     PartialImport = "repeat"     // for entities that are updated by their key: a second import does no harm
)

// OnFailure says what a dead-lettered file means for the files behind it.
type OnFailure string

// The policies for a failure.
const (
	FailureSkip  OnFailure = "skip"  // the session goes on with the next file
	FailureHold  OnFailure = "hold"  // the session stops until an operator releases it
	FailureDrain OnFailure = "drain" // the files behind it are dead-lettered too
)

// A Route says where messages that match go, and how.
type Route struct {
	Name           string         `yaml:"name" need:"true" eg:"customer-groups" form:"name" doc:"The name of the route in events, logs and metrics."`
	Match          Match          `yaml:"match" doc:"Which messages; an absent key or * matches all."`
	Entity         string         `yaml:"entity" form:"entity" doc:"The data entity in F&O; taken from the message when absent."`
	Company        string         `yaml:"company" form:"company" doc:"The legal entity; taken from the message when absent, which may leave it out too."`
	Environment    string         `yaml:"environment" need:"true" eg:"and the name of one of the environments" doc:"Name of one of the environments."`
	Activity       string         `yaml:"activity" need:"true" eg:"and the ID of the recurring data job, a GUID" form:"guid" doc:"ID of the recurring data job, a GUID."`
	Format         Format         `yaml:"format" enum:"file|package" doc:"What the recurring data job takes: file or package."`
	Template       string         `yaml:"template" path:"true" doc:"format package only: a data package whose data file is replaced by the file that came."`
	ClaimCheck     []string       `yaml:"claimCheck" form:"container" doc:"URLs of the blob containers that a message's dataref may point into; none allows no claim checks."`
	Order          Order          `yaml:"order" enum:"processed|enqueued" doc:"The next file of a session is posted after the one before it was processed, or already after it was enqueued."`
	Window         int            `yaml:"window" form:"positive" doc:"order enqueued only: files of one session in flight, at most 100."`
	UnknownOutcome UnknownOutcome `yaml:"unknownOutcome" enum:"deadletter|resend" doc:"When the answer to a post never came: dead-letter the file, or post it again and risk importing it twice."`
	PartialImport  PartialImport  `yaml:"partialImport" enum:"deadletter|repeat" doc:"When an import met a deadlock and some of its records may be in: dead-letter the file, or post it again, which imports those a second time."`
	OnFailure      OnFailure      `yaml:"onFailure" enum:"skip|hold|drain" doc:"After a file was dead-lettered: go on with the next, hold the session, or dead-letter the rest of it."`
	Deadline       time.Duration  `yaml:"deadline" form:"positive" doc:"An import that has not ended after this time counts as one that never ends."`
	MaxSize        Size           `yaml:"maxSize" form:"positive" doc:"Larger files are dead-lettered instead of posted."`
	Retry          Retry          `yaml:"retry" doc:"How often, how long and how patiently one file is tried."`
	RetryFor       []RetryFor     `yaml:"retryFor" doc:"Another retry for single reasons, as in more patience with a deadlock in F&O."`
}

// A RetryFor bounds the attempts for files that failed for one reason. The reasons are those of package failure that a
// file is tried again for.
type RetryFor struct {
	Reason string `yaml:"reason" need:"true" eg:"ImportDeadlock" enum:"BadRequest|ServerError|BadGateway|GatewayTimeout|Refused|BadAnswer|ConnectionBroken|Timeout|StorageFailed|PackageInvalid|UnknownOutcome|ImportDeadlock|Unclassified" doc:"The reason, as events and dead letters name it."`
	Retry  Retry  `yaml:"retry" need:"true" eg:"{attempts: 20, first: 10s}" doc:"Its attempts and waits; what is left out has the general default, not that of the route."`
}

// A Match selects messages. All that is set must match; entity and company are compared as F&O does, without regard to
// case. An empty value or * matches everything.
type Match struct {
	Entity  string `yaml:"entity" doc:"The entity that the message or its session names; * or absent: any."`
	Company string `yaml:"company" doc:"The company that the message or its session names; * or absent: any."`
	Source  string `yaml:"source" doc:"The queue, or topic/subscription, the message came from; * or absent: any."`
}

// Retry bounds the attempts for one file.
type Retry struct {
	Attempts   int           `yaml:"attempts" form:"attempts" doc:"Attempts at most, the first included."`
	First      time.Duration `yaml:"first" form:"positive" doc:"Wait after the first failed attempt."`
	Multiplier float64       `yaml:"multiplier" form:"multiplier" doc:"Each wait is this much longer than the one before; 1 or more."`
	Max        time.Duration `yaml:"max" form:"positive" doc:"No single wait is longer, unless F&O asks for more."`
	Jitter     float64       `yaml:"jitter" form:"fraction" doc:"Each wait varies by this part of itself, 0 to 1."`
	Total      time.Duration `yaml:"total" form:"positive" doc:"No attempt starts later than this after the first one."`
}

// An Export is one recurring export job of F&O.
type Export struct {
	Name        string        `yaml:"name" need:"true" eg:"customers" form:"name" doc:"The name of the export in events, logs and metrics."`
	Environment string        `yaml:"environment" need:"true" eg:"and the name of one of the environments" doc:"Name of one of the environments."`
	Activity    string        `yaml:"activity" need:"true" eg:"and the ID of the recurring export job, a GUID" form:"guid" doc:"ID of the recurring export job, a GUID."`
	Queue       string        `yaml:"queue" need:"true" eg:"fno-exports" form:"bus" doc:"Queue or topic that takes the exported files."`
	Poll        time.Duration `yaml:"poll" form:"positive" doc:"How often F&O is asked for the next file."`
	Entity      string        `yaml:"entity" form:"entity" doc:"The entity the files hold; becomes the session of the messages."`
	Company     string        `yaml:"company" form:"company" doc:"The legal entity the files are of; goes into the session and the properties of the messages."`
	MaxInline   Size          `yaml:"maxInline" form:"positive" doc:"Larger files go to claimCheck; without one they stay in F&O and the export reports it."`
	ClaimCheck  string        `yaml:"claimCheck" form:"container" doc:"URL of the blob container that takes files larger than maxInline."`
}

// Poll is the rhythm of status calls for one import: the first after First, each next one when Fraction of the time
// since the post has passed again, no later than Max.
type Poll struct {
	First    time.Duration `yaml:"first" form:"positive" doc:"The first status call comes this long after the post."`
	Fraction float64       `yaml:"fraction" form:"share" doc:"Each wait is this part of the time since the post."`
	Max      time.Duration `yaml:"max" form:"positive" doc:"No wait is longer than this."`
}
