//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// npmVariable names the folder of loop.mjs and its node_modules.
const npmVariable = "FNOBRIDGE_NPM"

// A contender is who empties the queue.
type contender struct {
	name string
	cmd  func(st *stage, s settings) *exec.Cmd
}

// settings are what differs between benchmarks.
type settings struct {
	sessions int
	idle     time.Duration // an empty session is left after this; the Node loop, and the Go one when it is short, take 200 ms
}

var contenders = []contender{{"go", goLoop}, {"node", nodeLoop}, {"bridge", bridge}}

// each runs a benchmark for every contender that is there.
func each(b *testing.B, run func(b *testing.B, c contender)) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "node" && os.Getenv(npmVariable) == "" {
				b.Skip("needs node, and " + npmVariable + " naming the folder of loop.mjs")
			}
			for range b.N {
				run(b, c)
			}
			b.ReportMetric(0, "ns/op") // it says nothing
		})
	}
}

// A process is a contender at work.
type process struct {
	tb   testing.TB
	cmd  *exec.Cmd
	gone chan struct{}
}

// start starts the contender; it is gone when the test is over.
func (c contender) start(st *stage, s settings) *process {
	st.tb.Helper()
	p := &process{tb: st.tb, cmd: c.cmd(st, s), gone: make(chan struct{})}
	path := filepath.Join(st.tb.TempDir(), c.name+".log")
	log, err := os.Create(path)
	st.must(err)
	defer func() { _ = log.Close() }() // the child has its own
	p.cmd.Stderr = log
	st.must(p.cmd.Start())
	go func() { // joined by stop
		defer close(p.gone)
		_ = p.cmd.Wait() // ProcessState says it better
		said, _ := os.ReadFile(path)
		st.giveUp(fmt.Errorf("the contender ended: %s: %s", p.cmd.ProcessState, said[max(0, len(said)-2000):]))
	}()
	st.tb.Cleanup(func() { p.stop() })
	return p
}

// stop ends the process and gives the time it has computed.
func (p *process) stop() time.Duration {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.gone
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// status returns a size that the kernel knows of the process, in bytes: VmRSS is its resident memory, VmHWM the most it
// ever was.
func (p *process) status(field string) int64 {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), field+":")
	kb, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		p.tb.Fatal(err)
	}
	return kb << 10
}

// computed returns the time the process has computed so far, in the kernel's ticks of 10 ms.
func (p *process) computed() time.Duration {
	p.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.tb.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from the third on
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		p.tb.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// configuration is the bridge.yaml of the contender.
const configuration = `serviceBus: {connectionString: {env: SERVICEBUS_CONNECTION_STRING}, lock: 5m}
sources: [{queue: fno-inbound}]
status: {topic: fno-status}
environments:
  - name: fno
    url: %q
    identity: {kind: clientSecret, tenantId: contoso.onmicrosoft.com, clientId: 00000000-0000-0000-0000-000000000003,
      secret: {env: FNO_SECRET}, authorityHost: %q, authorityCA: authority.pem}
    requests: 256
    statusCalls: 1000000
routes:
  - {name: all, environment: fno, activity: 2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11, unknownOutcome: resend, partialImport: repeat}
sessions: %d
accepts: %d
idle: %s
poll: {first: 1ms, max: 1s}
listen: ""
`

func bridge(st *stage, s settings) *exec.Cmd {
	st.tb.Helper()
	path, err := binary()
	st.must(err)
	dir := st.tb.TempDir()
	text := fmt.Sprintf(configuration, st.fno.URL(), st.fno.AuthorityHost(), s.sessions, min(s.sessions, 64), s.idle)
	st.must(os.WriteFile(filepath.Join(dir, "bridge.yaml"), []byte(text), 0o600))
	st.must(os.WriteFile(filepath.Join(dir, "authority.pem"), st.fno.CertificatePEM(), 0o600))
	cmd := exec.Command(path, "run", "-c", filepath.Join(dir, "bridge.yaml"), "--log-format", "json")
	cmd.Env = []string{"SERVICEBUS_CONNECTION_STRING=" + st.connectionString(), "FNO_SECRET=" + secret, "HOME=" + dir,
		"GOGC=" + os.Getenv("GOGC")}
	return cmd
}

// A script is what the loops are told. They get a token that is valid for the whole run.
type script struct {
	ServiceBus string        `json:"serviceBus"`
	Queue      string        `json:"queue"`
	Topic      string        `json:"topic"`
	Fno        string        `json:"fno"`
	Token      string        `json:"token"`
	Job        string        `json:"job"`
	Sessions   int           `json:"sessions"`
	Idle       time.Duration `json:"idle"`
}

func (st *stage) script(s settings) []string {
	st.tb.Helper()
	text, err := json.Marshal(script{
		ServiceBus: st.connectionString(), Queue: queue, Topic: topic,
		Fno: st.fno.URL(), Token: st.fno.Token(client), Job: job, Sessions: s.sessions,
		Idle: max(s.idle, 200*time.Millisecond),
	})
	st.must(err)
	return append(os.Environ(), loopVariable+"="+string(text))
}

func goLoop(st *stage, s settings) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = st.script(s)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func nodeLoop(st *stage, s settings) *exec.Cmd {
	cmd := exec.Command("node", "loop.mjs")
	cmd.Dir, cmd.Env = os.Getenv(npmVariable), st.script(s)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
