package dynamics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"fnobridge/internal/failure"
)

// actionPath is where the OData actions of data management live.
// Source: Microsoft Learn, data-management-api.
const actionPath = "Microsoft.Dynamics.DataEntities."

// MessageStatus asks how far the import of a message is. F&O answers 400 while it does not know the message yet, which
// it does for a while after Enqueue: that is a status that is not final and has no words, not an error.
func (e *Environment) MessageStatus(ctx context.Context, messageID string) (Status, error) {
	raw, err := e.action(ctx, "GetMessageStatus", "messageId", messageID)
	if notYet(err) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(raw), nil
}

// ExecutionID returns the ID of the execution that imports a message, "" while F&O has not scheduled one. It may hold any
// characters.
func (e *Environment) ExecutionID(ctx context.Context, messageID string) (string, error) {
	id, err := e.action(ctx, "GetExecutionIdByMessageId", "_messageId", messageID)
	if notYet(err) || err == nil && trimGUID(id) == zeroGUID {
		return "", nil
	}
	return id, err
}

// ExecutionErrors returns the records F&O refused. It takes an execution ID: with a message ID F&O answers with an empty
// list. An empty list also comes with malformed files, so it does not mean that all is well.
func (e *Environment) ExecutionErrors(ctx context.Context, executionID string) ([]ExecutionError, error) {
	const op = "GetExecutionErrors"
	raw, err := e.action(ctx, op, "executionId", executionID)
	if err != nil || raw == "" {
		return nil, err
	}
	var errs []ExecutionError // the value is a string that holds JSON
	if err := json.Unmarshal([]byte(raw), &errs); err != nil {
		return nil, unusable(call{kind: kindOData, op: op}, http.StatusOK, "F&O's list of errors is not a list: "+failure.Tidy(raw, maxDetail))
	}
	return errs, nil
}

// ExecutionSummaryURL returns the page of an execution in F&O's own user interface, for people; "" when there is none.
func (e *Environment) ExecutionSummaryURL(ctx context.Context, executionID string) (string, error) {
	u, err := e.action(ctx, "GetExecutionSummaryPageUrl", "executionId", executionID)
	if notYet(err) {
		return "", nil
	}
	return u, err
}

// action calls one OData action with one parameter and returns its value, which is a string. A null value is "".
func (e *Environment) action(ctx context.Context, name, parameter, value string) (string, error) {
	quoted, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	body := slices.Concat([]byte(`{"`+parameter+`":`), quoted, []byte("}"))
	u := *e.actions
	u.Path += name // one of the names above, with nothing to escape
	c := call{
		kind:        kindOData,
		op:          name,
		method:      http.MethodPost,
		url:         &u,
		contentType: "application/json",
		size:        int64(len(body)),
		open:        func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	status, answer, err := e.fetch(ctx, c)
	if err != nil {
		return "", err
	}
	var wrapped struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(answer, []byte("\ufeff")), &wrapped); err != nil || wrapped.Value == nil {
		return "", unusable(c, status, "F&O's answer has no value: "+said("", answer))
	}
	var text *string
	if err := json.Unmarshal(wrapped.Value, &text); err != nil {
		return string(wrapped.Value), nil // not a string after all: whoever reads it decides
	}
	if text == nil {
		return "", nil
	}
	return strings.TrimSpace(*text), nil
}

// notYet reports whether F&O said with a 400 that it does not know the ID, which right after Enqueue means not yet.
func notYet(err error) bool {
	f, ok := errors.AsType[*failure.Failure](err)
	return ok && f.Status == http.StatusBadRequest && f.Reason == failure.BadRequest
}

// Probe asks the environment a question that changes nothing, and returns an error when it has no answer for anybody: it
// refuses everybody, or nothing comes back. That the answer names an error of the question is an answer.
func (e *Environment) Probe(ctx context.Context) error {
	_, err := e.MessageStatus(ctx, zeroGUID)
	if bad := failure.Of(err); err != nil && (bad.Status == 0 || bad.Verdict == failure.Pause) {
		return err
	}
	return nil
}
