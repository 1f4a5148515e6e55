package inbound

import (
	"context"
	"time"

	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/payload"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// A fileImport is what the lane brings into F&O as one, from the message that carries it to its end. Where it is says the
// phase of its entry; only the lane's goroutine touches it.
type fileImport struct {
	msg   *message
	entry *ledger.Entry // the ledger's own
	route *Route        // nil when no route takes it
	ctx   context.Context
	stray bool // its message has left the queue; see adopt

	broken  *failure.Failure // why it cannot be posted, found when the message was read; always a rejection
	payload *payload.Payload // nil until opened

	due     time.Time // nothing is to be done for it before
	retryAt time.Time // Waiting: when its backoff is over; zero until that is known

	pending []status.Event       // transitions not yet published, in order
	polls   int                  // status questions in a row that failed
	word    string               // the last status word of F&O that nobody knows
	why     dynamics.Explanation // what F&O said about its last failed import
	failed  *failure.Failure     // why it was given up, for the letter; nil when an earlier owner gave it up
}

// take finds the place of a message in the ledger and its route, and takes it into the lane's hand.
func (l *lane) take(m *message) *fileImport {
	f := &fileImport{msg: m, ctx: m.ctx}
	var err error
	if m.Message, f.route, err = l.w.routed(l.src.Name, m.raw); err != nil {
		f.broken = failure.Of(err)
	}
	l.forgetStray(m.seq)
	park := l.ledger.Park
	for _, e := range l.ledger.Passed(m.seq, l.has) {
		l.adopt(e, m.raw)
	}
	if park != nil && l.ledger.Park == nil {
		l.log.InfoContext(l.owned, "the held file is gone; the session goes on", "sequence", park.Seq)
	}
	entry, late := l.ledger.Admit(m.seq, m.Key)
	if f.entry = entry; late {
		f.broken = reject(failure.OutOfOrder, "it came out when later files of its session had been begun; it was not imported")
	}
	d := telemetry.File{Entity: m.Entity, Company: m.Company, FnoMessage: f.entry.FnoID, FnoExecution: f.entry.ExecID}
	if f.route != nil {
		d.Route, d.Environment = f.route.Name, f.route.Environment.Name()
		l.tel.FileBegan(f.ctx, f.route.Name)
	}
	telemetry.Describe(f.ctx, d)
	if f.entry.Phase == ledger.InFno {
		l.log.InfoContext(f.ctx, "import taken up where the ledger left it", "sequence", m.seq, "message", m.Key, "fnoMessage", f.entry.FnoID)
	}
	l.imports = append(l.imports, f)
	return f
}

// open opens the payload, unless it is open.
func (l *lane) open(f *fileImport) *failure.Failure {
	if f.payload != nil {
		return nil
	}
	p, err := l.w.o.Payloads.Open(f.ctx, payload.Source{
		Body: f.msg.raw.Body, DataRef: f.msg.DataRef, FileName: f.msg.File, SHA256: f.msg.SHA256, Entity: f.msg.Entity,
	}, f.route.Payload)
	if err != nil {
		return failure.Of(err)
	}
	f.payload = p
	return nil
}

// close closes the payload, so that it is opened anew when it is wanted again: with the size, the version and the
// checksum that it has then.
func (f *fileImport) close() {
	if f.payload != nil {
		_ = f.payload.Close() // a temporary file at most; nothing of the file is lost with it
		f.payload = nil
	}
}

// letGo ends the lane's work on a file, settled or not; err is how its process span ends.
func (l *lane) letGo(f *fileImport, err error) {
	l.drop(f)
	f.close()
	if f.route != nil {
		l.tel.FileLeft(f.ctx, f.route.Name)
	}
	f.msg.end(err)
}
