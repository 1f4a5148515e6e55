package outbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/dynamics"
	"fnobridge/internal/failure"
	"fnobridge/internal/retry"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// A Publisher publishes status events; Events is one.
type Publisher interface {
	Publish(ctx context.Context, events ...status.Event) error
}

// A Store keeps files that are too large for a message and returns the address for the claim check.
type Store interface {
	Upload(ctx context.Context, name string, body io.Reader) (url string, err error)
}

// ExportOptions describe one export job.
type ExportOptions struct {
	Name        string
	Environment *dynamics.Environment
	Activity    string // GUID of the recurring export job
	Entity      string // for the message's properties and its session; Name when empty
	Company     string
	Sender      Sender
	To          telemetry.Destination
	MaxInline   int64 // a larger file goes to Store as a claim check
	Store       Store // nil: larger files fail, unacknowledged, and F&O offers them again
	Events      Publisher
	Poll        time.Duration // pause after F&O had nothing
	Telemetry   *telemetry.Telemetry

	// Turn makes this replica the only one that fetches this export, so that files stay in order: held ends when it is
	// not any more, release gives the turn back. An error means that another replica has it, or that nobody can tell.
	// Nil: there is no other replica, or order does not matter.
	Turn func(ctx context.Context) (held context.Context, release func(), err error)
}

// An Export brings the files of one export job out of F&O.
//
//	dequeue --none--> pause
//	   |
//	   +--> download --> publish (inline, or claim check) --> Exported --> ack --> dequeue
//
// Exported is said before the acknowledgement: what F&O offers again is said again, with the same event ID, and nothing
// that was acknowledged is left unsaid.
//
// One at a time: F&O's receipts go stale when messages are dequeued ahead. A crash between publish and ack makes F&O
// offer the message again after 30 minutes; it then carries the same message ID, so a queue whose duplicate detection
// window is longer shows it once. Source of the 30 minutes: Microsoft Learn, recurring-integrations.
type Export struct {
	o   ExportOptions
	log *slog.Logger
	// published remembers what was published and could not be acknowledged: when F&O offers it again it only needs its
	// acknowledgement. Touched by Run's goroutine only.
	published map[string]bool
}

// NewExport returns an export; Run starts it.
func NewExport(o ExportOptions) *Export {
	if o.Entity == "" {
		o.Entity = o.Name
	}
	return &Export{o: o, log: o.Telemetry.Logger().With("export", o.Name, "environment", o.Environment.Name()), published: map[string]bool{}}
}

// How long is waited after failures in a row: before F&O is asked for the next export, within one step of an export, and
// before a file is published again.
var (
	betweenExports   = retry.Doubling{First: time.Second, Max: time.Minute}
	withinExport     = retry.Doubling{First: 2 * time.Second, Max: time.Minute}
	betweenPublishes = retry.Doubling{First: 100 * time.Millisecond, Max: 20 * time.Second}
)

const (
	// turnTime is how long a turn is kept at most: the broker detaches a link that is idle for ten minutes.
	turnTime = 8 * time.Minute
	// turnPause is how often a replica without the turn asks for it.
	turnPause = 10 * time.Second
)

// Run takes exports until intake ends, while it is this replica's turn; the one in hand is finished unless work ends
// first.
func (x *Export) Run(intake, work context.Context) {
	for intake.Err() == nil {
		if x.o.Turn == nil {
			x.serve(intake, work, time.Time{})
			continue
		}
		held, release, err := x.o.Turn(work)
		if err != nil {
			x.log.DebugContext(intake, "not this replica's turn", "error", err)
			retry.Wait(intake, turnPause)
			continue
		}
		x.serve(intake, held, time.Now().Add(turnTime))
		release()
	}
}

