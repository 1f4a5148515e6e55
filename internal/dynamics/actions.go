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
	raw, err := e.action(ctx, kindStatus, "GetMessageStatus", "messageId", messageID)
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
	id, err := e.action(ctx, kindExplain, "GetExecutionIdByMessageId", "_messageId", messageID)
	if notYet(err) || err == nil && trimGUID(id) == zeroGUID {
		return "", nil
	}
	return id, err
}

// ExecutionErrors returns the records F&O refused. It takes an execution ID: with a message ID F&O answers with an empty
// list. An empty list also comes with malformed files, so it does not mean that all is well.
func (e *Environment) ExecutionErrors(ctx context.Context, executionID string) ([]ExecutionError, error) {
	raw, err := e.action(ctx, kindExplain, "GetExecutionErrors", "executionId", executionID)
	if err != nil {
		return nil, err
	}
	return parseExecutionErrors(raw), nil
}

// ExecutionSummaryURL returns the page of an execution in F&O's own user interface, for people; "" when there is none.
func (e *Environment) ExecutionSummaryURL(ctx context.Context, executionID string) (string, error) {
	u, err := e.action(ctx, kindExplain, "GetExecutionSummaryPageUrl", "executionId", executionID)
	if notYet(err) {
		return "", nil
	}
	return u, err
}

// action calls one OData action with one parameter and returns its value, which is a string. A null value is "".
func (e *Environment) action(ctx context.Context, k kind, name, parameter, value string) (string, error) {
	quoted, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	body := slices.Concat([]byte(`{"`+parameter+`":`), quoted, []byte("}"))
	u := *e.actions
	u.Path += name // one of the names above, with nothing to escape
	c := call{
		kind:        k,
		op:          name,
		method:      http.MethodPost,
		url:         &u,
		contentType: "application/json",
		size:        int64(len(body)),
		open:        func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	a, err := e.fetch(ctx, c)
	if err != nil {
		return "", err
	}
	var wrapped struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(a.body, []byte("\ufeff")), &wrapped); err != nil || wrapped.Value == nil {
		return "", unusable(c, a, "F&O's answer has no value: "+said("", a.body))
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
	return ok && f.Status == http.StatusBadRequest && ofFno(err)
}

func ofFno(err error) bool {
	_, ok := errors.AsType[*refusedByFno](err)
	return ok
}
