// Package demo shows a bridge at work with everything on this machine: an embedded Service Bus, an embedded F&O, files
// that are sent as producers would, and a subscriber that reads the status events and the exports as any other system.
// At the end a checker (internal/history) compares what was sent with what F&O recorded and what the subscriber got.
//
//	files.go, folder.go   what is sent: the samples of the repository, or a folder of the user's own
//	demo.go               the emulators, the sending, the run
//	subscriber.go         what other systems see
//	live.go               the lanes on a terminal, while it runs
//	summary.go            what the checker says at the end
//
// The bridge itself comes from the caller: it is the one that `bridge run` runs. The package lies below cmd because it
// needs the emulators, the examples and the configuration, of which no package in internal may know.
package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/cmd/bridge/embedded"
	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// The subscriptions of the demo's status topic: one for the checker, and one for whoever reads along after the demo.
const (
	checkerSubscription = "checker"
	SpareSubscription   = "watch"
)

// patience bounds a demo whose files do not end; they are then reported as lost or pending.
const patience = 2 * time.Minute

// redrawn is how often the live view counts its seconds when nothing else happens.
const redrawn = 100 * time.Millisecond

// A Demo is both emulators with what is to be sent to them, and the configuration of a bridge between them.
type Demo struct {
	Config *config.Config
	Bus    *servicebus.Server
	Fno    *fno.Server

	files   []file
	exports int // files that F&O will export
	remove  func() error
	sent    []sentFile
}

// A Bridge is the bridge that is shown.
type Bridge interface {
	// Run serves until intake ends and everything in hand is finished or written down.
	Run(intake context.Context) error
	// Lanes returns what the lanes are doing, for the live view.
	Lanes() []Lane
}

// Options are what a demo is run with.
type Options struct {
	Bridge    Bridge
	Telemetry *telemetry.Telemetry
	Event     func(status.Event, error) // called for each status event, or with the error of one that cannot be read
	Terminal  *Terminal                 // for the live view; nil for none
}

// Open starts the emulators with what the demo needs: for the samples, or for the files in folder. The errors of a
// folder that does not do are of type FolderError.
func Open(folder string) (*Demo, error) {
	in, err := read(folder)
	if err != nil {
		return nil, err
	}
	d := &Demo{files: in.files, exports: in.exports, remove: in.remove}
	if err := d.start(in); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Demo) start(in input) (err error) {
	if d.Config, err = config.Parse(in.configName, in.config, noSecret); err != nil {
		return err
	}
	namespace := embedded.Namespace(d.Config, checkerSubscription, SpareSubscription)
	if d.Bus, err = servicebus.Start(servicebus.Options{Namespace: namespace}); err != nil {
		return err
	}
	if d.Fno, err = in.startFno(d.Config); err != nil {
		return err
	}
	// The embedded F&O is there and takes a fraction of a second where the real one takes minutes.
	for i := range d.Config.Environments {
		d.Config.Environments[i].URL, d.Config.Environments[i].StatusCalls = d.Fno.URL(), 500
	}
	d.Config.Poll = config.Poll{First: 20 * time.Millisecond, Fraction: 0.1, Max: 200 * time.Millisecond}
	d.Config.Listen = ""
	return nil
}

// noSecret answers for the secrets that a demo's configuration refers to: nothing in a demo is secret, and the bridge
// gets its connections from Connect and Credential.
func noSecret(string) (string, bool) {
	return "Endpoint=sb://localhost;SharedAccessKeyName=demo;SharedAccessKey=demo", true
}

// Close ends the emulators and removes what was unpacked.
func (d *Demo) Close() error {
	var errs []error
	if d.Fno != nil {
		errs = append(errs, d.Fno.Close())
	}
	if d.Bus != nil {
		errs = append(errs, d.Bus.Close())
	}
	return errors.Join(append(errs, d.remove())...)
}

// Connect opens a client to the embedded Service Bus as any client would: over TCP, with the connection string.
func (d *Demo) Connect(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
	o := &azservicebus.ClientOptions{RetryOptions: r}
	return azservicebus.NewClientFromConnectionString(d.Bus.ConnectionString(), o)
}

// Credential returns what every identity of the demo signs in with.
func (d *Demo) Credential(config.Identity) (azcore.TokenCredential, error) {
	return d.Fno.Credential("demo"), nil
}

// Queue returns the queue that the files are sent to.
func (d *Demo) Queue() string { return d.Config.Sources[0].Queue }

// Run sends the files and runs the bridge until all of them have ended, or until intake ends. It returns what the
// checker says. Work outlasts intake: the bridge needs it to finish, and the checker to look.
func (d *Demo) Run(intake, work context.Context, o Options) (*Summary, error) {
	began := time.Now()
	view := newLiveView(o.Terminal, began, d.files)
	sub, err := d.subscribe(o, view)
	if err != nil {
		return nil, err
	}
	defer sub.close()
	if err := d.send(intake, o.Telemetry); err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(intake)
	defer stop()
	var running sync.WaitGroup
	var stopErr error
	running.Go(func() { stopErr = o.Bridge.Run(serving) })
	sub.await(intake, func() { view.draw(o.Bridge.Lanes()) })
	took := time.Since(began)
	stop()
	running.Wait()
	if stopErr != nil {
		o.Telemetry.Logger().DebugContext(work, "not everything closed in an orderly way", "error", stopErr)
	}
	return d.check(work, sub, took)
}

// A sentFile is a file with what the checker knows it by.
type sentFile struct {
	file
	messageID string
}

// send puts the files on the queue in the order in which they were read: each session in order, as producers that know
// nothing of each other would.
func (d *Demo) send(ctx context.Context, tel *telemetry.Telemetry) error {
	client, err := d.Connect(azservicebus.RetryOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // everything is sent or an error says so
	sender, err := client.NewSender(d.Queue(), nil)
	if err != nil {
		return fmt.Errorf("send samples: %w", err)
	}
	for i, f := range d.files {
		id := fmt.Sprintf("demo-%03d", i+1)
		props := map[string]any{contract.PropFileName: f.name}
		if f.entity != "" {
			props[contract.PropEntity] = f.entity
		}
		if f.company != "" {
			props[contract.PropCompany] = f.company
		}
		sendCtx, end := tel.Send(ctx, telemetry.Destination{Name: d.Queue(), Server: d.Bus.Addr()},
			telemetry.MessageInfo{ID: id, Session: f.session, Size: len(f.body), Properties: props})
		err := sender.SendMessage(sendCtx, &azservicebus.Message{
			MessageID: &id, SessionID: &f.session, Body: f.body, ApplicationProperties: props,
		}, nil)
		end(err)
		if err != nil {
			return fmt.Errorf("send sample %s: %w", f.name, err)
		}
		d.sent = append(d.sent, sentFile{f, id})
	}
	return nil
}
