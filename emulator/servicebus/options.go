package servicebus

import (
	"log/slog"

	"fnobridge/emulator/servicebus/broker"
	"fnobridge/emulator/servicebus/entity"
)

// Clock is the emulator's source of time for everything that a Service Bus does with time; keep-alives of connections
// follow the machine's clock.
type Clock = broker.Clock

// FakeClock is a Clock that tests move; see NewFakeClock.
type FakeClock = broker.FakeClock

// NewFakeClock returns a FakeClock standing at a round moment.
var NewFakeClock = broker.NewFakeClock

// Options configure a Server. The zero value is an empty namespace on a free port of 127.0.0.1.
type Options struct {
	// Addr to listen on; default "127.0.0.1:0". "none" opens no port: clients connect through Server.Dial, which also
	// works inside a synctest bubble.
	Addr string
	// Namespace is what exists at the start.
	Namespace entity.Namespace
	// Clock; default the machine's.
	Clock Clock
	// Faults opens the control endpoint POST /faults. Server.Faults works without.
	Faults bool
	// IdleRules detaches links idle for 10 minutes and closes connections without links after 5, or 1 if they never had
	// one.
	IdleRules bool
	// Logger; default discards.
	Logger *slog.Logger
}
