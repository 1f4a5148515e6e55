package inbound

import (
	"context"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/failure"
	"fnobridge/internal/payload"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// A file is one message in this lane's hand. Only the lane's goroutine touches it.
type file struct {
	place
	msg     *azservicebus.ReceivedMessage
	seq     int64
	entry   Entry            // working copy of its place in the ledger
	bad     *failure.Failure // why it cannot be posted, found before its turn came
	payload *payload.Payload // nil until opened
	why     explanation      // what F&O said about its last failed import

	leaving  bool      // its settlement was begun; it may have left the queue
	before   time.Time // when the attempt before the last one was made
	intended bool      // the ledger holds the intent to post it, and it is not posted yet

	ctx      context.Context // the process span; ends with the lease
	end      telemetry.End
	pending  []status.Event // transitions not yet published, in order
	nextPoll time.Time
	polls    int    // failed questions in a row
	raw      string // the last status word that nobody knows
}

// newFile records the receive and begins the process span, the root of everything that is done for this file.
func (l *lane) newFile(m *azservicebus.ReceivedMessage, began time.Time) *file {
	f := &file{msg: m, seq: *m.SequenceNumber}
	info := f.info(l.s.ID())
	ctx := l.w.o.Telemetry.Receive(l.held, l.src.Destination, began, info, nil)
	if m.EnqueuedTime != nil {
		l.w.o.Telemetry.PickedUp(ctx, l.src.Destination, *m.EnqueuedTime)
	}
	f.ctx, f.end = l.w.o.Telemetry.Process(ctx, l.src.Destination, info)
	var err error
	if f.place, err = l.w.resolve(l.src.Name, m); err != nil {
		f.bad = failure.Of(err)
	}
	f.entry = Entry{Seq: f.seq, Key: f.key}
	d := telemetry.File{Entity: f.entity, Company: f.company}
	if f.route != nil {
		d.Route, d.Environment = f.route.Name, f.route.Environment.Name()
		l.w.o.Telemetry.FileBegan(f.ctx, f.route.Name)
	}
	telemetry.Describe(f.ctx, d)
	return f
}

func (f *file) info(session string) telemetry.MessageInfo {
	m := f.msg
	i := telemetry.MessageInfo{
		ID: m.MessageID, Session: session, Sequence: *m.SequenceNumber, Delivery: int(m.DeliveryCount),
		Size: len(m.Body), Properties: m.ApplicationProperties,
	}
	if m.CorrelationID != nil {
		i.CorrelationID = *m.CorrelationID
	}
	if m.EnqueuedTime != nil {
		i.Enqueued = *m.EnqueuedTime
	}
	return i
}

// open opens the payload, unless it is open.
func (l *lane) open(f *file) {
	if f.payload != nil || f.bad != nil {
		return
	}
	p, err := l.w.o.Payloads.Open(f.ctx, payload.Source{
		Body: f.msg.Body, DataRef: f.dataref, FileName: f.place.file, SHA256: f.sha256, Entity: f.entity,
	}, f.route.Payload)
	if err != nil {
		f.bad = failure.Of(err)
		return
	}
	f.payload = p
}

// forget closes the payload, so that it is opened anew when it is wanted again: with the size, the version and the
// checksum that it has then.
func (f *file) forget() {
	if f.payload != nil {
		_ = f.payload.Close() // a temporary file at most; nothing of the file is lost with it
		f.payload = nil
	}
}

// event describes a transition of the file.
func (l *lane) event(f *file, s status.Status, reason failure.Reason, detail string) status.Event {
	e := status.Event{
		Status: s, Reason: reason, Detail: detail, Time: time.Now(), Entity: f.entity, Company: f.company,
		Session: l.s.ID(), MessageID: f.key, SequenceNumber: f.seq, Queue: l.src.Name, FileName: f.place.file,
		FnoMessageID: f.entry.FnoID, ExecutionID: f.entry.ExecID, Attempt: max(f.entry.Attempts, 1),
	}
	if f.route != nil {
		e.Route, e.Environment = f.route.Name, f.route.Environment.Name()
	}
	e.TraceParent, e.TraceState = telemetry.Context(f.ctx)
	return e
}

// drop lets go of a file that this lane will not go on with; err is how its process span ends.
func (l *lane) drop(f *file, err error) {
	f.forget()
	if f.route != nil {
		l.w.o.Telemetry.FileLeft(f.ctx, f.route.Name)
	}
	f.end(err)
}

// closeFiles lets go of everything in hand at the end of the lane.
func (l *lane) closeFiles(err error) {
	for _, f := range l.inHand() {
		l.drop(f, err)
	}
}

// inHand gives every message this lane has received and not settled.
func (l *lane) inHand() []*file {
	all := slices.Clone(l.inFno)
	all = append(all, l.aside...)
	for _, f := range []*file{l.kept, l.cur, l.ahead} {
		if f != nil && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}
