package status

import (
	"slices"
	"strings"

	"fnobridge/internal/failure"
)

// A Kind says who speaks by a status, and about what.
type Kind int

// The kinds.
const (
	Unlisted    Kind = iota // in no row: another version's
	Progress                // F&O is at work on an import
	Final                   // F&O has ended an import
	Decision                // the bridge has decided something about a file
	Environment             // an environment was closed, or opened again
	Export                  // a file went out of F&O
)

// A Tone says how a status sounds to a person. Whoever shows statuses has a colour for each.
type Tone int

// The tones.
const (
	Plain  Tone = iota // nothing to look at
	Good               // it is done
	Uneasy             // it may come right, or somebody has to decide
	Bad                // it went wrong
)

// A row is all that is known about one status.
type row struct {
	status Status
	kind   Kind
	tone   Tone
	// spellings are F&O's own words for it, in lower case. Documentation, server enum and the legacy job status differ.
	spellings []string
	// reason is why a file failed that has this status; empty where the status is no failure, or has no reason of its own.
	reason failure.Reason
	// verdict is what an import that ended so means for the file, when nothing in its errors says that they pass.
	verdict failure.Verdict
	last    bool // nothing is heard of the file after it
}

// table has one row for each status. Those of Progress stand in the order in which F&O passes through them.
//
// A new status of F&O is a new row. A failed import needs its reason in package failure, too, and the reason its advice
// in package letter; docs/messages.md and docs/deadletter.md list both.
//
// Source of the spellings: Microsoft Learn, recurring-integrations, "API for getting message status", and the enum
// IntegrationActivityMessageStatus of Microsoft's Recurring Integrations Scheduler.
var table = []row{
	{status: Enqueued, kind: Progress, spellings: []string{"enqueued"}},
	{status: Dequeued, kind: Progress, spellings: []string{"dequeued"}},
	{status: PreProcessing, kind: Progress, spellings: []string{"preprocessing"}},
	{status: Processing, kind: Progress, spellings: []string{"processing", "inprocess"}},
	{status: Requeued, kind: Progress, tone: Uneasy},
	{status: Unrecognised, kind: Progress},

	{status: Processed, kind: Final, tone: Good, spellings: []string{"processed"}, last: true},
	{
		status: ProcessedWithErrors, kind: Final, tone: Bad, spellings: []string{"processedwitherrors"},
		reason: failure.ProcessedWithErrors, verdict: failure.Reject,
	},
	{
		status: PreProcessingError, kind: Final, tone: Bad, spellings: []string{"preprocessingerror", "preprocesserror"},
		reason: failure.PreProcessingError, verdict: failure.Reject,
	},
	{
		status: PostProcessingFailed, kind: Final, tone: Bad,
		spellings: []string{"postprocessingfailed", "postprocessingerror", "postprocesserror"},
		reason:    failure.PostProcessingFailed, verdict: failure.Reject,
	},

	{status: UnknownOutcome, kind: Decision, tone: Uneasy},
	{status: Retrying, kind: Decision, tone: Uneasy},
	{status: NeverEnds, kind: Decision, tone: Bad, reason: failure.NeverEnds, verdict: failure.Reject},
	{status: DeadLettered, kind: Decision, tone: Bad, last: true},
	{status: Held, kind: Decision, tone: Uneasy},
	{status: Released, kind: Decision},

	{status: Paused, kind: Environment},
	{status: Resumed, kind: Environment},
	{status: Exported, kind: Export},
	{status: ExportEmpty, kind: Export},
}

// byStatus and bySpelling find the rows.
var byStatus, bySpelling = index()

func index() (byStatus map[Status]row, bySpelling map[string]Status) {
	byStatus, bySpelling = map[Status]row{}, map[string]Status{}
	for _, r := range table {
		byStatus[r.status] = r
		for _, s := range r.spellings {
			bySpelling[s] = r.status
		}
	}
	return byStatus, bySpelling
}

// All returns every status, in the order of the table.
func All() []Status {
	all := make([]Status, len(table))
	for i, r := range table {
		all[i] = r.status
	}
	return all
}

// OfFno returns the status that a word of F&O means. Unrecognised stands for a word that this version does not know,
// and an empty status for no word: F&O does not know the import yet.
func OfFno(word string) Status {
	word = strings.ToLower(strings.TrimSpace(word))
	if s, ok := bySpelling[word]; ok || word == "" {
		return s
	}
	return Unrecognised
}

// Spellings returns F&O's own words for the status, in lower case; none for a status that F&O does not report.
func (s Status) Spellings() []string { return slices.Clone(byStatus[s].spellings) }

// Kind returns who speaks by the status.
func (s Status) Kind() Kind { return byStatus[s].kind }

// Tone returns how the status sounds to a person.
func (s Status) Tone() Tone { return byStatus[s].tone }

// Final reports whether F&O has ended the import.
func (s Status) Final() bool { return s.Kind() == Final }

// Environmental reports whether the status is an environment's, not a file's.
func (s Status) Environmental() bool { return s.Kind() == Environment }

// Ends reports whether a file is never heard of again after s.
func (s Status) Ends() bool { return byStatus[s].last }

// Failure returns why a file with this status failed, and what that means for it. ok is false for a status that is no
// failure, or that can have several reasons.
func (s Status) Failure() (v failure.Verdict, r failure.Reason, ok bool) {
	row := byStatus[s]
	return row.verdict, row.reason, row.reason != ""
}

// Before reports whether F&O passes through s before it passes through later. It is false where there is no order: of
// the statuses of Progress, all but Requeued and Unrecognised have one.
func (s Status) Before(later Status) bool {
	i, j := progress(s), progress(later)
	return i >= 0 && j >= 0 && i < j
}

func progress(s Status) int {
	if s == Requeued || s == Unrecognised || s.Kind() != Progress {
		return -1
	}
	return slices.IndexFunc(table, func(r row) bool { return r.status == s })
}

// Announces reports whether files that are dead-lettered for r have had a status that says so. ImportDeadlock is what
// any failed import can turn out to be, by its errors.
func Announces(r failure.Reason) bool {
	told := slices.ContainsFunc(table, func(row row) bool { return row.reason != "" && row.reason == r })
	return told || r == failure.ImportDeadlock
}
