//go:build unix

package crash

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
	"fnobridge/emulator/line"
	"fnobridge/emulator/servicebus/entity"
	"fnobridge/emulator/servicebus/servicebustest"
	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/contract"
	"fnobridge/internal/history"
)

// The names in the world.
const (
	inQueue      = "fno-inbound"
	deadLetters  = inQueue + "/$DeadLetterQueue"
	statusTopic  = "fno-status"
	subscriber   = statusTopic + "/Subscriptions/checker"
	fileJob      = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	orderedJob   = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12"
	clientSecret = "a-secret-that-no-log-may-show"
	container    = "/inbound"
)

// The companies; each has a route of its own, so that a session's name says what must happen to it.
const (
	keeping   = "usmf" // unknownOutcome: deadletter
	resending = "frrt" // unknownOutcome: resend
	windowed  = "demf" // order: enqueued, three files in flight
	draining  = "gbsi" // onFailure: drain
)

// configuration is bridge.yaml; the arguments are those of world.configure.
const configuration = `serviceBus: {connectionString: {env: SERVICEBUS_CONNECTION_STRING}, lock: %[1]s}
sources: [{queue: fno-inbound}]
status: {topic: fno-status}
storage: {identity: {kind: managedIdentity}}
environments:
  - name: fno
    url: %[2]q
    identity: {kind: clientSecret, tenantId: contoso.onmicrosoft.com, clientId: 00000000-0000-0000-0000-000000000003,
      secret: {env: FNO_SECRET}, authorityHost: %[3]q, authorityCA: authority.pem}
    requests: 32
    statusCalls: 100000
    timeout: %[4]s
routes:
  - {name: keeping, match: {company: usmf}, environment: fno, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11,
    unknownOutcome: deadletter, partialImport: repeat, deadline: 1h, retry: &retry {attempts: 10, first: 20ms, max: 500ms, total: 30m}, claimCheck: [%[6]q]}
  - {name: resending, match: {company: frrt}, environment: fno, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11,
    unknownOutcome: resend, partialImport: repeat, deadline: 1h, retry: *retry, claimCheck: [%[6]q]}
  - {name: windowed, match: {company: demf}, environment: fno, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c12,
    unknownOutcome: deadletter, order: enqueued, window: 3, partialImport: repeat, deadline: 1h, retry: *retry, claimCheck: [%[6]q]}
  - {name: draining, match: {company: gbsi}, environment: fno, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11,
    unknownOutcome: resend, onFailure: drain, partialImport: repeat, deadline: 1h, retry: *retry, claimCheck: [%[6]q]}
sessions: 32
accepts: 8
idle: 100ms
poll: {first: 10ms, max: 100ms}
grace: %[5]s
listen: ""
`

// settings are what differs between worlds.
type settings struct {
	lock       time.Duration // of the session queue
	timeout    time.Duration // of a call to F&O
	grace      time.Duration
	importTime time.Duration
	onImport   func(fno.Import) // called before F&O answers; may be nil
	clock      fno.Clock        // F&O's; the machine's when nil
}

// A world is what the bridge lives in, and the memory of what was sent into it.
type world struct {
	t      *testing.T
	ctx    context.Context // ends when the test has waited long enough, or with giveUp
	giveUp context.CancelCauseFunc
	bus    *servicebustest.Bus
	at     string // the connection string of the bridges
	fno    *dynamicstest.Environment
	blobs  *storagetest.Server
	dir    string // holds bridge.yaml
	sender *azservicebus.Sender

	mu    sync.Mutex // guards what follows
	sent  []history.Sent
	next  map[string]int // index of the next file, by session
	ended int            // files that have left the queue
	moved chan struct{}  // closed and replaced when ended has grown
}

// patience is when a test gives up waiting for an event; nothing depends on how soon the event comes.
const patience = 3 * time.Minute

