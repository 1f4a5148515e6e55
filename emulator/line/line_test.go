package line_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fnobridge/emulator/line"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// over connects to a server that echoes, over a line.
func over(t *testing.T, is line.Conditions) (*line.Line, net.Conn) {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	l, err := line.New(server.Addr().String(), is)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		_ = server.Close()
		<-done
	})
	return l, c
}

// echoed sends bytes and returns how long they took to come back.
func echoed(t *testing.T, c net.Conn, n int) time.Duration {
	t.Helper()
	began := time.Now()
	sent := bytes.Repeat([]byte("x"), n)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatal("other bytes came back")
	}
	return time.Since(began)
}

func TestALineTakesItsRoundTrip(t *testing.T) {
	_, c := over(t, line.Conditions{RoundTrip: 60 * time.Millisecond})
	echoed(t, c, 1) // with connecting
	if d := echoed(t, c, 1); d < 60*time.Millisecond || d > 160*time.Millisecond {
		t.Errorf("an echo took %s over a line of 60 ms", d)
	}
}

func TestALineHasItsBandwidth(t *testing.T) {
	_, c := over(t, line.Conditions{Rate: line.Mbit(20)})
	if d := echoed(t, c, 500_000); d < 180*time.Millisecond || d > 600*time.Millisecond {
		t.Errorf("500 KB took %s at 20 Mbit/s, want about 200 ms", d)
	}
}

func TestAHalfOpenConnectionSaysNothing(t *testing.T) {
	l, c := over(t, line.Conditions{})
	echoed(t, c, 1)
	l.HalfOpen()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestAStallIsOverWhenTheLineGoesOn(t *testing.T) {
	l, c := over(t, line.Conditions{})
	echoed(t, c, 1)
	l.Stall()
	time.AfterFunc(100*time.Millisecond, l.GoOn)
	if d := echoed(t, c, 1); d < 90*time.Millisecond {
		t.Errorf("an echo took %s over a line that stood still for 100 ms", d)
	}
}

func TestACutResets(t *testing.T) {
	l, c := over(t, line.Conditions{})
	echoed(t, c, 1)
	l.Cut()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes", n)
	}
}
