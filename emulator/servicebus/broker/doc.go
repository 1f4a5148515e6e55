// Package broker is the state machine of a Service Bus namespace: entities, messages, sessions, locks and everything
// that happens to them with time. It knows no sockets; links talk to it through Consumer, Producer and Manager, and
// hear from it through sinks.
//
// It promises the semantics of Azure Service Bus as far as its clients can see them; each method names the fact it
// follows. All state is in memory and guarded by one lock. Sinks are called under that lock, so they must not block and
// must not call back into the broker. Nothing is persisted, partitioned or transactional.
package broker
