package deadletter

import "fnobridge/internal/contract"

// An Entity is whatever has a dead-letter queue.
type Entity = contract.Source
