package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/status"
	"fnobridge/internal/telemetry"
)

// The subscriptions of the demo's status topic: one for the checker, one for whoever watches with --keep.
const (
	checkerSubscription = "checker"
	spareSubscription   = "watch"
)

// A stage is the world of a demo: the two emulators, and the configuration that points at them.
type stage struct {
	script *script
	cfg    *config.Config
	bus    *servicebus.Server
	fno    *fno.Server
	sent   []sentFile
}

// sentFile is what was sent, for the checker.
type sentFile struct {
	sample
	messageID string
	hash      string
}

// raiseStage starts the emulators with everything that the script's configuration names.
func raiseStage(s *script) (*stage, error) {
	cfg, err := config.Parse(s.configName, s.config, s.env)
	if err != nil {
		return nil, err
	}
	ns := entity.Namespace{}
	for _, src := range cfg.Sources {
		q := entity.NewQueue(src.Queue)
		q.RequiresSession, q.RequiresDuplicateDetection = true, true
		q.LockDuration = cfg.ServiceBus.Lock
		q.MaxDeliveryCount = 100
		ns.Queues = append(ns.Queues, q)
	}
	for _, x := range cfg.Exports {
		if slices.ContainsFunc(ns.Queues, func(q entity.QueueDescription) bool { return q.Name == x.Queue }) {
			continue // several exports share it
		}
		q := entity.NewQueue(x.Queue)
		q.RequiresDuplicateDetection = true
		ns.Queues = append(ns.Queues, q)
	}
	t := entity.NewTopic(cfg.Status.Topic)
	t.RequiresDuplicateDetection = true
	t.Subscriptions = []entity.SubscriptionDescription{entity.NewSubscription(checkerSubscription), entity.NewSubscription(spareSubscription)}
	ns.Topics = []entity.TopicDescription{t}
	st := &stage{script: s, cfg: cfg}
	if st.bus, err = servicebus.Start(servicebus.Options{Namespace: ns}); err != nil {
		return nil, err
	}
	if st.fno, err = s.startFno(); err != nil {
		return nil, errors.Join(err, st.bus.Close())
	}
	// The embedded F&O is there and takes a fraction of a second where the real one takes minutes.
	for i := range cfg.Environments {
		cfg.Environments[i].URL, cfg.Environments[i].StatusCalls = st.fno.URL(), 500
	}
	cfg.Poll = config.Poll{First: 20 * time.Millisecond, Fraction: 0.1, Max: 200 * time.Millisecond}
	cfg.Listen = ""
	return st, nil
}

func (st *stage) close() error {
	return errors.Join(st.fno.Close(), st.bus.Close(), st.script.cleanUp())
}

func (st *stage) queue() string { return st.cfg.Sources[0].Queue }

// connect opens a client to the embedded Service Bus as any client would: over TCP, with the connection string.
func (st *stage) connect(r azservicebus.RetryOptions) (*azservicebus.Client, error) {
	return azservicebus.NewClientFromConnectionString(st.bus.ConnectionString(), &azservicebus.ClientOptions{RetryOptions: r})
}

func (st *stage) doors() doors {
	return doors{
		connect: st.connect, server: st.bus.Addr(),
		credential: func(config.Identity) (azcore.TokenCredential, error) { return st.fno.Credential("demo"), nil },
	}
}

