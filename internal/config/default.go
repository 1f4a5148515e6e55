package config

import "time"

// A defaulter has default values other than zero. The decoder calls it before it reads the keys of a mapping, so that a
// missing key, in an old file too, means its default.
type defaulter interface{ setDefaults() }

// Default returns the configuration of an empty file. It is not runnable: it names no namespace.
func Default() *Config {
	c := &Config{}
	c.setDefaults()
	return c
}

func (c *Config) setDefaults() {
	c.ServiceBus.setDefaults()
	c.Sessions = 64
	c.Locks = 1000
	c.Accepts = 8
	c.Idle = 200 * time.Millisecond
	c.Poll.setDefaults()
	c.Grace = 25 * time.Second
	c.Listen = "127.0.0.1:8080"
}

// The longest lock of Service Bus, because an import takes minutes.
func (s *ServiceBus) setDefaults() { s.Lock = 5 * time.Minute }

func (p *Poll) setDefaults() {
	p.First, p.Fraction, p.Max = 2*time.Second, 0.35, 2*time.Minute
}

func (i *Identity) setDefaults() { i.Kind = IdentityDefault }

func (e *Environment) setDefaults() {
	e.Identity.setDefaults()
	e.Requests = 8
	e.StatusCalls = 10
	e.Timeout = time.Minute
}

func (r *Route) setDefaults() {
	r.Format = FormatFile
	r.Order = OrderProcessed
	r.Window = 1
	r.UnknownOutcome = UnknownDeadLetter
	r.PartialImport = PartialDeadLetter
	r.OnFailure = FailureSkip
	r.Deadline = 2 * time.Hour
	r.MaxSize = 28 * MB // F&O's connector refuses bodies somewhere above it
	r.Retry.setDefaults()
}

func (r *RetryFor) setDefaults() { r.Retry.setDefaults() }

func (r *Retry) setDefaults() {
	*r = Retry{Attempts: 8, First: time.Second, Multiplier: 2, Max: time.Minute, Jitter: 0.5, Total: 30 * time.Minute}
}

func (e *Export) setDefaults() {
	e.Poll = time.Minute
	e.MaxInline = 200 * KB // fits a message of the Standard tier with its properties
}