// serve takes exports until intake ends, work ends, or, when until is set, then.
func (x *Export) serve(intake, work context.Context, until time.Time) {
	failures := 0
	for intake.Err() == nil && work.Err() == nil && (until.IsZero() || time.Now().Before(until)) {
		found, err := x.next(intake, work)
		pause := x.o.Poll
		switch {
		case err != nil && (intake.Err() != nil || work.Err() != nil):
			return
		case err != nil:
			failures++
			f := failure.Of(err)
			pause = max(f.After, betweenExports.After(failures))
			if f.Verdict == failure.Pause || f.Verdict == failure.PauseJob {
				pause = 0 // the gate waits
			}
			if failures == 1 || failures%10 == 0 {
				x.log.WarnContext(intake, "export not fetched; F&O keeps it and offers it again", "failures", failures, "reason", f.Reason, "error", err)
			}
		default:
			failures = 0
			if found {
				continue
			}
		}
		if !until.IsZero() {
			pause = min(pause, max(0, time.Until(until)))
		}
		if !retry.Wait(intake, pause) {
			return
		}
	}
}

// next brings out one export. found is false when F&O had none.
func (x *Export) next(intake, work context.Context) (found bool, _ error) {
	var m *dynamics.Export
	err := x.through(intake, func() error {
		var err error
		m, err = x.o.Environment.Dequeue(intake, x.o.Activity)
		return err
	})
	if err != nil || m == nil {
		return false, err
	}
	id := x.o.Activity + ":" + m.CorrelationID
	event := status.Event{
		Status: status.Exported, Environment: x.o.Environment.Name(), Route: x.o.Name, Entity: x.o.Entity, Company: x.o.Company,
		Session: x.o.Entity, MessageID: id, Queue: x.o.To.Name, Time: time.Now(),
	}
	switch {
	case !m.HasFile:
		event.Status, event.Detail = status.ExportEmpty, m.FileError
		x.log.InfoContext(work, "F&O offered an export without a file", "correlationId", m.CorrelationID, "why", m.FileError)
	case !x.published[id]:
		body, err := x.download(work, m)
		if err != nil {
			return true, err
		}
		if err := x.publish(work, m, id, body); err != nil {
			return true, err
		}
		x.published[id] = true
	}
	if err := x.tell(work, event); err != nil {
		return true, err
	}
	if err := x.acknowledge(work, m); err != nil {
		return true, fmt.Errorf("the export is published and not acknowledged; F&O offers it again in 30 minutes: %w", err)
	}
	delete(x.published, id)
	return true, nil
}

// tell publishes an event until the broker has it or ctx ends.
func (x *Export) tell(ctx context.Context, e status.Event) error {
	if x.o.Events == nil {
		return nil
	}
	for try := 1; ; try++ {
		err := x.o.Events.Publish(ctx, e)
		if err == nil {
			return nil
		}
		if try%10 == 1 {
			x.log.WarnContext(ctx, "status event of an export not published; its acknowledgement waits", "tries", try, "error", err)
		}
		if !retry.Wait(ctx, betweenPublishes.After(try)) {
			return context.Cause(ctx)
		}
	}
}

// through makes a call inside the gates of the job and of its environment.
func (x *Export) through(ctx context.Context, call func() error) error {
	job, err := x.o.Environment.Job(x.o.Activity).AwaitPass(ctx, nil)
	if err != nil {
		return err
	}
	all, err := x.o.Environment.Gate().AwaitPass(ctx, nil)
	if err != nil {
		job.GiveBack()
		return err
	}
	err = x.o.Environment.Judge(ctx, all, call())
	x.o.Environment.JudgeJob(job, err)
	return err
}

// file is a downloaded export: in memory up to MaxInline, else in the store.
type file struct {
	inline []byte
	url    string
	size   int64
	sum    [sha256.Size]byte
	zip    bool
}

// downloadTries and ackTries bound what is tried within the 30 minutes; F&O is known to answer 500 now and then.
const (
	downloadTries = 4
	ackTries      = 6
)

// download fetches the file, streaming what is too large for a message into the store.
func (x *Export) download(ctx context.Context, m *dynamics.Export) (f file, err error) {
	for try := 1; ; try++ {
		err = x.through(ctx, func() error {
			var err error
			f, err = x.fetch(ctx, m)
			return err
		})
		bad := failure.Of(err)
		if err == nil || try == downloadTries || ctx.Err() != nil || bad.Verdict == failure.Reject {
			return f, err
		}
		if !retry.Wait(ctx, max(bad.After, withinExport.After(try))) {
			return f, context.Cause(ctx)
		}
	}
}

