// Package status holds the status event: what the bridge tells the world about a file or about an environment.
//
// An event is a CloudEvents 1.0 message in structured JSON mode. Its ID is computed from what it says, so the same
// transition published twice carries the same ID, and a topic with duplicate detection shows it once. Promised: the
// same transition gives the same ID in every process and every release that writes SchemaVersion 1. Not promised:
// that an event is delivered once; that needs the topic's duplicate detection.
//
// Source of the envelope: CloudEvents specification 1.0.2, JSON event format and the distributed tracing extension.
package status

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"fnobridge/internal/failure"
)

const (
	// ContentType of an encoded event.
	ContentType = "application/cloudevents+json"
	// EventType is the CloudEvents type of every status event.
	EventType = "fnobridge.file.status.v1"
	// EnvironmentEventType is the CloudEvents type of Paused and Resumed.
	EnvironmentEventType = "fnobridge.environment.status.v1"
)

// An Event is one transition of one file, or of one environment when Session and File are empty.
type Event struct {
	Status      Status
	Reason      failure.Reason // why, for every status that is not plain progress
	Time        time.Time      // when the bridge saw it
	Environment string
	Route       string
	Entity      string
	Company     string

	Session        string // the Service Bus session
	MessageID      string // the producer's message ID: the key of the file
	SequenceNumber int64  // the file's place in its queue
	Queue          string // where the file came from: a queue, or topic/subscription
	FileName       string
	FnoMessageID   string // what F&O answered to the enqueue; empty before
	ExecutionID    string // F&O's execution, once it has one
	Attempt        int    // which attempt of this file, from 1
	FnoStatus      string // F&O's own spelling, where the status came from F&O
	Detail         string // for a person: what F&O said, what the policy did
	SummaryURL     string // F&O's execution summary page, on failures

	TraceParent string // W3C trace context of the file, empty without a trace
	TraceState  string
}

// ID computes the event's identity from the transition, not from when or by whom it was seen.
func (e Event) ID() string {
	parts := []string{
		"1", e.Environment, e.Queue, e.Session, e.MessageID, strconv.FormatInt(e.SequenceNumber, 10),
		string(e.Status), string(e.Reason), e.FnoMessageID, strconv.Itoa(e.Attempt),
	}
	if e.Status == Unrecognised { // two words that nobody knows are two transitions
		parts = append(parts, e.FnoStatus)
	}
	if e.MessageID == "" && e.Session == "" { // an environment's: each pause is a transition of its own
		parts = append(parts, e.Time.UTC().Format(time.RFC3339Nano))
	}
	said := make([]byte, 0, 512)
	for _, p := range parts { // length first: no two lists of parts read the same
		said = append(strconv.AppendInt(said, int64(len(p)), 10), ':')
		said = append(said, p...)
	}
	sum := sha256.Sum256(said)
	return hex.EncodeToString(sum[:16])
}

// envelope is the wire form. Field order is the reading order.
type envelope struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject,omitempty"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	TraceParent     string `json:"traceparent,omitempty"`
	TraceState      string `json:"tracestate,omitempty"`
	Data            data   `json:"data"`
}

type data struct {
	Status         Status         `json:"status"`
	Reason         failure.Reason `json:"reason,omitempty"`
	Environment    string         `json:"environment,omitempty"`
	Route          string         `json:"route,omitempty"`
	Entity         string         `json:"entity,omitempty"`
	Company        string         `json:"company,omitempty"`
	Queue          string         `json:"queue,omitempty"`
	Session        string         `json:"session,omitempty"`
	MessageID      string         `json:"messageId,omitempty"`
	SequenceNumber int64          `json:"sequenceNumber,omitempty"`
	Sequence       string         `json:"sequence,omitempty"` // the same as digits, because JavaScript rounds above 2^53
	FileName       string         `json:"fileName,omitempty"`
	FnoMessageID   string         `json:"fnoMessageId,omitempty"`
	ExecutionID    string         `json:"executionId,omitempty"`
	Attempt        int            `json:"attempt,omitempty"`
	FnoStatus      string         `json:"fnoStatus,omitempty"`
	Detail         string         `json:"detail,omitempty"`
	SummaryURL     string         `json:"summaryUrl,omitempty"`
}

// Encode returns the event as CloudEvents JSON, and its identity.
func (e Event) Encode() (id string, body []byte, err error) {
	id = e.ID()
	kind, subject := EventType, e.MessageID
	if e.Status.Environmental() {
		kind, subject = EnvironmentEventType, e.Environment
	}
	body, err = json.Marshal(envelope{
		SpecVersion: "1.0", ID: id, Type: kind, Subject: subject,
		Source: "/fnobridge/" + url.PathEscape(e.Environment),
		Time:   e.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json",
		TraceParent: e.TraceParent, TraceState: e.TraceState,
		Data: data{
			Status: e.Status, Reason: e.Reason, Environment: e.Environment, Route: e.Route, Entity: e.Entity,
			Company: e.Company, Queue: e.Queue, Session: e.Session, MessageID: e.MessageID,
			SequenceNumber: e.SequenceNumber, Sequence: digits(e.SequenceNumber), FileName: e.FileName,
			FnoMessageID: e.FnoMessageID, ExecutionID: e.ExecutionID, Attempt: e.Attempt, FnoStatus: e.FnoStatus,
			Detail: e.Detail, SummaryURL: e.SummaryURL,
		},
	})
	return id, body, err
}

func digits(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// Bounded returns the event with what a producer or F&O may have made long cut short. Its ID stays the same.
func (e Event) Bounded() Event {
	const most = 1024
	for _, text := range []*string{&e.Entity, &e.Company, &e.FileName, &e.Route} {
		*text = failure.Cut(*text, most)
	}
	e.Detail = failure.Cut(e.Detail, 8*most)
	return e
}

// Decode reads what Encode wrote; `bridge watch` and the checkers use it. Unknown fields are ignored, so that an older
// reader understands a newer bridge.
func Decode(body []byte) (Event, error) {
	var v envelope
	if err := json.Unmarshal(body, &v); err != nil {
		return Event{}, fmt.Errorf("read status event: %w", err)
	}
	if v.Type != EventType && v.Type != EnvironmentEventType {
		return Event{}, fmt.Errorf("read status event: type is %q, not a status event of fnobridge", v.Type)
	}
	at, err := time.Parse(time.RFC3339Nano, v.Time)
	if err != nil {
		return Event{}, fmt.Errorf("read status event: time: %w", err)
	}
	d := v.Data
	return Event{
		Status: d.Status, Reason: d.Reason, Time: at, Environment: d.Environment, Route: d.Route, Entity: d.Entity,
		Company: d.Company, Session: d.Session, MessageID: d.MessageID, SequenceNumber: d.SequenceNumber, Queue: d.Queue,
		FileName: d.FileName, FnoMessageID: d.FnoMessageID, ExecutionID: d.ExecutionID, Attempt: d.Attempt,
		FnoStatus: d.FnoStatus, Detail: d.Detail, SummaryURL: d.SummaryURL,
		TraceParent: v.TraceParent, TraceState: v.TraceState,
	}, nil
}
