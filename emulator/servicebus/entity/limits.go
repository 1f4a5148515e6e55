package entity

import (
	"math"
	"time"
)

// Forever stands for the longest time span Azure knows (P10675199DT2H48M5.4775807S), which no Go duration can hold: as
// a time to live the message never expires, as AutoDeleteOnIdle the entity is never deleted.
const Forever time.Duration = math.MaxInt64

// Limits and defaults of Azure Service Bus.
// Source: Microsoft Learn, service-bus-quotas and the property pages of Azure.Messaging.ServiceBus.Administration.
const (
	DefaultLockDuration    = time.Minute
	MaxLockDuration        = 5 * time.Minute
	DefaultDuplicateWindow = 10 * time.Minute
	// MinDuplicateWindow is what Microsoft's emulator allows; Azure wants 20 s.
	MinDuplicateWindow      = 5 * time.Second
	MaxDuplicateWindow      = 7 * 24 * time.Hour
	MinTimeToLive           = time.Second
	MinAutoDeleteOnIdle     = 5 * time.Minute
	DefaultMaxDeliveryCount = 10
	MaxMaxDeliveryCount     = 2000
	DefaultMaxSizeMegabytes = 1024
	MaxMaxSizeMegabytes     = 81920

	// DefaultMaxMessageKilobytes is what the standard tier has; premium lets the owner choose.
	DefaultMaxMessageKilobytes = 256
	MaxMaxMessageKilobytes     = 102400

	// MaxUserMetadata is the longest UserMetadata, in characters.
	MaxUserMetadata = 1024
	// MaxEntityName is the longest queue or topic name, in characters.
	MaxEntityName = 260
	// MaxSubscriptionName is the longest subscription or rule name, in characters.
	MaxSubscriptionName = 50
	// MaxSQLExpression is the longest SQL filter or action, in characters.
	MaxSQLExpression = 1024
	// MaxAuthorizationRules is how many authorization rules one entity may have.
	MaxAuthorizationRules = 12
)
