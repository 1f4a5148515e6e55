//go:build unix

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A replica is one `bridge run` process.
type replica struct {
	cmd   *exec.Cmd
	point string // where it kills itself; empty: nowhere
	log   string // file of its stderr
	gone  chan struct{}

	doomed bool // kill has chosen it; under fleet.mu
}

// start starts a replica; crash is the value of FNOBRIDGE_CRASH. The process is gone when the test is over.
func (w *world) start(name, crash string) (*replica, error) {
	return w.startLogging(logOf(w, name), crash)
}

// startLogging is start with a file for stderr.
func (w *world) startLogging(file, crash string) (*replica, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	r := &replica{log: file, gone: make(chan struct{})}
	r.point, _, _ = strings.Cut(crash, ":")
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own
	r.cmd = exec.Command(path, "run", "-c", filepath.Join(w.dir, "bridge.yaml"), "--log-format", "json")
	r.cmd.Env = []string{
		"SERVICEBUS_CONNECTION_STRING=" + w.at, "FNO_SECRET=" + clientSecret, "FNOBRIDGE_CRASH=" + crash, "HOME=" + w.dir,
	}
	r.cmd.Stderr = log
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_ = r.cmd.Wait() // ProcessState says it better
		close(r.gone)
	})
	w.t.Cleanup(func() { r.signal(syscall.SIGKILL); waiting.Wait() })
	return r, nil
}

// signal sends a signal. A process that is gone already does not mind.
func (r *replica) signal(s syscall.Signal) { _ = r.cmd.Process.Signal(s) }

