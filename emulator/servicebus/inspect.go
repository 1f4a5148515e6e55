package servicebus

import (
	"context"

	"fnobridge/emulator/servicebus/broker"
)

// What the inspection methods return.
type (
	// Message is a message as it lies in an entity.
	Message = broker.MessageInfo
	// Session is a session of an entity.
	Session = broker.SessionInfo
	// Counts are the messages of an entity by state.
	Counts = broker.Counts
)

// Messages returns the messages of an address ("q", "t/Subscriptions/s", either with "/$DeadLetterQueue") in order of
// sequence numbers; nil when there is no such entity.
func (s *Server) Messages(address string) []Message { return s.broker.Messages(address) }

// Counts returns the counts of an address; ok is false when there is no such entity.
func (s *Server) Counts(address string) (c Counts, ok bool) { return s.broker.CountsOf(address) }

// Sessions returns the sessions of an address with their states, by ID.
func (s *Server) Sessions(address string) []Session { return s.broker.SessionsOf(address) }

// Accepting returns how many accepts of the next session wait on an address.
func (s *Server) Accepting(address string) int { return s.broker.Accepting(address) }

// Links returns how many links clients have on an address, sending or receiving.
func (s *Server) Links(address string) int {
	n := 0
	for _, c := range s.amqpConns() {
		n += len(c.find(address, ""))
	}
	return n
}

// Entities returns the addresses of all queues, topics and subscriptions.
func (s *Server) Entities() []string { return s.broker.Entities() }

// Connections returns the number of open AMQP connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.links)
}

// Await returns once check is true, looking again whenever something happened in the broker or a connection came or
// went, so it needs no polling; check may use the other inspection methods. Otherwise it returns the cause of ctx.
func (s *Server) Await(ctx context.Context, check func() bool) error {
	return s.broker.Await(ctx, check)
}
