package amqp

// Disposition settles deliveries First to Last, both included.
type Disposition struct {
	Role    bool
	First   uint32
	Last    uint32
	Settled bool
	State   *State
}

func decodeDisposition(f *fields) *Disposition {
	p := &Disposition{Role: f.bool(false), First: f.uintOr(0)}
	p.Last = f.uintOr(p.First)
	p.Settled, p.State = f.bool(false), f.state()
	return p
}

// Append implements Performative.
func (p *Disposition) Append(b []byte) []byte {
	l := beginList(b, codeDisposition)
	l.bool(p.Role)
	l.uint(p.First)
	if p.Last != p.First {
		l.uint(p.Last)
	} else {
		l.null()
	}
	l.bool(p.Settled)
	l.state(p.State)
	return l.end()
}

// StateKind tells delivery states apart.
type StateKind byte

// Delivery states. Unsupported is any other, such as a transactional state.
const (
	Unsupported StateKind = iota
	Received
	Accepted
	Rejected
	Released
	Modified
)

// State is a delivery state. Error belongs to Rejected, the rest to Modified.
type State struct {
	Kind              StateKind
	Error             *Error
	DeliveryFailed    bool
	UndeliverableHere bool
	Annotations       Map
}

// StateAccepted is the accepted state. It must not be written to.
var StateAccepted = &State{Kind: Accepted}

func (f *fields) state() *State {
	c, present := f.next()
	if !present {
		return nil
	}
	if c != 0 {
		f.err = malformed("delivery state wanted, constructor 0x%02x found", c)
		return nil
	}
	code, err := f.r.descriptor()
	if err != nil {
		f.err = err
		return nil
	}
	sub, err := listFields(&f.r)
	if err != nil {
		f.err = err
		return nil
	}
	var s *State
	switch code {
	case codeAccepted:
		return StateAccepted
	case codeReceived:
		s = &State{Kind: Received}
	case codeReleased:
		s = &State{Kind: Released}
	case codeRejected:
		s = &State{Kind: Rejected, Error: sub.error()}
	case codeModified:
		s = &State{Kind: Modified, DeliveryFailed: sub.bool(false), UndeliverableHere: sub.bool(false),
			Annotations: sub.mapValue()}
	default:
		s = &State{Kind: Unsupported}
	}
	f.fail(sub.err)
	return s
}

func (l *list) state(s *State) {
	if s == nil || s.Kind == Unsupported {
		l.null()
		return
	}
	l.field()
	switch s.Kind {
	case Accepted:
		l.b = append(l.b, 0, 0x53, codeAccepted, 0x45)
	case Released:
		l.b = append(l.b, 0, 0x53, codeReleased, 0x45)
	case Received:
		l.b = append(l.b, 0, 0x53, codeReceived, 0x45)
	case Rejected:
		sub := beginList(l.b, codeRejected)
		sub.error(s.Error)
		l.b = sub.end()
	case Modified:
		sub := beginList(l.b, codeModified)
		sub.bool(s.DeliveryFailed)
		sub.bool(s.UndeliverableHere)
		sub.mapOrNull(s.Annotations)
		l.b = sub.end()
	}
}
