package amqp

// Descriptor codes (parts 2, 3 and 5 of the specification).
const (
	codeOpen        = 0x10
	codeBegin       = 0x11
	codeAttach      = 0x12
	codeFlow        = 0x13
	codeTransfer    = 0x14
	codeDisposition = 0x15
	codeDetach      = 0x16
	codeEnd         = 0x17
	codeClose       = 0x18
	codeError       = 0x1d
	codeReceived    = 0x23
	codeAccepted    = 0x24
	codeRejected    = 0x25
	codeReleased    = 0x26
	codeModified    = 0x27
	codeSource      = 0x28
	codeTarget      = 0x29
	codeCoordinator = 0x30
	codeMechanisms  = 0x40
	codeInit        = 0x41
	codeOutcome     = 0x44
)

var symbolicDescriptors = map[Symbol]uint64{
	"amqp:open:list": codeOpen, "amqp:begin:list": codeBegin, "amqp:attach:list": codeAttach,
	"amqp:flow:list": codeFlow, "amqp:transfer:list": codeTransfer, "amqp:disposition:list": codeDisposition,
	"amqp:detach:list": codeDetach, "amqp:end:list": codeEnd, "amqp:close:list": codeClose,
	"amqp:error:list": codeError, "amqp:received:list": codeReceived, "amqp:accepted:list": codeAccepted,
	"amqp:rejected:list": codeRejected, "amqp:released:list": codeReleased, "amqp:modified:list": codeModified,
	"amqp:source:list": codeSource, "amqp:target:list": codeTarget, "amqp:coordinator:list": codeCoordinator,
	"amqp:sasl-init:list": codeInit, "amqp:sasl-mechanisms:list": codeMechanisms, "amqp:sasl-outcome:list": codeOutcome,
	"amqp:header:list": codeHeader, "amqp:delivery-annotations:map": codeDeliveryAnnotations,
	"amqp:message-annotations:map": codeMessageAnnotations, "amqp:properties:list": codeProperties,
	"amqp:application-properties:map": codeApplicationProperties, "amqp:data:binary": codeData,
	"amqp:amqp-sequence:list": codeSequence, "amqp:amqp-value:*": codeValue, "amqp:footer:map": codeFooter,
}

// Performative is one of Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close, SASLInit, SASLMechanisms
// and SASLOutcome.
type Performative interface {
	// Append appends the encoded performative.
	Append(b []byte) []byte
}

// Decode decodes the performative at the start of a frame body and returns the rest of the body: the payload of a
// transfer. The payload aliases body.
func Decode(body []byte) (Performative, []byte, error) {
	r := Reader{b: body}
	c, err := r.byte()
	if err != nil {
		return nil, nil, err
	}
	if c != 0 {
		return nil, nil, malformed("performative wanted, constructor 0x%02x found", c)
	}
	code, err := r.descriptor()
	if err != nil {
		return nil, nil, err
	}
	f, err := listFields(&r)
	if err != nil {
		return nil, nil, err
	}
	var p Performative
	switch code {
	case codeOpen:
		p = decodeOpen(&f)
	case codeBegin:
		p = decodeBegin(&f)
	case codeAttach:
		p = decodeAttach(&f)
	case codeFlow:
		p = decodeFlow(&f)
	case codeTransfer:
		p = decodeTransfer(&f)
	case codeDisposition:
		p = decodeDisposition(&f)
	case codeDetach:
		p = decodeDetach(&f)
	case codeEnd:
		p = &End{Error: f.error()}
	case codeClose:
		p = &Close{Error: f.error()}
	case codeInit:
		p = &SASLInit{Mechanism: Symbol(f.string()), Initial: append([]byte(nil), first(f.bytes())...), Hostname: f.string()}
	case codeMechanisms:
		p = &SASLMechanisms{Mechanisms: f.symbols()}
	case codeOutcome:
		p = &SASLOutcome{Code: f.ubyte(0)}
	default:
		return nil, nil, malformed("unknown performative 0x%x", code)
	}
	if f.err != nil {
		return nil, nil, f.err
	}
	return p, r.b[r.pos:], nil
}

func first(p []byte, _ bool) []byte { return p }

// Open opens a connection.
type Open struct {
	ContainerID, Hostname string
	MaxFrameSize          uint32 // 0 when absent: no limit
	ChannelMax            uint16
	IdleTimeout           uint32 // milliseconds, 0 = none
	OfferedCapabilities   []Symbol
	DesiredCapabilities   []Symbol
	Properties            Map
}

func decodeOpen(f *fields) *Open {
	o := &Open{ContainerID: f.string(), Hostname: f.string(), MaxFrameSize: f.uintOr(0), ChannelMax: f.ushort(65535),
		IdleTimeout: f.uintOr(0)}
	f.skip()
	f.skip()
	o.OfferedCapabilities, o.DesiredCapabilities, o.Properties = f.symbols(), f.symbols(), f.mapValue()
	return o
}

// Append implements Performative.
func (o *Open) Append(b []byte) []byte {
	l := beginList(b, codeOpen)
	l.string(o.ContainerID)
	if o.Hostname != "" {
		l.string(o.Hostname)
	} else {
		l.null()
	}
	if o.MaxFrameSize != 0 {
		l.uint(o.MaxFrameSize)
	} else {
		l.null()
	}
	l.ushort(o.ChannelMax)
	if o.IdleTimeout != 0 {
		l.uint(o.IdleTimeout)
	} else {
		l.null()
	}
	l.null()
	l.null()
	l.symbolsOrNull(o.OfferedCapabilities)
	l.symbolsOrNull(o.DesiredCapabilities)
	l.mapOrNull(o.Properties)
	return l.end()
}