// send puts the files of the script on the queue, each session in order and the sessions in turn, as producers that
// know nothing of each other would.
func (st *stage) send(ctx context.Context, tel *telemetry.Telemetry) error {
	client, err := st.connect(azservicebus.RetryOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(context.WithoutCancel(ctx)) }() // everything is sent or an error says so
	sender, err := client.NewSender(st.queue(), nil)
	if err != nil {
		return fmt.Errorf("send samples: %w", err)
	}
	for i, f := range st.script.files {
		id := fmt.Sprintf("demo-%03d", i+1)
		props := map[string]any{contract.PropFileName: f.name}
		if f.pair.Entity != "" {
			props[contract.PropEntity] = f.pair.Entity
		}
		if f.pair.Company != "" {
			props[contract.PropCompany] = f.pair.Company
		}
		sendCtx, end := tel.Send(ctx, telemetry.Destination{Name: st.queue(), Server: st.bus.Addr()},
			telemetry.MessageInfo{ID: id, Session: f.session, Size: len(f.body), Properties: props})
		err := sender.SendMessage(sendCtx, &azservicebus.Message{
			MessageID: &id, SessionID: &f.session, Body: f.body, ApplicationProperties: props,
		}, nil)
		end(err)
		if err != nil {
			return fmt.Errorf("send sample %s: %w", f.name, err)
		}
		sum := sha256.Sum256(f.body)
		st.sent = append(st.sent, sentFile{f, id, hex.EncodeToString(sum[:])})
	}
	return nil
}

// An audience is a subscriber of the status topic and of the exports: it sees what any other system would see.
type audience struct {
	client  *azservicebus.Client
	news    chan struct{} // has something when anything came
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	files   int
	exports int

	mu       sync.Mutex
	events   []arrival
	received map[string]int // exports by message ID
	ended    map[string]bool
}

// arrival is one event with its place in the subscription.
type arrival struct {
	event    status.Event
	id       string
	sequence int64
}

// seat subscribes. say is called with a line for each event.
func (st *stage) seat(say func(string), bd *board) (*audience, error) {
	client, err := st.connect(azservicebus.RetryOptions{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	aud := &audience{
		client: client, news: make(chan struct{}, 1), cancel: cancel, files: len(st.script.files), exports: st.script.exports,
		received: map[string]int{}, ended: map[string]bool{},
	}
	events, err := client.NewReceiverForSubscription(st.cfg.Status.Topic, checkerSubscription, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	aud.wg.Go(func() {
		drain(ctx, events, func(m *azservicebus.ReceivedMessage) {
			e, err := status.Decode(m.Body)
			if err != nil {
				say("unreadable event: " + err.Error())
				return
			}
			bd.see(e)
			say(eventLine(e))
			aud.take(arrival{e, m.MessageID, *m.SequenceNumber})
		})
	})
	queues := map[string]bool{}
	for _, x := range st.cfg.Exports {
		if queues[x.Queue] {
			continue
		}
		queues[x.Queue] = true
		r, err := client.NewReceiverForQueue(x.Queue, nil)
		if err != nil {
			aud.leave()
			return nil, err
		}
		aud.wg.Go(func() {
			drain(ctx, r, func(m *azservicebus.ReceivedMessage) {
				aud.mu.Lock()
				aud.received[m.MessageID]++
				aud.mu.Unlock()
				aud.wake()
			})
		})
	}
	return aud, nil
}

// drain takes everything that comes until ctx ends.
func drain(ctx context.Context, r *azservicebus.Receiver, take func(*azservicebus.ReceivedMessage)) {
	for ctx.Err() == nil {
		got, err := r.ReceiveMessages(ctx, 100, nil)
		if err != nil {
			return
		}
		for _, m := range got {
			take(m)
			if err := r.CompleteMessage(ctx, m, nil); err != nil {
				return
			}
		}
	}
}

func (aud *audience) take(x arrival) {
	aud.mu.Lock()
	aud.events = append(aud.events, x)
	if x.event.Status.Ends() {
		aud.ended[x.event.MessageID] = true
	}
	aud.mu.Unlock()
	aud.wake()
}

func (aud *audience) wake() {
	select {
	case aud.news <- struct{}{}:
	default:
	}
}

// satisfied reports whether every file has ended and every export has come.
func (aud *audience) satisfied() bool {
	aud.mu.Lock()
	defer aud.mu.Unlock()
	return len(aud.ended) >= aud.files && len(aud.received) >= aud.exports
}

func (aud *audience) leave() {
	aud.cancel()
	aud.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = aud.client.Close(ctx) // nothing is sent by it
}
