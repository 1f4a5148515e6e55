package rules

import "fmt"

// SyntaxError says where an expression is wrong.
type SyntaxError struct {
	Column int    // in characters, from 1
	Reason string // what is wrong there
}

// Error returns column and reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Reason) }

// EvaluationError says why a rule could not be evaluated for a message.
type EvaluationError struct {
	Column int // of the part of the expression that failed, from 1
	Reason string
}

// Error returns column and reason.
func (e *EvaluationError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Reason) }

func evaluationf(column int, format string, args ...any) error {
	return &EvaluationError{Column: column, Reason: fmt.Sprintf(format, args...)}
}
