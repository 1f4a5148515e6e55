package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/spf13/cobra"

	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
	"fnobridge/internal/telemetry"
)

// maxID is how many characters a session ID and a message ID may have. Source: Microsoft Learn, Service Bus quotas.
const maxID = 128

// sendTimeout bounds one message with its retries, beside what a large one takes over a line of so many bytes a second.
const (
	sendTimeout = time.Minute
	slowestLine = 128 << 10
)

// sendFlags are the flags of `bridge send`.
type sendFlags struct {
	entity, company, session, messageID string
	queue, filename, dataref            string
	traceparent                         string
	out                                 format
}

// sent is one message as `bridge send` reports it.
type sent struct {
	File      string `json:"file,omitempty"`
	DataRef   string `json:"dataref,omitempty"`
	To        string `json:"to"`
	Session   string `json:"session"`
	MessageID string `json:"messageId"`
	Bytes     int    `json:"bytes"`
	SHA256    string `json:"sha256,omitempty"`
}

func newSendCommand(a *app) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{
		Use:   "send --entity E [--company C] FILE...",
		Short: "Send files to the bridge, one message each, in the order given",
		Long: `Send files to a session-enabled queue that a bridge reads, one message per file, one
after the other: the next is sent when Service Bus has taken the one before it. The
first failure ends the command, so that no file overtakes another.

The session is the entity, or company/entity with --company: it names the lane, and
files of one session are imported in the order they were sent. The message ID is the
idempotency key of a file. It is a new UUID for each, and printed; send a file again
with --message-id and a queue with duplicate detection drops the second one.

FILE may be - for standard input, with --filename. A file that is too large for a
message goes into a blob container that the route allows; send --dataref URL then.

Where to: --queue, or the first source of the configuration. The connection is that
of the configuration (-c, BRIDGE_CONFIG), or SERVICEBUS_CONNECTION_STRING without one.
A trace is continued from --traceparent or the variable TRACEPARENT.`,
		Example: `  bridge send --entity "Customer groups" groups-1.csv groups-2.csv
  bridge send --entity Customers --company usmf -o json customers.zip
  bridge send --entity Vendors --dataref https://acct.blob.core.windows.net/inbound/v.zip
  generate | bridge send --entity Vendors --filename vendors.csv -`,
		RunE: func(cmd *cobra.Command, files []string) error {
			ctx, stop := interruptible(cmd)
			defer stop()
			return a.send(ctx, f, files)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.entity, "entity", "", "data `ENTITY`, as the Data management workspace shows it")
	fl.StringVar(&f.company, "company", "", "legal entity, up to 4 characters")
	fl.StringVar(&f.session, "session", "", "session `ID` instead of the entity or company/entity")
	fl.StringVar(&f.messageID, "message-id", "", "message `ID` instead of a new UUID; for one file")
	fl.StringVar(&f.queue, "queue", "", "queue or topic to send to; default the first source of the configuration")
	fl.StringVar(&f.filename, "filename", "", "`NAME` of the file in the message; default the name of FILE")
	fl.StringVar(&f.dataref, "dataref", "", "`URL` of a blob to send a reference to, instead of a FILE")
	fl.StringVar(&f.traceparent, "traceparent", "", "W3C trace context to continue; default $TRACEPARENT")
	outputFlag(cmd, &f.out, formatTable, formatJSON, formatJSONL)
	_ = cmd.MarkFlagRequired("entity") // it exists
	return cmd
}

// check finds what is wrong with the call before anything is opened.
func (f *sendFlags) check(files []string) error {
	switch {
	case f.entity == "":
		return usagef("--entity is empty")
	case len(files) == 0 && f.dataref == "":
		return usagef("no FILE to send")
	case len(files) > 0 && f.dataref != "":
		return usagef("--dataref sends a reference: leave out FILE")
	case len(files) > 1 && f.messageID != "":
		return usagef("--message-id is for one file, there are %d", len(files))
	case len(files) > 1 && f.filename != "":
		return usagef("--filename is for one file, there are %d", len(files))
	}
	if f.dataref != "" && !plainURL(f.dataref) {
		return usagef("--dataref is not the URL of a blob; write it without a query: the bridge signs in by itself")
	}
	for _, file := range files {
		if file == "-" && (len(files) > 1 || f.filename == "") {
			return usagef("- for standard input needs --filename, and no other FILE")
		}
	}
	about := contract.Pair{Entity: f.entity, Company: f.company}
	if err := about.Check(); err != nil {
		return usagef("the bridge would reject this: %s", failure.Of(err).Detail)
	}
	f.session = cmp.Or(f.session, about.Session())
	for _, id := range [][2]string{{"session", f.session}, {"message ID", f.messageID}} {
		if n := utf8.RuneCountInString(id[1]); n > maxID {
			flag := strings.ReplaceAll(strings.ToLower(id[0]), " ", "-")
			return usagef("the %s has %d characters, Service Bus takes %d: name a shorter one with --%s", id[0], n, maxID, flag)
		}
	}
	return nil
}

