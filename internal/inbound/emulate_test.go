package inbound

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	fno "fnobridge/internal/emulator/dynamics"
	"fnobridge/internal/emulator/servicebus"
	"fnobridge/internal/emulator/servicebus/entity"
)

// emulateEnv makes the test binary a process of its own with both emulators, so that benchmarks measure the bridge and
// not what it talks to.
const emulateEnv = "FNOBRIDGE_BENCH_EMULATE"

// A scene is what the emulating process says about itself, and what it is told to be.
type scene struct {
	Bus, Fno, Token string
	Latency         time.Duration // of every call to F&O
	ImportTime      time.Duration
}

// emulate runs both emulators until stdin ends; a line "cut" resets all AMQP connections.
func emulate(in io.Reader, out io.Writer) error {
	var s scene
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return err
	}
	q := entity.NewQueue(source)
	q.RequiresSession, q.LockDuration, q.MaxDeliveryCount = true, 5*time.Minute, 2000
	q.MaxSizeInMegabytes = 5 * 1024
	events := entity.NewQueue("status")
	events.MaxSizeInMegabytes = 5 * 1024
	sb, err := servicebus.Start(servicebus.Options{Namespace: entity.Namespace{Queues: []entity.QueueDescription{q, events}}})
	if err != nil {
		return err
	}
	defer func() { _ = sb.Close() }()
	f, err := fno.Start(fno.Options{
		Jobs: []fno.Job{{ID: theActivity}}, AnyEntity: true, ImportTime: s.ImportTime, TokenLife: 24 * time.Hour, Inspect: 1,
	})
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	token, err := f.Credential("app").GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{f.URL() + "/.default"}})
	if err != nil {
		return err
	}
	if s.Latency > 0 {
		f.Faults().MustAdd(fno.Fault{Operation: fno.Any, Act: fno.Delay, Delay: fno.Duration(s.Latency)})
	}
	s.Bus, s.Fno, s.Token = sb.ConnectionString(), f.URL(), token.Token
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return err
	}
	for lines.Scan() {
		if lines.Text() == "cut" {
			_, _ = fmt.Fprintln(out, sb.Faults().CutAll())
		}
	}
	return nil
}

// A stage is an emulating process.
type stage struct {
	scene
	in  io.WriteCloser
	out *bufio.Scanner
}

func (s *stage) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: s.Token, ExpiresOn: time.Now().Add(20 * time.Hour)}, nil
}

// cut resets all AMQP connections.
func (s *stage) cut() {
	_, _ = fmt.Fprintln(s.in, "cut")
	s.out.Scan()
}

func newStage(b *testing.B, s scene) *stage {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), emulateEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	st := &stage{in: in, out: bufio.NewScanner(out)}
	if err := json.NewEncoder(in).Encode(s); err != nil {
		b.Fatal(err)
	}
	if !st.out.Scan() {
		b.Fatal("the emulators did not start")
	}
	if err := json.Unmarshal(st.out.Bytes(), &st.scene); err != nil {
		b.Fatal(err)
	}
	return st
}
