//go:build unix

package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/internal/history"
)

// stop asks a replica to stop and wants it to say that all is well.
func stop(t *testing.T, w *world, r *replica) {
	t.Helper()
	r.signal(syscall.SIGTERM)
	well(t, w, r)
}

// well waits for the end of a replica that was asked to stop.
func well(t *testing.T, w *world, r *replica) {
	t.Helper()
	if code, err := r.wait(w.ctx); err != nil || code != 0 {
		t.Errorf("exit code %d, %v: %s\n%s", code, err, r.cmd.ProcessState, r.output(t))
	}
}

func logOf(w *world, name string) string { return filepath.Join(w.t.ArtifactDir(), name+".log") }

// A leaving is what a stopping bridge reports about one file in its hand.
type leaving struct{ Session, Message, Phase, Why string }

// leavings reads the report of a stopped bridge; ok is false when it did not come to it.
func leavings(t *testing.T, log []byte) (left []leaving, ok bool) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var l struct {
			Msg string
			leaving
		}
		if err := json.Unmarshal(line, &l); err != nil {
			continue // the last line, for a person
		}
		switch l.Msg {
		case "left in hand":
			left = append(left, l.leaving)
		case "bridge stopped":
			ok = true
		}
	}
	return left, ok
}

// burnt wants no delivery counted, and one attempt at most for each file that is still in the queue.
func burnt(t *testing.T, w *world) {
	t.Helper()
	for _, m := range w.bus.Messages(inQueue) {
		if m.DeliveryCount != 0 {
			t.Errorf("%q was delivered %d times by the broker's count", m.MessageID, m.DeliveryCount)
		}
	}
	for _, s := range w.bus.Sessions(inQueue) {
		if s.Owned {
			t.Errorf("session %q is still held", s.ID)
		}
		if len(s.State) == 0 {
			continue
		}
		var ledger struct {
			Files []struct {
				Phase    string `json:"phase"`
				Attempts int    `json:"n"`
			} `json:"files"`
		}
		if err := json.Unmarshal(s.State, &ledger); err != nil {
			t.Errorf("ledger of %q: %v", s.ID, err)
		}
		for _, f := range ledger.Files {
			if f.Phase == "posting" || f.Attempts > 1 {
				t.Errorf("ledger of %q: %s", s.ID, s.State)
			}
		}
	}
}

// goOn lets another replica finish, and wants that nothing was doubted, doubled or lost.
func goOn(t *testing.T, w *world, files int) {
	t.Helper()
	r, err := w.start("next", "")
	w.must(err)
	w.waitAll()
	stop(t, w, r)
	rep := w.judge()
	if rep.Processed != files || rep.Unknown != 0 || len(w.fno.Imports()) != files {
		t.Errorf("%d processed, %d unknown outcomes, %d imports; want %d, 0 and %[4]d", rep.Processed, rep.Unknown, len(w.fno.Imports()), files)
	}
}

// TestStopWhileImportsRunWritesDownWhereTheyAre: F&O's clock stands still, so no import ends before the stop is over.
func TestStopWhileImportsRunWritesDownWhereTheyAre(t *testing.T) {
	t.Parallel()
	clock := fno.NewFake(time.Now())
	var running atomic.Bool // F&O's clock
	s := usual
	s.importTime, s.clock = time.Minute, clock
	s.onImport = func(fno.Import) {
		if running.Load() {
			clock.Advance(time.Minute)
		}
	}
	w := newWorld(t, s, patience)
	names := sessions(6)
	for range 2 {
		for _, n := range names {
			w.must(w.send(parcel{session: n}))
		}
	}
	r, err := w.start("first", "")
	w.must(err)
	w.must(w.fno.WaitImports(w.ctx, 8)) // the windowed sessions post both of theirs
	stop(t, w, r)
	left, ok := leavings(t, r.output(t))
	inFno := slices.DeleteFunc(slices.Clone(left), func(l leaving) bool { return l.Phase != "enqueued" })
	if !ok || len(inFno) < len(names) {
		t.Errorf("the stop reports %d files in F&O, want %d at least: %+v", len(inFno), len(names), left)
	}
	for _, l := range left {
		if l.Why == "" || l.Session == "" || l.Message == "" {
			t.Errorf("the report says only %+v", l)
		}
	}
	if n, _ := w.bus.Counts(inQueue); n.Active != 12 {
		t.Errorf("%d files in the queue, want all 12", n.Active)
	}
	burnt(t, w)
	r.inspect(t)
	running.Store(true)
	clock.Advance(time.Minute)
	goOn(t, w, 12)
}

