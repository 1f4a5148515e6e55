package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"fnobridge/internal/contract"
	"fnobridge/internal/telemetry"
)

// An output is where messages are sent to, and the telemetry that records it.
type output struct {
	sender *azservicebus.Sender
	tel    *telemetry.Telemetry
	to     telemetry.Destination
}

// send sends one message. Its trace goes on in the bridge, unless nobody records it here.
func (o output) send(ctx context.Context, m *azservicebus.Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout+time.Duration(len(m.Body))*time.Second/slowestLine)
	defer cancel()
	_, carried := m.ApplicationProperties[telemetry.TraceParent]
	ctx, end := o.tel.Send(ctx, o.to, telemetry.MessageInfo{
		ID: *m.MessageID, Session: *m.SessionID, Size: len(m.Body), Properties: m.ApplicationProperties,
	})
	if !carried && !trace.SpanContextFromContext(ctx).IsSampled() {
		// Nobody records this end of the trace. Its context would tell the bridge not to record the rest either.
		for _, key := range []string{telemetry.TraceParent, telemetry.TraceState, telemetry.DiagnosticID} {
			delete(m.ApplicationProperties, key)
		}
	}
	err := o.sender.SendMessage(ctx, m, nil)
	end(err)
	return err
}

// message makes the message of one file, or of a reference when file is empty, and what is reported about it.
func (a *app) message(f sendFlags, file string) (*azservicebus.Message, sent, error) {
	one := sent{
		File: file, DataRef: f.dataref, To: f.queue, Session: f.session, MessageID: cmp.Or(f.messageID, uuid.NewString()),
	}
	properties := map[string]any{contract.PropEntity: f.entity}
	set := func(key, value string) {
		if value != "" {
			properties[key] = value
		}
	}
	set(contract.PropCompany, f.company)
	set(contract.PropDataRef, f.dataref)
	set(telemetry.TraceParent, cmp.Or(f.traceparent, a.env.get("TRACEPARENT")))
	if f.traceparent == "" {
		set(telemetry.TraceState, a.env.get("TRACESTATE"))
	}
	var body []byte
	name := f.filename
	if file != "" {
		var err error
		if body, err = a.readFile(file); err != nil {
			return nil, one, err
		}
		if len(body) == 0 {
			return nil, one, exit(exitFailure, errors.New("the file is empty: the bridge would reject it"))
		}
		sum := sha256.Sum256(body)
		one.Bytes, one.SHA256 = len(body), hex.EncodeToString(sum[:])
		set(contract.PropSHA256, one.SHA256)
		name = cmp.Or(name, filepath.Base(file))
	}
	set(contract.PropFileName, name)
	kind := contentType(name)
	return &azservicebus.Message{
		SessionID: &one.Session, MessageID: &one.MessageID, ContentType: &kind, Body: body, ApplicationProperties: properties,
	}, one, nil
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(file)
}

// contentType is for people who look at messages; the bridge goes by the route.
func contentType(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return "text/csv"
	case ".xml":
		return "application/xml"
	case ".zip":
		return "application/zip"
	case ".txt":
		return "text/plain"
	default:
		return "application/octet-stream"
	}
}
