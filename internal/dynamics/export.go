package dynamics

// An Export is one message of an export job, as dequeue gave it.
type Export struct {
	CorrelationID    string
	PopReceipt       string
	DownloadLocation string // empty when F&O named none
	HasFile          bool   // false: nothing to download, but still to be acknowledged
	FileError        string // F&O's word on why there is no file; often empty
	LastDequeued     string // when F&O offered it before, as F&O wrote it; empty the first time

	body []byte // the answer of dequeue, byte for byte: what ack wants back
}

// Redelivered reports whether F&O has offered this message before.
func (x *Export) Redelivered() bool { return x.LastDequeued != "" }
