package amqp

// Roles of a link endpoint and settle modes.
const (
	RoleSender   = false
	RoleReceiver = true

	SenderUnsettled = 0
	SenderSettled   = 1
	SenderMixed     = 2
	ReceiverFirst   = 0
	ReceiverSecond  = 1
)

// Attach attaches a link. Target and Coordinator exclude each other.
type Attach struct {
	Name                 string
	Handle               uint32
	Role                 bool // RoleReceiver or RoleSender
	SenderSettleMode     uint8
	ReceiverSettleMode   uint8
	Source               *Source
	Target               *Target
	Coordinator          bool // the target is a transaction coordinator
	InitialDeliveryCount uint32
	MaxMessageSize       uint64 // 0 = no limit
	Properties           Map
}

// Source is where a link takes messages from.
type Source struct {
	Address      string
	HasAddress   bool
	Durable      uint32
	ExpiryPolicy Symbol
	Timeout      uint32
	Filter       Map
	Outcomes     any
	Default      any
	Capabilities any
}

// Target is where a link puts messages.
type Target struct {
	Address      string
	HasAddress   bool
	Durable      uint32
	ExpiryPolicy Symbol
	Timeout      uint32
	Capabilities any
}

func decodeAttach(f *fields) *Attach {
	p := &Attach{Name: f.string(), Handle: f.uintOr(0), Role: f.bool(false), SenderSettleMode: f.ubyte(SenderMixed),
		ReceiverSettleMode: f.ubyte(ReceiverFirst)}
	if _, sub, ok := f.described(); ok {
		p.Source = decodeSource(&sub)
		f.fail(sub.err)
	}
	if code, sub, ok := f.described(); ok {
		if code == codeCoordinator {
			p.Coordinator = true
		} else {
			p.Target = decodeTarget(&sub)
			f.fail(sub.err)
		}
	}
	f.skip() // unsettled
	f.skip() // incomplete-unsettled
	p.InitialDeliveryCount, p.MaxMessageSize = f.uintOr(0), f.ulong()
	f.skip()
	f.skip()
	p.Properties = f.mapValue()
	return p
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) address() (string, bool) {
	p, ok := f.bytes()
	return string(p), ok
}

func decodeSource(f *fields) *Source {
	s := &Source{}
	s.Address, s.HasAddress = f.address()
	s.Durable, s.ExpiryPolicy, s.Timeout = f.uintOr(0), Symbol(f.string()), f.uintOr(0)
	f.skip() // dynamic
	f.skip() // dynamic node properties
	f.skip() // distribution mode
	s.Filter, s.Default, s.Outcomes, s.Capabilities = f.mapValue(), f.any(), f.any(), f.any()
	return s
}

func decodeTarget(f *fields) *Target {
	t := &Target{}
	t.Address, t.HasAddress = f.address()
	t.Durable, t.ExpiryPolicy, t.Timeout = f.uintOr(0), Symbol(f.string()), f.uintOr(0)
	f.skip()
	f.skip()
	t.Capabilities = f.any()
	return t
}

func (l *list) terminus(address string, has bool, durable uint32, expiry Symbol, timeout uint32) {
	if has {
		l.string(address)
	} else {
		l.null()
	}
	l.uint(durable)
	if expiry != "" {
		l.symbol(expiry)
	} else {
		l.null()
	}
	l.uint(timeout)
}

func (s *Source) append(b []byte) []byte {
	l := beginList(b, codeSource)
	l.terminus(s.Address, s.HasAddress, s.Durable, s.ExpiryPolicy, s.Timeout)
	l.null()
	l.null()
	l.null()
	l.mapOrNull(s.Filter)
	l.value(s.Default)
	l.value(s.Outcomes)
	l.value(s.Capabilities)
	return l.end()
}

func (t *Target) append(b []byte) []byte {
	l := beginList(b, codeTarget)
	l.terminus(t.Address, t.HasAddress, t.Durable, t.ExpiryPolicy, t.Timeout)
	l.null()
	l.null()
	l.value(t.Capabilities)
	return l.end()
}

// Append implements Performative.
func (p *Attach) Append(b []byte) []byte {
	l := beginList(b, codeAttach)
	l.string(p.Name)
	l.uint(p.Handle)
	l.bool(p.Role)
	l.ubyte(p.SenderSettleMode)
	l.ubyte(p.ReceiverSettleMode)
	if p.Source != nil {
		l.field()
		l.b = p.Source.append(l.b)
	} else {
		l.null()
	}
	switch {
	case p.Target != nil:
		l.field()
		l.b = p.Target.append(l.b)
	case p.Coordinator:
		l.field()
		c := beginList(l.b, codeCoordinator)
		l.b = c.end()
	default:
		l.null()
	}
	l.null()
	l.null()
	if !p.Role { // RoleSender
		l.uint(p.InitialDeliveryCount)
	} else {
		l.null()
	}
	if p.MaxMessageSize != 0 {
		l.ulong(p.MaxMessageSize)
	} else {
		l.null()
	}
	l.null()
	l.null()
	l.mapOrNull(p.Properties)
	return l.end()
}
