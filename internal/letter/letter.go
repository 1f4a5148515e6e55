package letter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/failure"
	"fnobridge/internal/redact"
)

// Names of the application properties that a dead letter of the bridge carries. Times are RFC 3339 in UTC, numbers are
// 64-bit integers, everything else is a string.
const (
	PropAttempts       = "fnobridge-attempts"
	PropFirstAttempt   = "fnobridge-first-attempt"
	PropLastAttempt    = "fnobridge-last-attempt"
	PropHTTPStatus     = "fnobridge-http-status"
	PropFnoMessageID   = "fnobridge-fno-message-id"
	PropExecutionID    = "fnobridge-execution-id"
	PropEnvironment    = "fnobridge-environment"
	PropActivity       = "fnobridge-activity"
	PropEntity         = "fnobridge-entity"
	PropCompany        = "fnobridge-company"
	PropSummaryURL     = "fnobridge-summary-url"
	PropTraceID        = "fnobridge-trace-id"
	PropRoute          = "fnobridge-route"
	PropSequenceNumber = "fnobridge-sequence-number" // in the entity it was dead-lettered from
	PropErrors         = "fnobridge-errors"
	PropErrorsURL      = "fnobridge-errors-url" // the blob with all of the errors, when they were too long
)

// Bounds of what goes into a dead letter. Service Bus takes 32 KB in one property and 64 KB in all of them together,
// and 4,096 characters as the description (Source: Microsoft Learn, service-bus-quotas,
// service-bus-dead-letter-queues).
// The errors stay well below, so that a message near its own size limit can still be dead-lettered.
const (
	maxDescription = 4096
	maxErrors      = 8 << 10
	maxProperty    = 1024
)

// overflowTimeout bounds the storing of errors: the dead letter was announced, and the files behind it wait.
const overflowTimeout = 10 * time.Second

// An Overflow stores a text that is too long for a property and returns the address it can be read at. Putting the same
// name twice is harmless: the content is the same.
type Overflow interface {
	Put(ctx context.Context, name string, content []byte) (url string, err error)
}

// A Letter is what the bridge knows about a file that failed for good. Only Reason is required.
type Letter struct {
	Reason                    failure.Reason
	Description               string // what F&O or the bridge said, for a person
	Attempts                  int
	FirstAttempt, LastAttempt time.Time
	HTTPStatus                int
	FnoMessageID              string
	ExecutionID               string
	Environment               string
	Activity                  string
	Entity, Company           string
	SummaryURL                string // F&O's execution summary page
	TraceID                   string
	Route                     string
	SequenceNumber            int64  // in the entity the message is dead-lettered from; replay sorts by it
	Errors                    string // the execution errors, may be very long
}

// Options returns the settlement that moves the message: the reason as it is, a description that says what happened and
// what to do, and the properties. Errors that are too long for a property go to the overflow; without one, or when it
// fails, they are cut with a note, because a dead letter must not wait for a storage account. Everything is redacted.
func (l Letter) Options(ctx context.Context, o Overflow) *azservicebus.DeadLetterOptions {
	reason := l.Reason
	if reason == "" { // an omission must still be found by its reason
		reason = failure.Unclassified
	}
	errorsText := redact.Text(l.Errors)
	props := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			props[name] = cut(redact.Text(value), maxProperty)
		}
	}
	if l.Attempts > 0 {
		props[PropAttempts] = int64(l.Attempts)
	}
	if l.HTTPStatus > 0 {
		props[PropHTTPStatus] = int64(l.HTTPStatus)
	}
	if l.SequenceNumber > 0 {
		props[PropSequenceNumber] = l.SequenceNumber
	}
	if !l.FirstAttempt.IsZero() {
		props[PropFirstAttempt] = Stamp(l.FirstAttempt)
	}
	if !l.LastAttempt.IsZero() {
		props[PropLastAttempt] = Stamp(l.LastAttempt)
	}
	put(PropFnoMessageID, l.FnoMessageID)
	put(PropExecutionID, l.ExecutionID)
	put(PropEnvironment, l.Environment)
	put(PropActivity, l.Activity)
	put(PropEntity, l.Entity)
	put(PropCompany, l.Company)
	put(PropTraceID, l.TraceID)
	put(PropRoute, l.Route)
	if u := redact.Link(l.SummaryURL); u != "" {
		props[PropSummaryURL] = cut(u, 2*maxProperty)
	}
	if errorsText != "" {
		props[PropErrors] = cut(errorsText, maxErrors)
		if len(errorsText) > maxErrors && o != nil {
			sum := sha256.Sum256([]byte(errorsText))
			name := "execution-errors/" + hex.EncodeToString(sum[:16]) + ".txt"
			ctx, cancel := context.WithTimeout(ctx, overflowTimeout)
			url, err := o.Put(ctx, name, []byte(errorsText))
			cancel()
			if err == nil {
				props[PropErrorsURL] = cut(redact.Text(url), maxProperty)
			} else {
				props[PropErrors] = cut(errorsText, maxErrors-512) + cut(" [not stored: "+redact.Text(err.Error()), 510) + "]"
			}
		}
	}
	r, d := string(reason), l.describe(reason, errorsText)
	return &azservicebus.DeadLetterOptions{Reason: &r, ErrorDescription: &d, PropertiesToModify: props}
}

// Plain returns the settlement for a broker that refuses the one with everything: the reason and a short description.
func (l Letter) Plain() *azservicebus.DeadLetterOptions {
	l.Errors = ""
	full := l.Options(context.Background(), nil)
	short := cut(*full.ErrorDescription, maxProperty) + "\nThe broker refused this dead letter with its properties."
	return &azservicebus.DeadLetterOptions{Reason: full.Reason, ErrorDescription: &short}
}

// describe writes the description: where, what was said, what to do. Where and what to do are short and always
// complete; what was said takes the room that is left.
func (l Letter) describe(reason failure.Reason, errorsText string) string {
	var head strings.Builder
	head.WriteString(string(reason))
	for _, p := range []struct{ label, value string }{
		{" at ", l.Environment}, {", entity ", l.Entity}, {", company ", l.Company}, {", route ", l.Route},
	} {
		if p.value != "" {
			head.WriteString(p.label + cut(redact.Text(p.value), 128))
		}
	}
	if l.HTTPStatus > 0 {
		fmt.Fprintf(&head, ", HTTP %d", l.HTTPStatus)
	}
	if l.Attempts > 1 {
		fmt.Fprintf(&head, ", after %d attempts", l.Attempts)
	}
	head.WriteString(".")
	tail := "\nWhat to do: " + Advice(reason)
	if l.ExecutionID != "" {
		tail += "\nExecution: " + cut(redact.Text(l.ExecutionID), 256)
	}
	said := strings.TrimSpace(redact.Text(l.Description))
	if errorsText != "" && !strings.Contains(said, strings.TrimSpace(errorsText)) {
		said = strings.TrimSpace(said + "\n" + strings.TrimSpace(errorsText))
	}
	if said != "" {
		said = "\n" + said
	}
	return head.String() + cut(said, maxDescription-head.Len()-len(tail)) + tail
}

// cut returns at most size bytes of s, with a note of how much there was.
func cut(s string, size int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return failure.CutWith(s, size, fmt.Sprintf(" [cut: %d bytes in all]", len(s)))
}

// Stamp returns a time as the properties of messages have it.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
