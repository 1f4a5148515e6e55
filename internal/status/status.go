package status

// A Status names a transition as subscribers see it.
//
//	            +--------------- Retrying <---------------+
//	            v                                         |
//	(post) -> Enqueued -> Dequeued -> PreProcessing -> Processing -> Processed
//	   |                                 |                |
//	   |                          PreProcessingError   ProcessedWithErrors, PostProcessingFailed, NeverEnds
//	   |                                 \                |
//	   +-> UnknownOutcome ----------------+---------------+--> DeadLettered | Held
//
// What is known about each stands in the table (table.go). F&O may skip any of its own intermediate statuses: the
// bridge publishes what it saw, in order.
type Status string

// What F&O reports about a file, in one spelling each.
const (
	Enqueued             Status = "Enqueued"
	Dequeued             Status = "Dequeued"
	PreProcessing        Status = "PreProcessing"
	Processing           Status = "Processing"
	Processed            Status = "Processed"
	ProcessedWithErrors  Status = "ProcessedWithErrors"
	PreProcessingError   Status = "PreProcessingError"
	PostProcessingFailed Status = "PostProcessingFailed"
	Requeued             Status = "Requeued"     // F&O took the import back into its queue and begins it anew
	Unrecognised         Status = "Unrecognised" // a status word this version does not know: reported, not guessed
)

// What the bridge decides about a file.
const (
	UnknownOutcome Status = "UnknownOutcome" // the answer to a post was lost; Detail says what the policy does
	Retrying       Status = "Retrying"       // the import failed in a way that passes; it is posted again
	NeverEnds      Status = "NeverEnds"      // no final status before the route's deadline
	DeadLettered   Status = "DeadLettered"
	Held           Status = "Held"     // onFailure: hold, the session stops at this file
	Released       Status = "Released" // an operator let a held session go on
)

// What the bridge sees of an environment.
const (
	Paused  Status = "Paused"
	Resumed Status = "Resumed"
)

// What the bridge does with an export.
const (
	Exported    Status = "Exported"    // published and acknowledged
	ExportEmpty Status = "ExportEmpty" // F&O offered an export without a file; acknowledged, Detail says why
)
