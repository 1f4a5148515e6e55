package history

import (
	"slices"
	"strings"

	"fnobridge/internal/status"
)

// checkImports finds imports too many, and imports of other bytes.
func (f *file) checkImports(repeatable bool, r *Report) {
	unknowns, released := f.unknowns, f.released
	var open []Recorded // earlier imports that nothing excuses
	for n, i := range f.imports {
		if f.Hash != "" && i.Hash != "" && !strings.EqualFold(f.Hash, i.Hash) {
			r.add(Altered, f.Session, f.MessageID, "import %s has the hash %s, sent was %s", i.MessageID, i.Hash, f.Hash)
		}
		for {
			at := slices.IndexFunc(open, func(e Recorded) bool { return !retryOf(e, i, repeatable) })
			if at < 0 {
				break
			}
			switch {
			case released > 0 && endedBefore(open[at], i):
				released-- // an operator decided that what is in may come in again
			case unknowns > 0:
				// An outcome that was unknown is that of one import: it is excused, whatever became of it, and a later
				// retry of another one is held against it no more.
				unknowns--
				r.DuplicatedReported++
			default:
				r.add(Duplicated, f.Session, f.MessageID, "import %s is number %d of this file, %s", i.MessageID, n+1, open[at].forbids())
			}
			open = slices.Delete(open, at, at+1)
		}
		open = append(open, i)
	}
}

// retryOf reports whether i is a legal repetition of an earlier import: that one had ended by then, and failed, with
// none of its records in, or the route says that a second import does no harm. Where only the step after the import
// failed, all of them are in.
func retryOf(earlier, i Recorded, repeatable bool) bool {
	if !earlier.failed() || !endedBefore(earlier, i) {
		return false
	}
	switch status.OfFno(earlier.Status) {
	case status.PostProcessingFailed:
		return false
	case status.ProcessedWithErrors:
		return repeatable
	}
	return true
}

// endedBefore reports whether an earlier import was over when i was taken.
func endedBefore(earlier, i Recorded) bool {
	return !earlier.Ended.IsZero() && !i.Accepted.Before(earlier.Ended)
}

// forbids says why the file must not be imported again after this import.
func (i Recorded) forbids() string {
	if i.failed() && !i.Ended.IsZero() {
		return "after import " + i.MessageID + " ended " + i.Status + ": records of it may be in"
	}
	return "and nothing excuses it"
}

// succeeded reports whether F&O says that it processed the file.
func (i Recorded) succeeded() bool { return status.OfFno(i.Status) == status.Processed }

// failed reports whether F&O says that the import failed, in any of its spellings.
func (i Recorded) failed() bool { return status.OfFno(i.Status).Final() && !i.succeeded() }
