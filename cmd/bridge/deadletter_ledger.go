package main

import (
	"fnobridge/internal/deadletter"
	"fnobridge/internal/ledger"
)

// marks lets the replay read and lift what the lane wrote into session state. The replay knows no ledger: it sees a
// mark, and the files that must not be sent again.
type marks struct{}

// Mark returns the hold or drain of a ledger. Files that F&O has, or may have, must not be sent again behind others.
func (marks) Mark(state []byte) (*deadletter.Mark, error) {
	l, err := ledger.Decode(state)
	if err != nil || l.Park == nil {
		return nil, err
	}
	return &deadletter.Mark{Mode: string(l.Park.Mode), Seq: l.Park.Seq, Reason: string(l.Park.Reason), Busy: l.Busy()}, nil
}

// Lift ends the hold or drain and forgets the files that were moved.
func (marks) Lift(state []byte, moved []int64) ([]byte, error) {
	l, err := ledger.Decode(state)
	if err != nil {
		return nil, err
	}
	l.Lift(moved)
	return l.Encode()
}
