package deadletter

// A Mark says that a session is held at a failed file, or that its lane dead-letters what comes behind one.
type Mark struct {
	Mode   string // "hold" or "drain"
	Seq    int64  // the file that failed
	Reason string
	Busy   []int64 // files that F&O has and that have not ended: they must not be sent again
}

// A Ledger reads and lifts the marks in session state. The codec belongs to the lane.
type Ledger interface {
	// Mark returns the mark, nil when there is none.
	Mark(state []byte) (*Mark, error)
	// Lift returns the state without the mark and without the entries of files that were moved behind.
	Lift(state []byte, moved []int64) ([]byte, error)
}
