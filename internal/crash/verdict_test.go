//go:build unix

package crash

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fnobridge/internal/failure"
	"fnobridge/internal/history"
	"fnobridge/internal/status"
)

// history collects what everybody saw.
func (w *world) history() history.History {
	w.mu.Lock()
	h := history.History{Sent: slices.Clone(w.sent), Modes: map[string]history.Mode{}, Repeatable: true}
	w.mu.Unlock()
	for _, s := range h.Sent {
		if s.Session[:len(windowed)] == windowed {
			h.Modes[s.Session] = history.Enqueued
		}
	}
	for _, i := range w.fno.Imports() {
		h.Recorded = append(h.Recorded, history.Recorded{
			ExternalID: i.ExternalID, MessageID: i.MessageID, Hash: i.SHA256, Order: i.Order, Accepted: i.AcceptedAt, Ended: i.EndedAt, Status: i.Outcome,
		})
	}
	for _, m := range w.bus.Messages(subscriber) {
		e, err := status.Decode(m.Body)
		if err != nil {
			w.t.Errorf("event %s: %v", m.MessageID, err)
			continue
		}
		x := history.FromEvent(e, int(m.Sequence))
		x.ID = m.MessageID // as a subscriber gets it
		h.Events = append(h.Events, x)
	}
	for _, m := range w.bus.Messages(deadLetters) {
		h.DeadLettered = append(h.DeadLettered, history.DeadLettered{MessageID: m.MessageID, Reason: failure.Reason(m.DeadLetterReason)})
	}
	for _, m := range w.bus.Messages(inQueue) {
		h.Remaining = append(h.Remaining, m.MessageID)
	}
	return h
}

// judge asks the checker, and for the story of every file it complains about.
func (w *world) judge() history.Report {
	w.t.Helper()
	h := w.history()
	r := history.Check(h)
	w.drained(h)
	if r.OK() && r.Pending == 0 {
		return r
	}
	w.t.Errorf("%d findings, %d files left\n%s", len(r.Details), r.Pending, r.Error(20))
	for i, f := range r.Details {
		if i == 5 {
			break
		}
		w.t.Logf("the story of %q:\n%s", f.MessageID, story(h, f.MessageID))
	}
	return r
}

// drained wants that nothing of a draining session was imported behind the first file that was dead-lettered, and that
// only what such a session holds has a wrong checksum.
func (w *world) drained(h history.History) {
	w.t.Helper()
	dead, imported := map[string]failure.Reason{}, map[string]bool{}
	for _, d := range h.DeadLettered {
		dead[d.MessageID] = d.Reason
	}
	for _, i := range h.Recorded {
		imported[i.ExternalID] = true
	}
	first := map[string]int{}  // by session
	for _, s := range h.Sent { // in the order of a session
		at, is := first[s.Session]
		reason := dead[s.MessageID]
		switch {
		case !drains(s.Session) && reason == failure.ChecksumMismatch:
			w.t.Errorf("%q was not read as it was stored", s.MessageID)
		case !drains(s.Session):
		case !is && reason != "" && reason != failure.Drained:
			first[s.Session] = s.Index
		case is && (imported[s.MessageID] || reason == ""), !is && reason == failure.Drained:
			w.t.Errorf("%q, behind file %d (%v): imported %v, dead letter %q", s.MessageID, at, is, imported[s.MessageID], reason)
		}
	}
}

// story tells what is known of one file.
func story(h history.History, id string) string {
	var text strings.Builder
	for _, i := range h.Recorded {
		if i.ExternalID == id {
			fmt.Fprintf(&text, "  import %d %s, accepted %s, ended %s, %s\n", i.Order, i.MessageID, i.Accepted.Format(time.StampMicro), i.Ended.Format(time.StampMicro), i.Status)
		}
	}
	for _, e := range h.Events {
		if e.MessageID == id {
			fmt.Fprintf(&text, "  event %d %s %s %s\n", e.Order, e.Status, e.Reason, e.FnoMessageID)
		}
	}
	for _, d := range h.DeadLettered {
		if d.MessageID == id {
			fmt.Fprintf(&text, "  dead letter: %s\n", d.Reason)
		}
	}
	return text.String()
}