func newWorld(t *testing.T, s settings, patience time.Duration) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), next: map[string]int{}, moved: make(chan struct{})}
	if d, ok := t.Deadline(); ok { // a test that is cut off would leave its processes behind
		patience = min(patience, time.Until(d)-20*time.Second)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w.ctx, w.giveUp = context.WithCancelCause(ctx)

	w.bus = servicebustest.New(t,
		servicebustest.SessionQueue(inQueue, func(q *entity.QueueDescription) {
			q.RequiresDuplicateDetection, q.LockDuration = true, s.lock
			q.MaxDeliveryCount = entity.MaxMaxDeliveryCount // expired locks count; the test expires many
		}),
		servicebustest.Topic(statusTopic, servicebustest.Subscription("checker"),
			func(t *entity.TopicDescription) { t.RequiresDuplicateDetection = true }),
	)
	w.at = w.bus.ConnectionString()
	if ms, err := strconv.Atoi(cmp.Or(os.Getenv(rttVariable), "0")); err != nil {
		t.Fatalf("%s: %v", rttVariable, err)
	} else if ms > 0 {
		far, err := line.New(w.bus.Addr(), line.Conditions{RoundTrip: time.Duration(ms) * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := far.Close(); err != nil {
				t.Error(err)
			}
		})
		w.at = strings.Replace(w.at, w.bus.Addr(), far.Addr(), 1)
	}
	w.fno = dynamicstest.New(t, func(o *fno.Options) {
		o.ImportTime, o.OnImport, o.Clock = s.importTime, s.onImport, s.clock
		o.Clients = map[string]string{"00000000-0000-0000-0000-000000000003": clientSecret}
		o.Jobs = []fno.Job{{ID: fileJob, CompanyFromMessage: true}, {ID: orderedJob, CompanyFromMessage: true, InOrder: true}}
	})
	w.blobs = storagetest.New(t) // as storage emulators have it, in the clear: the bridge shows it no token

	text := fmt.Sprintf(configuration, s.lock, w.fno.URL(), w.fno.AuthorityHost(), s.timeout, s.grace, w.blobs.URL()+container)
	w.must(os.WriteFile(filepath.Join(w.dir, "bridge.yaml"), []byte(text), 0o600))
	w.must(os.WriteFile(filepath.Join(w.dir, "authority.pem"), w.fno.CertificatePEM(), 0o600))

	client := w.bus.Client(&azservicebus.ClientOptions{
		RetryOptions: azservicebus.RetryOptions{MaxRetries: 10, RetryDelay: 20 * time.Millisecond, MaxRetryDelay: 500 * time.Millisecond},
	})
	var err error
	w.sender, err = client.NewSender(inQueue, nil)
	w.must(err)
	var watching sync.WaitGroup
	watching.Go(w.watch)
	t.Cleanup(watching.Wait) // before the broker closes
	t.Cleanup(cancel)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// A parcel is a file to be sent. A broken one is rejected by the bridge: it never gets to F&O.
type parcel struct {
	session string
	broken  bool
}

// drains reports whether a session is of the company that drains.
func drains(session string) bool { return session[:len(draining)] == draining }

// session returns the name of the nth session of a company.
func session(company string, n int) string { return fmt.Sprintf("%s/Entity %03d", company, n) }

// send sends the files in order, in batches. Connections may be cut meanwhile: a batch is all there or not at all, and
// the queue drops what comes twice.
func (w *world) send(parcels ...parcel) error {
	for batch := range slices.Chunk(parcels, 100) {
		b, err := w.sender.NewMessageBatch(w.ctx, nil)
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		var sent []history.Sent
		w.mu.Lock()
		for _, p := range batch {
			n := w.next[p.session]
			w.next[p.session]++
			id := fmt.Sprintf("%s #%04d", p.session, n)
			body := []byte("ID,NAME\n1," + id + "\n")
			sum := sha256.Sum256(body)
			m := &azservicebus.Message{MessageID: &id, SessionID: &p.session, Body: body}
			switch {
			case p.broken && drains(p.session): // only a file with a route drains its session
				m.ApplicationProperties = map[string]any{contract.PropSHA256: hex.EncodeToString(make([]byte, len(sum)))}
			case p.broken:
				m.ApplicationProperties = map[string]any{contract.PropFileName: int64(n)} // the contract wants text
			case n%2 == 1: // every other file of a session is a claim check
				blob := fmt.Sprintf("/%s/%d.csv", p.session, n)
				ref := w.blobs.Upload(container+blob, body)
				m.Body, m.ApplicationProperties = nil, map[string]any{contract.PropDataRef: ref, contract.PropSHA256: hex.EncodeToString(sum[:])}
			}
			if err = b.AddMessage(m, nil); err != nil {
				break
			}
			sent = append(sent, history.Sent{Session: p.session, Index: n, MessageID: id, Hash: hex.EncodeToString(sum[:])})
		}
		w.mu.Unlock()
		if err == nil {
			err = w.sender.SendMessageBatch(w.ctx, b, nil)
		}
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		w.mu.Lock()
		w.sent = append(w.sent, sent...)
		w.mu.Unlock()
		w.recount()
	}
	return nil
}

// watch keeps ended up to date until the test has waited long enough.
func (w *world) watch() {
	_ = w.bus.Await(w.ctx, func() bool { // its only error is the end of the test
		w.recount()
		return false
	})
}

// recount counts the files that have left the queue: its promise is that they ended.
func (w *world) recount() {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, _ := w.bus.Counts(inQueue)
	if n := len(w.sent) - c.Active; n > w.ended {
		w.ended = n
		close(w.moved)
		w.moved = make(chan struct{})
	}
}

// waitEnded waits until n files have ended.
func (w *world) waitEnded(ctx context.Context, n int) error {
	for {
		w.mu.Lock()
		ended, moved := w.ended, w.moved
		w.mu.Unlock()
		if ended >= n {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d files ended: %w", ended, n, context.Cause(ctx))
		}
	}
}

// waitAll waits until every file sent so far has ended.
func (w *world) waitAll() {
	w.t.Helper()
	w.mu.Lock()
	n := len(w.sent)
	w.mu.Unlock()
	if err := w.waitEnded(w.ctx, n); err != nil {
		for _, s := range w.bus.Sessions(inQueue) {
			if s.Messages > 0 {
				w.t.Logf("session %q: %d files, owned %v, ledger %s", s.ID, s.Messages, s.Owned, s.State)
			}
		}
		w.t.Error(err)
	}
}
