package telemetry

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// A labelled is what tells one series of the messaging metrics from another. All of it comes from the configuration or
// from closed sets, so there are few.
type labelled struct {
	at        Destination
	operation string // messaging.operation.name; "" for the metrics of the bridge's own
	kind      string // messaging.operation.type
	fault     string // error.type
}

func (x labelled) set() attribute.Set {
	a := make([]attribute.KeyValue, 0, 8)
	if x.operation != "" {
		a = append(a, semconv.MessagingSystemServiceBus, semconv.MessagingOperationName(x.operation))
	}
	if x.kind != "" {
		a = append(a, semconv.MessagingOperationTypeKey.String(x.kind))
	}
	if x.fault != "" {
		a = append(a, semconv.ErrorTypeKey.String(x.fault))
	}
	return attribute.NewSet(x.at.appendTo(a)...)
}

// labelSets keeps the label sets of the series that were written to, because making one costs more than recording a
// value under it. Its zero value is ready.
type labelSets struct {
	mu   sync.RWMutex
	sets map[labelled]attribute.Set
}

func (l *labelSets) of(x labelled) attribute.Set {
	l.mu.RLock()
	set, ok := l.sets[x]
	l.mu.RUnlock()
	if ok {
		return set
	}
	set = x.set()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil {
		l.sets = map[labelled]attribute.Set{}
	}
	l.sets[x] = set
	return set
}
