package entity

// Status says what an entity lets its clients do.
type Status string

// The statuses an owner can set. A disabled entity refuses with amqp:entity-disabled; its messages stay.
const (
	Active          Status = "Active"
	Disabled        Status = "Disabled"
	SendDisabled    Status = "SendDisabled"
	ReceiveDisabled Status = "ReceiveDisabled"
)

// Sends reports whether messages may be sent to an entity of this status.
func (s Status) Sends() bool { return s == Active || s == ReceiveDisabled }

// Receives reports whether messages may be received from an entity of this status.
func (s Status) Receives() bool { return s == Active || s == SendDisabled }

func (s Status) valid() bool {
	switch s {
	case Active, Disabled, SendDisabled, ReceiveDisabled:
		return true
	}
	return false
}
