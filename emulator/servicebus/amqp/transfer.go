package amqp

// Transfer carries a message or a part of one.
type Transfer struct {
	Handle           uint32
	DeliveryID       uint32
	HasDeliveryID    bool
	DeliveryTag      []byte // aliases the frame
	MessageFormat    uint32
	HasMessageFormat bool
	Settled          bool
	HasSettled       bool
	More             bool
	State            *State
	Aborted          bool
}

func decodeTransfer(f *fields) *Transfer {
	p := &Transfer{Handle: f.uintOr(0)}
	p.DeliveryID, p.HasDeliveryID = f.uint()
	p.DeliveryTag, _ = f.bytes()
	p.MessageFormat, p.HasMessageFormat = f.uint()
	p.HasSettled = f.n > 0
	p.Settled, p.More = f.bool(false), f.bool(false)
	f.skip() // rcv-settle-mode
	p.State = f.state()
	f.skip() // resume
	p.Aborted = f.bool(false)
	return p
}

// Append implements Performative.
func (p *Transfer) Append(b []byte) []byte {
	l := beginList(b, codeTransfer)
	l.uint(p.Handle)
	if p.HasDeliveryID {
		l.uint(p.DeliveryID)
	} else {
		l.null()
	}
	if p.DeliveryTag != nil {
		l.binary(p.DeliveryTag)
	} else {
		l.null()
	}
	if p.HasMessageFormat {
		l.uint(p.MessageFormat)
	} else {
		l.null()
	}
	if p.HasSettled || p.Settled {
		l.bool(p.Settled)
	} else {
		l.null()
	}
	l.trueOrNull(p.More)
	l.null()
	l.state(p.State)
	l.null()
	l.trueOrNull(p.Aborted)
	return l.end()
}
