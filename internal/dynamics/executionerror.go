package dynamics

// An ExecutionError is one record that F&O refused.
type ExecutionError struct {
	RecordID string // F&O's record ID in staging; may be empty
	Field    string // may be empty
	Message  string // what F&O said, trimmed
}
