package inbound

import (
	"context"
	"errors"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/ledger"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
)

// unreadable deals with session state that is no ledger this version can read. Nothing is guessed: the session stands
// still and says so.
//
// A newer version's state is left alone, and the session is given back after a while, for a replica of that version. A
// corrupt one waits for an operator's order; the bytes are then kept as the state of the session AsideSession names,
// and the first file counts as one whose outcome is unknown.
func (l *lane) unreadable(state []byte, why error) (next, error) {
	l.log.ErrorContext(l.owned, "session state cannot be read; the session stands still", "bytes", len(state), "error", why)
	l.access.slot.Rest()
	l.view.park(ledger.Holding, failure.LedgerUnusable, why.Error())
	if errors.Is(why, ledger.ErrNewer) {
		retry.Wait(l.waiting, 6*l.w.o.ParkCheck)
		return release, nil
	}
	l.ledger = &ledger.Ledger{} // nothing to store before the order has come
	f, err := l.receive(time.Time{})
	if f == nil || err != nil {
		return release, err
	}
	if err := l.sayUnreadable(f, why); err != nil {
		return goOn, err
	}
	l.view.park(ledger.Holding, failure.LedgerUnusable, why.Error())
	o, ok := l.orders.next(nil)
	for !ok {
		if !retry.Wait(l.waiting, l.orders.pause(l.w.o.ParkCheck)) {
			return goOn, context.Cause(l.waiting)
		}
		o, ok = l.orders.next(nil)
	}
	if err := l.orders.keepAside(state); err != nil {
		return goOn, err
	}
	return l.startOver(f, o, why)
}

// sayUnreadable tells the world that a file stands before an unreadable ledger, once: the ledger cannot remember it,
// and every fresh receiver comes by here.
func (l *lane) sayUnreadable(f *fileImport, why error) error {
	if l.w.unreadableSaid(l.key(f.msg.seq)) {
		return nil
	}
	l.events.say(f, status.Held, failure.LedgerUnusable, why.Error())
	if err := l.events.flush(f); err != nil {
		return err
	}
	f.entry.Published = ""
	l.w.noteUnreadable(l.key(f.msg.seq), true)
	return nil
}

// startOver carries out the order of an operator with an empty ledger. Whatever it leaves to do is in the new ledger,
// and needs a slot: so it is the next owner's.
func (l *lane) startOver(f *fileImport, o ledger.Order, why error) (next, error) {
	l.w.noteUnreadable(l.key(f.msg.seq), false)
	if o.Do == ledger.Release {
		l.events.say(f, status.Released, failure.LedgerUnusable, "released by "+o.By)
	}
	if f.route.overlaps() {
		l.ledger.Doubt = f.route.Window - 1 // they may have been posted too
	}
	bad := &failure.Failure{Verdict: failure.Unknown, Reason: failure.LedgerUnusable, Op: "read ledger", Detail: why.Error(), Err: why}
	if f.broken != nil || o.Do == ledger.Skip {
		bad.Verdict = failure.Reject
		return l.skip(f, bad)
	}
	f.entry.Tried(time.Now())
	_, err := l.unknown(f, bad)
	return release, err
}