// Begin begins a session. RemoteChannel is -1 when absent.
type Begin struct {
	RemoteChannel  int
	NextOutgoingID uint32
	IncomingWindow uint32
	OutgoingWindow uint32
	HandleMax      uint32
	Properties     Map
}

func decodeBegin(f *fields) *Begin {
	p := &Begin{RemoteChannel: -1}
	if n, ok := f.number(1<<16 - 1); ok {
		p.RemoteChannel = int(n)
	}
	p.NextOutgoingID, p.IncomingWindow, p.OutgoingWindow = f.uintOr(0), f.uintOr(0), f.uintOr(0)
	p.HandleMax = f.uintOr(1<<32 - 1)
	f.skip()
	f.skip()
	p.Properties = f.mapValue()
	return p
}

// Append implements Performative.
func (p *Begin) Append(b []byte) []byte {
	l := beginList(b, codeBegin)
	if p.RemoteChannel >= 0 {
		l.ushort(uint16(p.RemoteChannel))
	} else {
		l.null()
	}
	l.uint(p.NextOutgoingID)
	l.uint(p.IncomingWindow)
	l.uint(p.OutgoingWindow)
	l.uint(p.HandleMax)
	l.null()
	l.null()
	l.mapOrNull(p.Properties)
	return l.end()
}

// Flow updates a session and, when HasHandle, a link.
type Flow struct {
	NextIncomingID    uint32
	HasNextIncomingID bool
	IncomingWindow    uint32
	NextOutgoingID    uint32
	OutgoingWindow    uint32
	Handle            uint32
	HasHandle         bool
	DeliveryCount     uint32
	HasDeliveryCount  bool
	LinkCredit        uint32
	HasLinkCredit     bool
	Available         uint32
	Drain             bool
	Echo              bool
}

func decodeFlow(f *fields) *Flow {
	p := &Flow{}
	p.NextIncomingID, p.HasNextIncomingID = f.uint()
	p.IncomingWindow, p.NextOutgoingID, p.OutgoingWindow = f.uintOr(0), f.uintOr(0), f.uintOr(0)
	p.Handle, p.HasHandle = f.uint()
	p.DeliveryCount, p.HasDeliveryCount = f.uint()
	p.LinkCredit, p.HasLinkCredit = f.uint()
	p.Available, p.Drain, p.Echo = f.uintOr(0), f.bool(false), f.bool(false)
	return p
}

// Append implements Performative.
func (p *Flow) Append(b []byte) []byte {
	l := beginList(b, codeFlow)
	optUint := func(n uint32, ok bool) {
		if ok {
			l.uint(n)
		} else {
			l.null()
		}
	}
	optUint(p.NextIncomingID, p.HasNextIncomingID)
	l.uint(p.IncomingWindow)
	l.uint(p.NextOutgoingID)
	l.uint(p.OutgoingWindow)
	optUint(p.Handle, p.HasHandle)
	optUint(p.DeliveryCount, p.HasDeliveryCount)
	optUint(p.LinkCredit, p.HasLinkCredit)
	l.null()
	l.trueOrNull(p.Drain)
	l.trueOrNull(p.Echo)
	return l.end()
}

// Detach detaches a link.
type Detach struct {
	Handle uint32
	Closed bool
	Error  *Error
}

func decodeDetach(f *fields) *Detach {
	return &Detach{Handle: f.uintOr(0), Closed: f.bool(false), Error: f.error()}
}

// Append implements Performative.
func (p *Detach) Append(b []byte) []byte {
	l := beginList(b, codeDetach)
	l.uint(p.Handle)
	l.bool(p.Closed)
	l.error(p.Error)
	return l.end()
}

// End ends a session.
type End struct{ Error *Error }

// Append implements Performative.
func (p *End) Append(b []byte) []byte {
	l := beginList(b, codeEnd)
	l.error(p.Error)
	return l.end()
}

// Close closes a connection.
type Close struct{ Error *Error }

// Append implements Performative.
func (p *Close) Append(b []byte) []byte {
	l := beginList(b, codeClose)
	l.error(p.Error)
	return l.end()
}

// SASLInit is the client's choice of a mechanism.
type SASLInit struct {
	Mechanism Symbol
	Initial   []byte
	Hostname  string
}

// Append implements Performative.
func (p *SASLInit) Append(b []byte) []byte {
	l := beginList(b, codeInit)
	l.symbol(p.Mechanism)
	l.binary(p.Initial)
	l.string(p.Hostname)
	return l.end()
}

// SASLMechanisms offers mechanisms.
type SASLMechanisms struct{ Mechanisms []Symbol }

// Append implements Performative.
func (p *SASLMechanisms) Append(b []byte) []byte {
	l := beginList(b, codeMechanisms)
	l.value(p.Mechanisms)
	return l.end()
}

// SASLOutcome ends the SASL exchange; code 0 is success.
type SASLOutcome struct{ Code uint8 }

// Append implements Performative.
func (p *SASLOutcome) Append(b []byte) []byte {
	l := beginList(b, codeOutcome)
	l.ubyte(p.Code)
	return l.end()
}
