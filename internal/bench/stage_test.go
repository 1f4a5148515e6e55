//go:build linux

package bench

import (
	"context"
	"fmt"
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
)

const (
	queue  = "fno-inbound"
	topic  = "fno-status"
	job    = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	client = "00000000-0000-0000-0000-000000000003"
	secret = "a-secret"
)

// A stage is both emulators, and a producer.
type stage struct {
	tb     testing.TB
	ctx    context.Context // ends when the contender has
	giveUp context.CancelCauseFunc
	bus    *servicebustest.Bus
	fno    *dynamicstest.Environment
	client *azservicebus.Client
	sender *azservicebus.Sender
	far    *line.Line // between the contender and Service Bus; nil is loopback

	mu    sync.Mutex
	first time.Time // when F&O accepted the first file
}

// newStage starts the emulators. F&O imports at once; each of its calls takes the latency.
func newStage(tb testing.TB, latency time.Duration) *stage {
	tb.Helper()
	st := &stage{tb: tb}
	st.ctx, st.giveUp = context.WithCancelCause(tb.Context())
	st.bus = servicebustest.New(tb,
		servicebustest.SessionQueue(queue, func(q *entity.QueueDescription) {
			q.LockDuration, q.MaxDeliveryCount, q.MaxSizeInMegabytes = 5*time.Minute, 2000, 5*1024
			q.MaxMessageSizeInKilobytes = 100 << 10
		}),
		servicebustest.Topic(topic, func(t *entity.TopicDescription) { t.MaxSizeInMegabytes = 5 * 1024 }),
	)
	st.fno = dynamicstest.New(tb, dynamicstest.Job(job), func(o *fno.Options) {
		o.Clients, o.TokenLife, o.Inspect = map[string]string{client: secret}, 24*time.Hour, 1
		o.OnImport = func(i fno.Import) {
			st.mu.Lock()
			defer st.mu.Unlock()
			if st.first.IsZero() {
				st.first = i.AcceptedAt
			}
		}
	})
	if latency > 0 {
		for _, op := range []fno.Operation{fno.Enqueue, fno.Status} {
			st.fno.Faults().MustAdd(fno.Fault{Operation: op, Act: fno.Delay, Delay: fno.Duration(latency)})
		}
	}
	st.client = st.bus.Client(&azservicebus.ClientOptions{})
	var err error
	st.sender, err = st.client.NewSender(queue, nil)
	st.must(err)
	return st
}

// away puts a line between the contender and Service Bus. Both producer and F&O stay near.
func (st *stage) away(is line.Conditions) {
	st.tb.Helper()
	var err error
	st.far, err = line.New(st.bus.Addr(), is)
	st.must(err)
	st.tb.Cleanup(func() { st.must(st.far.Close()) })
}

// connectionString is the contender's.
func (st *stage) connectionString() string {
	if st.far == nil {
		return st.bus.ConnectionString()
	}
	return strings.Replace(st.bus.ConnectionString(), st.bus.Addr(), st.far.Addr(), 1)
}

func (st *stage) must(err error) {
	st.tb.Helper()
	if err != nil {
		st.tb.Fatal(err)
	}
}

// send sends one file of 4 KB.
func (st *stage) send(session, id string) {
	st.tb.Helper()
	st.must(st.sender.SendMessage(st.tb.Context(), file(session, id), nil))
}

// sendLarge sends one file of a size.
func (st *stage) sendLarge(session, id string, size int) {
	st.tb.Helper()
	m := file(session, id)
	m.Body = append(m.Body, make([]byte, max(0, size-len(m.Body)))...)
	st.must(st.sender.SendMessage(st.tb.Context(), m, nil))
}

func file(session, id string) *azservicebus.Message {
	return &azservicebus.Message{MessageID: &id, SessionID: &session, Body: []byte("NAME\n" + strings.Repeat("x", 4<<10))}
}

// name returns the message ID of the nth file of a session.
func name(session, n int) string { return fmt.Sprintf("%05d/%05d", session, n) }

// fill puts files on the queue, the sessions in turn.
func (st *stage) fill(sessions, each int) {
	st.tb.Helper()
	ctx := st.tb.Context()
	batch, err := st.sender.NewMessageBatch(ctx, nil)
	for n := 0; n < each && err == nil; n++ {
		for s := 0; s < sessions && err == nil; s++ {
			m := file(fmt.Sprintf("Entity %d", s), name(s, n))
			if batch.AddMessage(m, nil) == nil {
				continue
			}
			if err = st.sender.SendMessageBatch(ctx, batch, nil); err != nil { // it is full
				break
			}
			if batch, err = st.sender.NewMessageBatch(ctx, nil); err == nil {
				err = batch.AddMessage(m, nil)
			}
		}
	}
	if err == nil {
		err = st.sender.SendMessageBatch(ctx, batch, nil)
	}
	st.must(err)
}

// await waits until ok, at most ten minutes.
func (st *stage) await(what string, ok func() bool) {
	st.tb.Helper()
	ctx, cancel := context.WithTimeout(st.ctx, 10*time.Minute)
	defer cancel()
	if st.bus.Await(ctx, ok) != nil {
		st.tb.Fatalf("waited for %s: %v", what, context.Cause(ctx))
	}
}

// left returns how many files are in the queue.
func (st *stage) left() int {
	c, _ := st.bus.Counts(queue)
	return c.Active
}

// drain waits until the queue is empty, and gives how long that took from the first file that F&O accepted.
func (st *stage) drain() time.Duration {
	st.tb.Helper()
	st.await("an empty queue", func() bool { return st.left() == 0 })
	st.mu.Lock()
	defer st.mu.Unlock()
	return time.Since(st.first)
}

// imported returns how many files F&O took more than once, and how many after a later one of their session.
func (st *stage) imported() (twice, disordered int) {
	seen, highest := map[string]bool{}, map[string]string{}
	for _, i := range st.fno.Imports() {
		session, _, _ := strings.Cut(i.ExternalID, "/")
		switch {
		case seen[i.ExternalID]:
			twice++
		case i.ExternalID < highest[session]:
			disordered++
		default:
			highest[session] = i.ExternalID
		}
		seen[i.ExternalID] = true
	}
	return twice, disordered
}
