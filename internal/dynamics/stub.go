package dynamics

import (
	"context"
	"errors"
	"io"
	"net/http"

	"fnobridge/internal/failure"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

var errSoon = errors.New("being written")

// NewTransport gives the transport that Options.Transport defaults to; wrap it for tracing.
func NewTransport() *http.Transport { return http.DefaultTransport.(*http.Transport).Clone() }

type tokens struct{}

func newTokens(azcore.TokenCredential, string) *tokens { return nil }

func stopped(ctx context.Context) error {
	return &failure.Failure{Verdict: failure.Retry, Err: ctx.Err()}
}

// Enqueue uploads the file and gives F&O's message ID. Its error is always a *failure.Failure.
func (e *Environment) Enqueue(ctx context.Context, f File) (string, error) { return "", errSoon }

// MessageStatus asks how far the import is.
func (e *Environment) MessageStatus(ctx context.Context, messageID string) (Status, error) {
	return Status{}, errSoon
}

// ExecutionID gives the execution of a message, "" while F&O has not scheduled it.
func (e *Environment) ExecutionID(ctx context.Context, messageID string) (string, error) {
	return "", errSoon
}

// ExecutionErrors gives the records F&O refused.
func (e *Environment) ExecutionErrors(ctx context.Context, executionID string) ([]ExecutionError, error) {
	return nil, errSoon
}

// ExecutionSummaryURL gives the page of the execution for humans.
func (e *Environment) ExecutionSummaryURL(ctx context.Context, executionID string) (string, error) {
	return "", errSoon
}

// Dequeue gives the next export of the job, nil when there is none.
func (e *Environment) Dequeue(ctx context.Context, activity string) (*Export, error) {
	return nil, errSoon
}

// Download opens the file of the export.
func (e *Environment) Download(ctx context.Context, x *Export) (io.ReadCloser, error) {
	return nil, errSoon
}

// Ack acknowledges the export.
func (e *Environment) Ack(ctx context.Context, activity string, x *Export) error { return errSoon }

// Describe says in words which records failed and why.
func Describe(errs []ExecutionError) string { return "" }

// DescribeWithin is Describe cut to limit bytes, with a note on what was left out.
func DescribeWithin(errs []ExecutionError, limit int) string { return "" }

// ImportFailure gives the failure that a final status means, nil for one that is not final or that is OK.
func ImportFailure(s Status, errs []ExecutionError) *failure.Failure { return nil }