// halt stops the process and returns when it has: after the signal alone it may run on for a moment.
func (r *replica) halt() error {
	r.signal(syscall.SIGSTOP)
	for {
		var s syscall.WaitStatus
		if _, err := syscall.Wait4(r.cmd.Process.Pid, &s, syscall.WUNTRACED, nil); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// wait waits for the end of the process and gives its exit code; -1 after a signal.
func (r *replica) wait(ctx context.Context) (code int, err error) {
	select {
	case <-r.gone:
		return r.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of a bridge: %w", context.Cause(ctx))
	}
}

// killed reports whether SIGKILL ended the process.
func (r *replica) killed() bool { return r.signaled(syscall.SIGKILL) }

func (r *replica) signaled(by syscall.Signal) bool {
	s, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == by
}

// output returns what the process logged; with it that of its predecessors of the same name.
func (r *replica) output(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(r.log)
	if err != nil {
		t.Error(err)
	}
	return b
}

// inspect looks for what no log may hold.
func (r *replica) inspect(t *testing.T) {
	t.Helper()
	b := r.output(t)
	for _, bad := range []string{"DATA RACE", "panic:", clientSecret, "SharedAccessKey=", "Bearer "} {
		if i := bytes.Index(b, []byte(bad)); i >= 0 {
			t.Errorf("%s has %q:\n%s", r.log, bad, b[max(0, i-200):min(len(b), i+4000)])
		}
	}
}

// crashPoints returns the names of all points in internal/inbound, from its source: a new one is tested without being
// named here.
func crashPoints(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "inbound", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	at := regexp.MustCompile(`\.At\("([^"]+)"\)`)
	var names []string
	seen := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range at.FindAllSubmatch(b, -1) {
			if name := string(m[1]); !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	if len(names) < 8 {
		t.Fatalf("crash points %q: where are the others?", names)
	}
	return names
}

// A fleet keeps a number of replicas running: whichever is gone is started again.
type fleet struct {
	w      *world
	points []string
	rnd    *rand.Rand
	wg     sync.WaitGroup

	mu       sync.Mutex // guards what follows
	replicas []*replica
	up       chan struct{} // closed and replaced when a replica was started
	next     int           // index of the crash point to be armed next
	stopping bool
	killed   int            // by kill
	atPoint  map[string]int // by themselves
	err      error          // what ended in no expected way
}

// launch starts a fleet of n.
func (w *world) launch(n int, points []string, rnd *rand.Rand) *fleet {
	f := &fleet{w: w, points: points, rnd: rnd, replicas: make([]*replica, n), up: make(chan struct{}), atPoint: map[string]int{}}
	for i := range n {
		f.wg.Go(func() { f.keep(i) })
	}
	return f
}

// keep keeps one replica running until the fleet stops.
func (f *fleet) keep(i int) {
	for {
		f.mu.Lock()
		if f.stopping || f.err != nil || f.w.ctx.Err() != nil {
			f.mu.Unlock()
			return
		}
		crash := f.arm()
		r, err := f.w.start(fmt.Sprintf("replica-%d", i), crash)
		if err != nil {
			f.fail(err)
			f.mu.Unlock()
			return
		}
		f.replicas[i] = r
		close(f.up)
		f.up = make(chan struct{})
		f.mu.Unlock()

		select {
		case <-r.gone:
		case <-f.w.ctx.Done():
			r.signal(syscall.SIGKILL)
			<-r.gone
		}
		f.mu.Lock()
		f.replicas[i] = nil
		f.count(r)
		f.mu.Unlock()
	}
}

// count notes how a replica ended. The caller holds mu.
func (f *fleet) count(r *replica) {
	switch {
	case r.killed() && r.doomed:
		f.killed++
	case r.killed() && r.point != "":
		f.atPoint[r.point]++
	case f.w.ctx.Err() != nil, f.stopping && orderly(r):
	default:
		f.fail(fmt.Errorf("a bridge that nobody had asked to ended with %s", r.cmd.ProcessState))
	}
}

// fail ends the test: without its replicas it would wait for long. The caller holds mu.
func (f *fleet) fail(err error) {
	f.err = errors.Join(f.err, err)
	f.w.giveUp(err)
}

// orderly reports whether a replica ended as one does that was asked to: 0, or 6 when it could not tell how a post
// ended, as in a session that it had lost just then. One that had no time to listen to the signal ends by it.
func orderly(r *replica) bool {
	code := r.cmd.ProcessState.ExitCode()
	return code == 0 || code == 6 || r.signaled(syscall.SIGTERM)
}

// arm chooses whether and where the next replica kills itself. The points take turns until each has had its kill. The
// caller holds mu.
func (f *fleet) arm() string {
	if len(f.points) == 0 || f.rnd.IntN(2) == 0 {
		return ""
	}
	p := f.points[f.next%len(f.points)]
	f.next++
	most := 40
	if strings.Contains(p, "dead-letter") {
		most = 3 // few files come there
	}
	return fmt.Sprintf("%s:%d", p, 1+f.rnd.IntN(most))
}

// kill kills a replica and waits until it is gone. It reports whether there was one to kill.
func (f *fleet) kill(ctx context.Context, which int) bool {
	for ctx.Err() == nil {
		f.mu.Lock()
		r, up := f.replicas[which%len(f.replicas)], f.up
		if r != nil {
			r.doomed = true
		}
		f.mu.Unlock()
		if r == nil { // on its way up
			select {
			case <-up:
			case <-ctx.Done():
			}
			continue
		}
		r.signal(syscall.SIGKILL)
		select {
		case <-r.gone:
			return true
		case <-ctx.Done():
		}
	}
	return false
}

// freeze stops a replica from running for a while, as a starved or suspended machine does; meanwhile is done halfway.
func (f *fleet) freeze(ctx context.Context, which int, d time.Duration, meanwhile func()) {
	f.mu.Lock()
	r := f.replicas[which%len(f.replicas)]
	f.mu.Unlock()
	if r == nil {
		return
	}
	r.signal(syscall.SIGSTOP)
	pass(ctx, d/2)
	meanwhile()
	pass(ctx, d/2)
	r.signal(syscall.SIGCONT)
}

// stop ends the fleet in an orderly way.
func (f *fleet) stop() {
	f.w.t.Helper()
	f.mu.Lock()
	f.stopping = true
	for _, r := range f.replicas {
		if r != nil {
			r.signal(syscall.SIGTERM)
		}
	}
	f.mu.Unlock()
	f.wg.Wait()
	if f.err != nil {
		f.w.t.Error(f.err)
	}
}