// TestStopHearsTheAnswersOfPostsUnderWay: a post cannot be called back, so a stop waits for its answer and notes it.
func TestStopHearsTheAnswersOfPostsUnderWay(t *testing.T) {
	t.Parallel()
	s := usual
	s.lock, s.timeout, s.importTime = 30*time.Second, 10*time.Second, 100*time.Millisecond
	var first atomic.Pointer[replica]
	s.onImport = func(fno.Import) {
		if r := first.Swap(nil); r != nil {
			r.signal(syscall.SIGTERM) // before the answer is written
		}
	}
	w := newWorld(t, s, patience)
	r, err := w.start("first", "")
	w.must(err)
	first.Store(r)
	w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Delay, Delay: fno.Duration(200 * time.Millisecond), Times: 6})
	var batch []parcel
	for _, n := range sessions(6) {
		batch = append(batch, parcel{session: n}, parcel{session: n})
	}
	w.must(w.send(batch...))
	well(t, w, r)
	if left, ok := leavings(t, r.output(t)); !ok || slices.ContainsFunc(left, func(l leaving) bool { return l.Phase == "posting" }) {
		t.Errorf("the stop left a post without its answer: %+v", left)
	}
	burnt(t, w)
	r.inspect(t)
	goOn(t, w, 12)
}

// TestASecondSignalEndsAtOnce: a post hangs for longer than the test waits, so does the grace, and the topic does not
// answer when it is told that the environment is closed.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := usual
	s.lock, s.timeout, s.grace = 5*time.Minute, 2*time.Minute, time.Hour
	w := newWorld(t, s, time.Minute)
	hang := w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Hang, Times: 1})
	w.must(w.send(parcel{session: session(keeping, 1)}, parcel{session: session(keeping, 1)}))
	r, err := w.start("first", "")
	w.must(err)
	select {
	case <-hang.Done():
	case <-w.ctx.Done():
		t.Fatal("nothing was posted")
	}
	deaf := w.bus.Faults().Add(servicebus.Fault{Op: servicebus.OpSend, Entity: statusTopic, Effect: servicebus.Lose, Times: -1})
	w.fno.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Refuse, Status: 503, Times: 1})
	w.must(w.send(parcel{session: session(keeping, 2)}))
	select {
	case <-deaf.Struck():
	case <-w.ctx.Done():
		t.Fatal("nobody said that the environment is closed")
	}
	r.signal(syscall.SIGTERM)
	r.signal(syscall.SIGINT) // another one than the first: two of a kind may be delivered as one
	code, err := r.wait(w.ctx)
	w.must(err)
	left, ok := leavings(t, r.output(t))
	if code != 6 || !ok || !slices.ContainsFunc(left, func(l leaving) bool {
		return l.Phase == "posting" && strings.Contains(l.Why, "unknownOutcome")
	}) {
		t.Errorf("exit code %d, report %+v\n%s", code, left, r.output(t))
	}
	// Whoever tries to say it until a time limit is over gives that as the reason.
	if unsaid := regexp.MustCompile(`"environment event not published".*asked to stop at once`); !unsaid.Match(r.output(t)) {
		t.Errorf("the environment's event was not given up because of the second signal:\n%s", r.output(t))
	}
	r.inspect(t)
	deaf.Disarm()
	next, err := w.start("next", "")
	w.must(err)
	w.waitAll()
	stop(t, w, next)
	if rep := w.judge(); rep.Unknown != 1 || rep.Processed != 2 || rep.DeadLettered != 1 {
		t.Errorf("%d unknown outcomes, %d processed, %d dead letters; want 1, 2 and 1", rep.Unknown, rep.Processed, rep.DeadLettered)
	}
}

// TestAThirdSignalKillsWhatHangs: nobody reads what the bridge logs, so that it stands still at a line of its log.
func TestAThirdSignalKillsWhatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usual, patience)
	path := filepath.Join(t.TempDir(), "log")
	w.must(syscall.Mkfifo(path, 0o600))
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	w.must(err)
	defer func() { _ = log.Close() }()
	r, err := w.startLogging(path, "")
	w.must(err)
	for lines := bufio.NewScanner(log); lines.Scan() && !strings.Contains(lines.Text(), "bridge started"); { // signals are caught by then
	}
	w.must(log.SetWriteDeadline(time.Now().Add(time.Second)))
	for err == nil {
		_, err = log.Write(make([]byte, 4096))
	}
	r.signal(syscall.SIGTERM)
	for {
		select {
		case <-r.gone:
			if !r.signaled(syscall.SIGINT) {
				t.Errorf("it ended with %s", r.cmd.ProcessState)
			}
			return
		case <-w.ctx.Done():
			t.Fatal("no signal ends it")
		case <-time.After(50 * time.Millisecond): // signals of a kind that come together are one
			r.signal(syscall.SIGINT)
		}
	}
}

// TestStopOfAnIdleBridgeLeavesNothing, and says so.
func TestStopOfAnIdleBridgeLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, usual, patience)
	w.must(w.send(parcel{session: session(resending, 1)}))
	r, err := w.start("first", "")
	w.must(err)
	w.waitAll()
	stop(t, w, r)
	if left, ok := leavings(t, r.output(t)); !ok || len(left) > 0 {
		t.Errorf("the stop reports %+v", left)
	}
	if rep := history.Check(w.history()); !rep.OK() || rep.Processed != 1 {
		t.Errorf("%+v", rep)
	}
	if w.bus.Await(w.ctx, func() bool { return w.bus.Connections() == 1 }) != nil { // the test's own
		t.Errorf("%d connections are open", w.bus.Connections())
	}
}
