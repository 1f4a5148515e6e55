// Package servicebus is an embedded Azure Service Bus: the official SDKs talk to it over AMQP (plain TCP, TLS,
// WebSockets) and to its administration API over HTTPS, all on one port, and see no difference in anything they use.
//
// It promises the semantics of package broker, access control with real signatures, bounded memory under slow or dead
// clients, and that a hostile connection disturbs no other. It keeps nothing on disk, knows one namespace, and refuses
// transactions (amqp:not-implemented).
package servicebus