// plainURL reports whether a text is a URL that carries no signature and no password.
func plainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.RawQuery == "" && u.User == nil
}

func (a *app) send(ctx context.Context, f sendFlags, files []string) error {
	if err := f.check(files); err != nil {
		return err
	}
	client, cfg, server, err := a.serviceBus()
	if err != nil {
		return err
	}
	defer closeQuietly(client)
	if f.queue, err = target(f.queue, cfg); err != nil {
		return err
	}
	tel, err := a.telemetry(ctx, a.level(), a.stderr)
	if err != nil {
		return err
	}
	defer func() {
		if err := tel.Shutdown(ctx); err != nil {
			tel.Logger().WarnContext(ctx, "telemetry not delivered to its end", "error", err)
		}
	}()
	sender, err := client.NewSender(f.queue, nil)
	if err != nil {
		return fmt.Errorf("open a sender for %s: %w", f.queue, err)
	}
	defer closeQuietly(sender)
	out := output{sender, tel, telemetry.Destination{Name: f.queue, Server: server}}
	if f.dataref != "" {
		files = []string{""}
	}
	// One at a time, and none after a failure: files of one session are imported in the order in which they were sent.
	done := make([]sent, 0, len(files))
	var failed error
	for _, file := range files {
		m, one, err := a.message(f, file)
		if err == nil {
			err = out.send(ctx, m)
		}
		if err != nil {
			hint := sendHint(err, server, f.queue)
			failed = advise(fmt.Errorf("send %s to %s: %w", cmp.Or(file, f.dataref), f.queue, err), hint)
			break
		}
		done = append(done, one)
		if f.out == formatJSONL {
			if err := writeLine(a.stdout, one); err != nil {
				return err
			}
		}
	}
	if err := a.printSent(f.out, done); err != nil {
		return err
	}
	if failed != nil && len(done) > 0 {
		err := fmt.Errorf("%w (%s of %d sent, in order; the rest was not tried)",
			failed, counted(len(done), "file"), len(files))
		return &exitError{exitPartly, err, hintOf(failed)}
	}
	return failed
}

// target returns the queue or topic to send to.
func target(queue string, cfg *config.Config) (string, error) {
	switch {
	case queue != "":
		return queue, nil
	case cfg == nil:
		return "", usagef("--queue is needed without a configuration that names the sources")
	case len(cfg.Sources) == 0:
		return "", usagef("--queue is needed: the configuration has no sources")
	}
	return cmp.Or(cfg.Sources[0].Queue, cfg.Sources[0].Topic), nil
}

func (a *app) printSent(out format, done []sent) error {
	switch out {
	case formatJSON:
		return writeJSON(a.stdout, done)
	case formatJSONL:
		return nil // as they were sent
	}
	if len(done) == 0 {
		return nil
	}
	t := newTable(a.stdout, "FILE", "TO", "SESSION", "MESSAGE ID", "BYTES")
	for _, s := range done {
		t.row(cmp.Or(s.File, s.DataRef), s.To, s.Session, s.MessageID, strconv.Itoa(s.Bytes))
	}
	return t.flush()
}

// sendHint says what to do about an error of a send, "" when there is nothing general to say.
func sendHint(err error, server, entity string) string {
	if errors.Is(err, azservicebus.ErrMessageTooLarge) {
		return "A message holds 256 KB in the Standard tier, 1 MB or more in Premium. " +
			"Put the file into a blob container that the route allows and send --dataref URL."
	}
	return busHint(err, server, entity, "send")
}

// hintOf returns the advice an error carries.
func hintOf(err error) string {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.hint
	}
	return ""
}
