package history

import (
	"cmp"
	"slices"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

// file is everything that is known about one sent file.
type file struct {
	Sent
	imports  []Recorded // in order of acceptance
	events   []Event    // in order of arrival, each ID once
	dead     []DeadLettered
	pending  bool
	unknowns int             // reported unknown outcomes
	released int             // times an operator let it go on
	named    map[string]bool // F&O's IDs that events name
}

// Check compares a history with the promises. Its cost grows with the number of records, not with its square.
func Check(h History) Report {
	var r Report
	files, sessions := collect(h, &r)
	r.Files = len(files)
	for _, s := range sessions {
		mode := cmp.Or(h.Modes[s.name], h.Mode, Processed)
		for _, f := range s.files {
			f.count(&r)
			f.checkEnd(&r)
			f.checkImports(h.Repeatable, &r)
			f.checkTransitions(&r)
		}
		checkOrder(s.files, mode, &r)
	}
	return r
}

// session is the files of one session in the order they were sent.
type session struct {
	name  string
	files []*file
}

// collect brings the records together by file, and reports those that belong to none.
func collect(h History, r *Report) (map[string]*file, []*session) {
	files, byName := map[string]*file{}, map[string]*session{}
	var sessions []*session
	for _, sent := range h.Sent {
		if sent.MessageID == "" || files[sent.MessageID] != nil {
			r.add(Malformed, sent.Session, sent.MessageID, "the message ID of a sent file is empty or taken")
			continue
		}
		f := &file{Sent: sent, named: map[string]bool{}}
		files[sent.MessageID] = f
		s := byName[sent.Session]
		if s == nil {
			s = &session{name: sent.Session}
			byName[sent.Session] = s
			sessions = append(sessions, s)
		}
		s.files = append(s.files, f)
	}
	for _, s := range sessions {
		slices.SortStableFunc(s.files, func(a, b *file) int { return cmp.Compare(a.Index, b.Index) })
		for i, f := range s.files[1:] {
			if f.Index == s.files[i].Index {
				r.add(Malformed, s.name, f.MessageID, "two files of the session have the index %d", f.Index)
			}
		}
	}
	collectImports(h, files, r)
	collectEvents(h, files, r)
	for _, d := range h.DeadLettered {
		if f := files[d.MessageID]; f != nil {
			f.dead = append(f.dead, d)
		} else {
			r.add(Foreign, "", d.MessageID, "in the dead-letter queue (%s), but nobody sent it", d.Reason)
		}
	}
	for _, id := range h.Remaining {
		if f := files[id]; f != nil {
			f.pending = true
		} else {
			r.add(Foreign, "", id, "in the queue, but nobody sent it")
		}
	}
	return files, sessions
}

func collectImports(h History, files map[string]*file, r *Report) {
	imports := slices.SortedStableFunc(slices.Values(h.Recorded), func(a, b Recorded) int { return cmp.Compare(a.Order, b.Order) })
	for i, rec := range imports {
		if i > 0 && imports[i-1].Order == rec.Order {
			r.add(Malformed, "", rec.ExternalID, "two imports have the acceptance order %d", rec.Order)
		}
		if f := files[rec.ExternalID]; f != nil {
			f.imports = append(f.imports, rec)
		} else {
			r.add(Foreign, "", rec.ExternalID, "imported as %s, but nobody sent it", rec.MessageID)
		}
	}
}

func collectEvents(h History, files map[string]*file, r *Report) {
	events := slices.SortedStableFunc(slices.Values(h.Events), func(a, b Event) int { return cmp.Compare(a.Order, b.Order) })
	seen := make(map[string]bool, len(events))
	for _, e := range events {
		if kind := e.Status.Kind(); e.MessageID == "" || kind == status.Environment || kind == status.Export {
			continue // not about a file that was sent
		}
		f := files[e.MessageID]
		switch {
		case seen[e.ID]:
			r.add(DuplicatedEvents, e.Session, e.MessageID, "event %s (%s) came twice", e.ID, e.Status)
			continue
		case f == nil:
			r.add(Foreign, e.Session, e.MessageID, "event %s of a file that nobody sent", e.Status)
			continue
		case e.Session != f.Session:
			r.add(Foreign, e.Session, e.MessageID, "event %s came in the session %q, the file was sent in %q", e.Status, e.Session, f.Session)
		}
		seen[e.ID] = true
		f.events = append(f.events, e)
		if e.FnoMessageID != "" {
			f.named[e.FnoMessageID] = true
		}
		switch e.Status {
		case status.UnknownOutcome:
			f.unknowns++
		case status.Released:
			f.released++
		}
	}
}

func (f *file) count(r *Report) {
	if f.processed() {
		r.Processed++
	}
	if len(f.dead) > 0 {
		r.DeadLettered++
	}
	if f.unknowns > 0 {
		r.Unknown++
	}
	if f.pending {
		r.Pending++
	}
}

// processed reports whether F&O processed the file.
func (f *file) processed() bool {
	return slices.ContainsFunc(f.imports, func(i Recorded) bool { return i.succeeded() })
}

// checkEnd finds files that were lost, and those whose last word denies what F&O recorded.
func (f *file) checkEnd(r *Report) {
	done := f.processed()
	switch {
	case len(f.dead) > 1:
		r.add(Duplicated, f.Session, f.MessageID, "it lies in the dead-letter queue %d times", len(f.dead))
	case len(f.dead) == 1 && denies(f.dead[0].Reason) && slices.ContainsFunc(f.knownImports(), Recorded.succeeded):
		r.add(Contradicted, f.Session, f.MessageID, "dead-lettered for %s, but F&O processed it", f.dead[0].Reason)
	case len(f.dead) == 0 && !done && !f.pending:
		r.add(Lost, f.Session, f.MessageID, "not processed (%s), not dead-lettered, not in the queue", f.lastStatus())
	}
	if f.has(status.Processed) && !done {
		r.add(Contradicted, f.Session, f.MessageID, "reported processed, but F&O says %s", f.lastStatus())
	}
}

// denies reports whether a dead-letter reason says that F&O does not hold the file processed. An outcome that is
// unknown, or that came too late to be waited for, says nothing about that; nor does an operator's decision.
func denies(reason failure.Reason) bool {
	switch reason {
	case failure.UnknownOutcome, failure.NeverEnds, failure.OperatorSkipped, failure.LedgerUnusable:
		return false
	}
	return true
}

func (f *file) lastStatus() string {
	if len(f.imports) == 0 {
		return "never imported"
	}
	return f.imports[len(f.imports)-1].Status
}

func (f *file) has(s status.Status) bool {
	return slices.ContainsFunc(f.events, func(e Event) bool { return e.Status == s })
}

// checkOrder finds imports that came before those of an earlier file of the session were where the mode wants them, and
// events of a file that began before those of an earlier one had ended.
func checkOrder(files []*file, mode Mode, r *Report) {
	var taken, running Recorded // of the earlier files: the last to be taken, the last to end
	takenBy, runningBy, lastEvent := (*file)(nil), (*file)(nil), Event{Order: -1}
	for _, f := range files {
		known := f.knownImports()
		if len(known) > 0 {
			first := known[0]
			switch {
			case takenBy != nil && first.Order < taken.Order:
				r.add(OutOfOrder, f.Session, f.MessageID, "taken as number %d, the earlier file %q was taken as number %d",
					first.Order, takenBy.MessageID, taken.Order)
			case mode == Processed && runningBy != nil && first.Accepted.Before(running.Ended):
				r.add(OutOfOrder, f.Session, f.MessageID, "taken %v before the import of the earlier file %q had ended",
					running.Ended.Sub(first.Accepted), runningBy.MessageID)
			}
		}
		for n, i := range known {
			// A retry of a failed import comes after later files where those need not wait for its end.
			if (n == 0 || mode == Processed) && (takenBy == nil || i.Order > taken.Order) {
				taken, takenBy = i, f
			}
			if !f.givenUp() && (runningBy == nil || i.Ended.After(running.Ended)) {
				running, runningBy = i, f
			}
		}
		if len(f.events) == 0 {
			continue
		}
		if mode == Processed && f.events[0].Order < lastEvent.Order {
			r.add(TransitionsOutOfOrder, f.Session, f.MessageID, "its %s came before the %s of the earlier file %q",
				f.events[0].Status, lastEvent.Status, lastEvent.MessageID)
		}
		if last := f.events[len(f.events)-1]; last.Order > lastEvent.Order {
			lastEvent = last
		}
	}
}

// givenUp reports whether the file was left alone before F&O had ended with it; when that was is not recorded.
func (f *file) givenUp() bool {
	return f.has(status.NeverEnds) || slices.ContainsFunc(f.dead, func(d DeadLettered) bool { return !denies(d.Reason) })
}

// knownImports are those whose time the sender could know: all, or, when an unknown outcome was reported, those that an
// event names.
func (f *file) knownImports() []Recorded {
	if f.unknowns == 0 {
		return f.imports
	}
	return slices.DeleteFunc(slices.Clone(f.imports), func(i Recorded) bool { return !f.named[i.MessageID] })
}
