package inbound

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/emulator/line"
	"fnobridge/emulator/servicebus"
	"fnobridge/internal/history"
	"fnobridge/internal/telemetry"
)

var longLine = flag.Bool("line.long", false, "all distances and sizes, some of which take minutes")

// farWorld is a world with production's bounds, whose workers are away from Service Bus and from F&O.
func farWorld(t *testing.T, broker, fno line.Conditions) *tcpWorld {
	t.Helper()
	w := newTCPWorld(t, 30*time.Second, tcpPolicies[0])
	w.calls, w.sends = 0, 0 // the defaults
	w.drains = 10 * time.Minute
	w.route.Timeout, w.route.Deadline = 20*time.Second, 10*time.Minute
	w.o.Idle, w.o.FirstWait = 200*time.Millisecond, 0
	w.logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	begin := func(target string, is line.Conditions) *line.Line {
		l, err := line.New(target, is)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			w.end()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		return l
	}
	w.far = begin(w.sb.Addr(), broker)
	host := strings.TrimPrefix(w.fno.URL(), "http://")
	w.fnoAt = "http://" + begin(host, fno).Addr()
	return w
}

// put sends one file of a size to a session, from a producer nearby.
func (w *tcpWorld) put(session string, size int) {
	w.t.Helper()
	client, err := w.connect(azservicebus.RetryOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx := context.Background()
	defer func() { _ = client.Close(ctx) }()
	s, err := client.NewSender(source, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.index++
	id := fmt.Sprintf("%s-%d", session, w.index)
	body := bytes.Repeat([]byte("x"), size-len(id))
	body = append(body, id...)
	sum := sha256.Sum256(body)
	w.sent = append(w.sent, history.Sent{Session: session, Index: w.index, MessageID: id, Hash: hex.EncodeToString(sum[:])})
	if err := s.SendMessage(ctx, &azservicebus.Message{MessageID: &id, SessionID: &session, Body: body}, nil); err != nil {
		w.t.Fatal(err)
	}
}

// arrived waits for the end and holds that every file was processed, and that no connection that worked was replaced.
func (w *tcpWorld) arrived() {
	w.t.Helper()
	w.drained()
	made := w.far.Dialled()
	if r := w.check(); r.Processed != len(w.sent) || r.DeadLettered != 0 {
		w.t.Errorf("%+v", r)
	}
	if most := w.o.Accepts + 1; made > most {
		w.t.Errorf("%d connections were made, at most %d are needed", made, most)
	}
}

// More sessions have work than there are slots, and Service Bus is far away: every file arrives.
func TestEveryFileArrivesFromAnyDistance(t *testing.T) {
	for _, far := range []struct {
		rtt             time.Duration
		sessions, files int
		long            bool
	}{{24, 6, 5, false}, {60, 4, 3, false}, {250, 2, 1, false}, {120, 6, 5, true}, {250, 6, 5, true}} {
		t.Run(fmt.Sprintf("%d ms, %d sessions", far.rtt, far.sessions), func(t *testing.T) {
			if far.long && !*longLine {
				t.Skip("-line.long")
			}
			t.Parallel()
			is := line.Conditions{RoundTrip: far.rtt * time.Millisecond, Jitter: far.rtt * time.Millisecond / 10}
			w := farWorld(t, is, is)
			w.o.Sessions, w.o.Accepts = 2, 2
			w.fill(far.sessions, far.files)
			w.start()
			w.arrived()
		})
	}
}

// A message that takes long to arrive arrives, and no session is accepted twice for it.
func TestEveryFileArrivesWhateverItsSize(t *testing.T) {
	for _, x := range []struct {
		mbit, size int
		long       bool
	}{
		{5, 4 << 10, false}, {5, 200 << 10, false}, {20, 200 << 10, false}, {100, 5 << 20, false}, {20, 5 << 20, true},
		{5, 5 << 20, true}, {100, 28_000_000, true}, {20, 28_000_000, true}, {5, 28_000_000, true},
	} {
		t.Run(fmt.Sprintf("%d KB at %d Mbit/s", x.size>>10, x.mbit), func(t *testing.T) {
			if x.long && !*longLine {
				t.Skip("-line.long")
			}
			t.Parallel()
			is := line.Conditions{RoundTrip: 10 * time.Millisecond, Rate: line.Mbit(x.mbit)}
			w := farWorld(t, is, is)
			w.o.Sessions, w.o.Accepts = 1, 1
			w.put("a", x.size)
			w.put("b", x.size)
			accepts := w.sb.Faults().Add(servicebus.Fault{Op: servicebus.OpAccept, Effect: servicebus.Pass, Times: -1})
			w.start()
			w.arrived()
			if n := accepts.Count(); n != 2 {
				t.Errorf("%d sessions were accepted for the files of two", n)
			}
		})
	}
}

// Large messages of several sessions share a slow line. Nothing is taken for dead because it is slow.
func TestLargeFilesShareALine(t *testing.T) {
	t.Parallel()
	is := line.Conditions{RoundTrip: 30 * time.Millisecond, Rate: line.Mbit(20)}
	w := farWorld(t, is, line.Conditions{})
	w.o.Sessions, w.o.Accepts = 4, 4
	for n := range 4 {
		w.put(fmt.Sprint("s", n), 2<<20)
	}
	w.start()
	w.arrived()
}

// A connection that is silently dead is replaced, and the files arrive.
func TestAHalfOpenConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	is := line.Conditions{RoundTrip: 30 * time.Millisecond}
	w := farWorld(t, is, line.Conditions{})
	w.o.Sessions, w.o.Accepts = 4, 2
	w.route.ResendUnknown = true
	w.fill(4, 4)
	w.start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.sb.Await(ctx, func() bool { c, _ := w.sb.Counts(source); return c.Active < 14 }); err != nil {
		t.Fatal(err)
	}
	w.far.HalfOpen()
	w.sb.Faults().CutAll() // the broker's side knows; the worker's does not
	w.drained()
	if r := w.check(); r.Processed != 16 {
		t.Errorf("%+v", r)
	}
}

// A session that is handed out twice and gives nothing is told of, with what may be the cause; then it gives its
// message.
func TestASessionThatGivesNothingIsToldOf(t *testing.T) {
	t.Parallel()
	w := newTCPWorld(t, 10*time.Second, tcpPolicies[0])
	var log lockedBuffer
	tel, err := telemetry.New(slog.New(slog.NewTextHandler(&log, nil)), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.o.Telemetry, w.o.FirstWait = tel, 100*time.Millisecond
	w.sb.Faults().Add(servicebus.Fault{Op: servicebus.OpReceive, Entity: source, Effect: servicebus.Lose, Times: 3})
	w.fill(1, 2)
	w.start()
	w.drained()
	if r := w.check(); r.Processed != 2 {
		t.Errorf("%+v", r)
	}
	if n := strings.Count(log.String(), "gave no message"); n != 2 {
		t.Errorf("it was told %d times of three waits for nothing, want all but the first:\n%s", n, log.String())
	}
}

// A lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
