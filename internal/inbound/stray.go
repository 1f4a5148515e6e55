package inbound

import (
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// strayWait is how long a message is waited for once more before its file is forgotten.
const strayWait = 2 * time.Second

// adopt takes a file into the hand whose message has left the queue while F&O had it, or may have had it: it expired, or
// the broker or somebody else dead-lettered it. Its import goes on all the same, so it is followed to its end and the
// world is told, and the files behind it wait for it. From the message only what the ledger knows is left; the rest is
// taken from like, a message of the same session, which may be nil.
func (l *lane) adopt(e *ledger.Entry, like *azservicebus.ReceivedMessage) {
	session, seq := l.ID(), e.Seq
	raw := &azservicebus.ReceivedMessage{MessageID: e.Key, SessionID: &session, SequenceNumber: &seq}
	properties := map[string]any{}
	if like != nil {
		for _, name := range []string{contract.PropEntity, contract.PropCompany} {
			if v, ok := like.ApplicationProperties[name]; ok {
				properties[name] = v
			}
		}
	}
	raw.ApplicationProperties = properties
	f := &fileImport{entry: e, stray: true, ctx: l.owned, broken: reject(failure.UnknownOutcome, "its message has left the queue")}
	f.msg = &message{raw: raw, seq: seq, ctx: l.owned, end: func(error) {}}
	f.msg.Message, f.route, _ = l.w.routed(l.src.Name, raw)
	f.msg.Key = e.Key
	if f.route != nil {
		l.tel.FileBegan(f.ctx, f.route.Name)
	}
	l.log.WarnContext(l.owned, "a message left its queue while F&O had its file; the import is followed without it",
		"sequence", seq, "message", e.Key, "fnoMessage", e.FnoID)
	l.imports = append(l.imports, f)
}

// adoptRest adopts the files that F&O has, in a session that has no messages. It reports whether there were any.
func (l *lane) adoptRest() bool {
	busy := l.ledger.Busy()
	for _, seq := range busy {
		l.adopt(l.ledger.Find(seq), nil)
	}
	return len(busy) > 0
}

// forgetStray drops a file from the hand whose message has come after all.
func (h *hand) forgetStray(seq int64) {
	h.imports = slices.DeleteFunc(h.imports, func(f *fileImport) bool { return f.stray && f.msg.seq == seq })
}

// strayEnded forgets a file without a message, once the world knows how it ended. bad is why it failed, nil for success.
func (l *lane) strayEnded(f *fileImport, bad *failure.Failure) (next, error) {
	const why = "its message had left the queue, expired or dead-lettered by the broker or by somebody; what is in the dead-letter queue must not be sent again unless the import failed"
	if f.route == nil {
		l.events.say(f, status.UnknownOutcome, failure.UnknownOutcome, bad.Error())
	}
	if n := len(f.pending); n > 0 && f.pending[n-1].Detail == "" {
		f.pending[n-1].Detail = why
	}
	if err := l.events.flush(f); err != nil {
		return goOn, err
	}
	if l.highest < f.msg.seq { // nothing came after it: its message may be slow, and then it is not gone
		if _, err := l.receive(time.Now().Add(strayWait)); err != nil || !slices.Contains(l.imports, f) {
			return goOn, err
		}
	}
	outcome := telemetry.Processed
	if bad != nil {
		outcome = telemetry.DeadLettered
		l.log.WarnContext(f.ctx, "an import failed whose message has left the queue", "sequence", f.msg.seq, "message", f.msg.Key, "error", bad)
	}
	l.ledger.Gone(f.msg.seq)
	if err := l.store(f.ctx); err != nil {
		return goOn, err
	}
	if f.route != nil {
		l.tel.FileEnded(f.ctx, f.route.Name, outcome, time.Time{})
	}
	l.letGo(f, nil)
	return goOn, nil
}