func (x *Export) fetch(ctx context.Context, m *dynamics.Export) (file, error) {
	body, err := x.o.Environment.Download(ctx, m)
	if err != nil {
		return file{}, err
	}
	defer func() { _ = body.Close() }() // read to its end, or given up with an error of its own
	sum := sha256.New()
	in := io.TeeReader(body, sum)
	head, err := io.ReadAll(io.LimitReader(in, x.o.MaxInline+1))
	if err != nil {
		return file{}, fmt.Errorf("download export: %w", err)
	}
	f := file{size: int64(len(head)), zip: bytes.HasPrefix(head, []byte("PK\x03\x04"))}
	if f.size <= x.o.MaxInline {
		f.inline = head
		sum.Sum(f.sum[:0])
		return f, nil
	}
	if x.o.Store == nil {
		return file{}, &failure.Failure{
			Verdict: failure.Reject, Reason: failure.PayloadTooLarge, Op: "download export",
			Detail: fmt.Sprintf("the file is larger than maxInline (%d bytes) and no claimCheck container is configured for this export", x.o.MaxInline),
		}
	}
	rest := &counter{r: in}
	f.url, err = x.o.Store.Upload(ctx, x.o.Name+"/"+m.CorrelationID, io.MultiReader(bytes.NewReader(head), rest))
	if err != nil {
		return file{}, fmt.Errorf("store export: %w", err)
	}
	f.size += rest.n
	sum.Sum(f.sum[:0])
	return f, nil
}

// counter counts what passes.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// publish sends the export until the broker has it or work ends. Every try carries the same message ID.
func (x *Export) publish(ctx context.Context, m *dynamics.Export, id string, f file) error {
	contentType := "application/octet-stream"
	if f.zip {
		contentType = "application/zip"
	}
	out := &azservicebus.Message{
		MessageID: &id, SessionID: &x.o.Entity, ContentType: &contentType, CorrelationID: &m.CorrelationID, Body: f.inline,
		ApplicationProperties: map[string]any{
			contract.PropEntity: x.o.Entity, "export": x.o.Name, "environment": x.o.Environment.Name(), "activity": x.o.Activity,
			"redelivered": m.Redelivered(), "size": f.size, contract.PropSHA256: hex.EncodeToString(f.sum[:]),
		},
	}
	if x.o.Company != "" {
		out.ApplicationProperties[contract.PropCompany] = x.o.Company
	}
	if f.url != "" {
		out.ApplicationProperties[contract.PropDataRef] = f.url
	}
	for try := 0; ; try++ {
		ctx, end := x.o.Telemetry.Send(ctx, x.o.To, telemetry.MessageInfo{
			ID: id, Session: x.o.Entity, CorrelationID: m.CorrelationID, Size: len(f.inline), Properties: out.ApplicationProperties,
		})
		err := x.o.Sender.Send(ctx, out)
		end(err)
		if err == nil {
			return nil
		}
		if errors.Is(err, azservicebus.ErrMessageTooLarge) {
			return fmt.Errorf("publish export: %w: lower maxInline below the entity's message size, and configure claimCheck", err)
		}
		if try == 0 || try%10 == 9 {
			x.log.WarnContext(ctx, "export not published; tried again", "tries", try+1, "error", err)
		}
		if !retry.Wait(ctx, betweenPublishes.After(try+1)) {
			return context.Cause(ctx)
		}
	}
}

// acknowledge tells F&O that the export arrived, several times if need be.
func (x *Export) acknowledge(ctx context.Context, m *dynamics.Export) error {
	for try := 1; ; try++ {
		err := x.through(ctx, func() error { return x.o.Environment.Ack(ctx, x.o.Activity, m) })
		if err == nil || try == ackTries || ctx.Err() != nil {
			return err
		}
		if !retry.Wait(ctx, max(failure.Of(err).After, withinExport.After(try))) {
			return context.Cause(ctx)
		}
	}
}
