package broker

import (
	"fmt"
	"time"

	"fnobridge/emulator/servicebus/amqp"
)

// Verdict is what a client does with a message it holds.
type Verdict byte

// Verdicts.
const (
	Complete   Verdict = iota // delete it
	Abandon                   // give it back, counted
	Release                   // give it back, not counted
	Defer                     // set it aside until it is asked for by number
	DeadLetter                // move it to the dead-letter queue
)

// Outcome is a verdict with what belongs to it. Properties become application properties of the message.
type Outcome struct {
	Verdict     Verdict
	Properties  amqp.Map
	Reason      string // DeadLetter
	Description string // DeadLetter
}

func deliveriesText(n int) string {
	return fmt.Sprintf("Message could not be consumed after %d delivery attempts.", n)
}

func lockLost() *amqp.Error {
	return amqp.Errorf(amqp.MessageLockLost,
		"The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue.")
}

// Settle ends the lock a delivery of this receiver was sent under.
func (c *Consumer) Settle(token amqp.UUID, o Outcome) *amqp.Error {
	now := c.b.enter()
	defer c.b.leave()
	c.q.touch(now)
	return c.q.settle(token, o, now)
}

func (q *queue) settle(token amqp.UUID, o Outcome, now time.Time) *amqp.Error {
	m := q.locks[token]
	if m == nil {
		return lockLost()
	}
	switch o.Verdict {
	case Complete:
		q.unlock(m)
		q.remove(m)
		return nil
	case Release:
		q.giveBack(m, false, now)
		return nil
	case DeadLetter:
		q.unlock(m)
		return q.deadLetter(m, o.Reason, o.Description, o.Properties, now)
	}
	if err := m.setProperties(o.Properties); err != nil {
		return amqp.Errorf(amqp.InvalidField, "%v", err)
	}
	if o.Verdict == Abandon {
		q.giveBack(m, true, now)
		return nil
	}
	q.unlock(m)
	m.state, m.wasDefer = deferred, true
	return nil
}
