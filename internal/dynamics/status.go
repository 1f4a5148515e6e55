package dynamics

import "strings"

// A State is a normalised message status of the recurring integrations API.
type State string

// The states. Imports end in Processed, ProcessedWithErrors, PreProcessingError or PostProcessingFailed; Downloaded and
// Acked belong to exports. Source: Microsoft Learn, recurring-integrations, "API for getting message status", and the
// enum IntegrationActivityMessageStatus of Microsoft's Recurring Integrations Scheduler.
const (
	StateUnknown         State = "" // F&O said something this version does not know, or nothing yet
	Enqueued             State = "Enqueued"
	Dequeued             State = "Dequeued"
	Preprocessing        State = "Preprocessing"
	Processing           State = "Processing"
	Processed            State = "Processed"
	ProcessedWithErrors  State = "ProcessedWithErrors"
	PreProcessingError   State = "PreProcessingError"
	PostProcessingFailed State = "PostProcessingFailed"
	Downloaded           State = "Downloaded"
	Acked                State = "Acked"
)

// A Status is what F&O says about a message.
type Status struct {
	State State  // StateUnknown when Raw is a word this version does not know
	Raw   string // F&O's own word; empty while F&O does not know the message yet
}

// spellings maps every documented or observed word, in lower case, to its state. Documentation, server enum and the
// legacy job status differ in four of them.
var spellings = map[string]State{
	"enqueued":             Enqueued,
	"dequeued":             Dequeued,
	"preprocessing":        Preprocessing,
	"processing":           Processing,
	"inprocess":            Processing,
	"processed":            Processed,
	"processedwitherrors":  ProcessedWithErrors,
	"preprocessingerror":   PreProcessingError,
	"preprocesserror":      PreProcessingError,
	"postprocessingfailed": PostProcessingFailed,
	"postprocessingerror":  PostProcessingFailed,
	"postprocesserror":     PostProcessingFailed,
	"downloaded":           Downloaded,
	"acked":                Acked,
}

// ParseStatus normalises F&O's word. A word it does not know is kept in Raw and is not final: it is reported, never
// guessed.
func ParseStatus(raw string) Status {
	raw = strings.TrimSpace(raw)
	return Status{State: spellings[strings.ToLower(raw)], Raw: raw}
}

// Final reports whether the import has ended.
func (s Status) Final() bool {
	switch s.State {
	case Processed, ProcessedWithErrors, PreProcessingError, PostProcessingFailed:
		return true
	default:
		return false
	}
}

// OK reports whether the import has ended well.
func (s Status) OK() bool { return s.State == Processed }

// String gives the normalised word, or F&O's own where there is none.
func (s Status) String() string {
	if s.State == StateUnknown {
		return s.Raw
	}
	return string(s.State)
}
