package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// An Order is what an operator wants of a parked session. A lane that stands at a held file keeps the session's lock, so
// the order cannot be written into the session's own state; it is written as the state of a control session, which never
// has messages and is therefore never handed out by "next available". The lane looks there every few seconds.
type Order struct {
	Do Do        `json:"do"`
	By string    `json:"by,omitempty"` // who, for the log
	At time.Time `json:"at"`
}

// Do is what an order asks for.
type Do string

// The orders.
const (
	Release Do = "release" // try the held file again, then go on; end draining
	Skip    Do = "skip"    // dead-letter the held file, then go on; end draining
)

// ControlSession returns the ID of the control session that belongs to a session. Hashed, because session IDs may be as
// long as Service Bus allows (128 characters).
func ControlSession(session string) string {
	h := sha256.Sum256([]byte(session))
	return "fnobridge-control-" + hex.EncodeToString(h[:20])
}

// Encode returns the order as session state.
func (o Order) Encode() ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("write order: %w", err)
	}
	return b, nil
}

// DecodeOrder reads a control session's state; ok is false when there is no order.
func DecodeOrder(state []byte) (o Order, ok bool, err error) {
	if len(state) == 0 {
		return Order{}, false, nil
	}
	if err := json.Unmarshal(state, &o); err != nil {
		return Order{}, false, fmt.Errorf("read order: %w", err)
	}
	if o.Do != Release && o.Do != Skip {
		return Order{}, false, fmt.Errorf("read order: %q is neither %q nor %q", o.Do, Release, Skip)
	}
	return o, true, nil
}

// AsideSession returns the ID of the session whose state keeps the unreadable bytes of another one.
func AsideSession(session string) string { return ControlSession(session) + "-aside" }
