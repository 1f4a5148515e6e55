//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/config"
	fno "fnobridge/internal/emulator/dynamics"
)

// The benchmarks of this file compare the bridge with what one would write by hand on the bare SDK: receive, post, ask
// once, publish one event, complete; no ledger, no lease, no gate. Both run in one process with both emulators, over
// TCP, each HTTP call of F&O taking 20 ms. Run them with -benchtime 1x; docs/measured.md has the figures.
const (
	benchSessions = 64
	benchLatency  = 20 * time.Millisecond
)

// benchWorld is a world whose F&O imports at once and answers after the latency.
func benchWorld(b *testing.B) *world {
	b.Helper()
	w := newWorld(b, []string{"in"}, "prod")
	f, err := fno.Start(fno.Options{AnyEntity: true, CompaniesApart: true, Jobs: []fno.Job{{ID: fileJob}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	w.fno["prod"] = f
	e := &w.cfg.Environments[0]
	e.URL, e.Requests, e.StatusCalls = f.URL(), 2*benchSessions, 1e6
	w.cfg.Sources = w.cfg.Sources[:1]
	w.cfg.Sessions, w.cfg.Accepts = benchSessions, 16
	w.cfg.Poll = config.Poll{First: time.Millisecond, Fraction: 0.1, Max: time.Second}
	w.route("r", "prod", fileJob, config.Match{}, nil)
	for _, op := range []fno.Operation{fno.Enqueue, fno.Status} {
		f.Faults().MustAdd(fno.Fault{Operation: op, Act: fno.Delay, Delay: fno.Duration(benchLatency)})
	}
	return w
}

// fill puts files of 4 KB on the queue, the sessions in turn.
func (w *world) fill(b *testing.B, sessions, each int) {
	b.Helper()
	s, err := w.client.NewSender("in", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	body := make([]byte, 4096)
	batch, err := s.NewMessageBatch(b.Context(), nil)
	for i := 0; i < sessions*each && err == nil; i++ {
		session, id := fmt.Sprintf("Entity %d", i%sessions), fmt.Sprintf("f-%d", i)
		m := &azservicebus.Message{SessionID: &session, MessageID: &id, Body: body}
		if batch.AddMessage(m, nil) != nil { // full
			if err = s.SendMessageBatch(b.Context(), batch, nil); err == nil {
				batch, err = s.NewMessageBatch(b.Context(), nil)
			}
			if err == nil {
				err = batch.AddMessage(m, nil)
			}
		}
	}
	if err == nil {
		err = s.SendMessageBatch(b.Context(), batch, nil)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// bare is the loop by hand.
type bare struct {
	w      *world
	client *azservicebus.Client
	sender *azservicebus.Sender
	token  string
	http   *http.Client
	done   atomic.Int64
	wg     sync.WaitGroup
}

func startBare(ctx context.Context, b *testing.B, w *world) *bare {
	b.Helper()
	l := &bare{w: w, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * benchSessions}}}
	var err error
	if l.client, err = w.connect(azservicebus.RetryOptions{}); err != nil {
		b.Fatal(err)
	}
	if l.sender, err = l.client.NewSender("fno-status", nil); err != nil {
		b.Fatal(err)
	}
	t, err := w.fno["prod"].Credential("bare").GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{w.fno["prod"].URL() + "/.default"}})
	if err != nil {
		b.Fatal(err)
	}
	l.token = t.Token
	for range benchSessions {
		l.wg.Go(func() { l.lanes(ctx) })
	}
	b.Cleanup(func() { l.wg.Wait(); _ = l.client.Close(context.Background()) })
	return l
}

func (l *bare) lanes(ctx context.Context) {
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		s, err := l.client.AcceptNextSessionForQueue(wait, "in", nil)
		cancel()
		if err != nil {
			continue
		}
		l.session(ctx, s)
		_ = s.Close(context.WithoutCancel(ctx))
	}
}

func (l *bare) session(ctx context.Context, s *azservicebus.SessionReceiver) {
	for ctx.Err() == nil {
		idle, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		got, err := s.ReceiveMessages(idle, 1, nil)
		cancel()
		if err != nil || len(got) == 0 {
			return
		}
		if err := l.file(ctx, s, got[0]); err != nil {
			return
		}
	}
}

func (l *bare) file(ctx context.Context, s *azservicebus.SessionReceiver, m *azservicebus.ReceivedMessage) error {
	base := l.w.fno["prod"].URL()
	id, err := l.call(ctx, base+"/api/connector/enqueue/"+fileJob+"?entity="+url.PathEscape(s.SessionID()), m.MessageID, m.Body)
	if err != nil {
		return err
	}
	question, err := json.Marshal(map[string]string{"messageId": strings.Trim(id, `"`)})
	if err != nil {
		return err
	}
	if _, err := l.call(ctx, base+"/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetMessageStatus", "", question); err != nil {
		return err
	}
	session := s.SessionID()
	if err := l.sender.SendMessage(ctx, &azservicebus.Message{SessionID: &session, Body: []byte(`{"status":"Processed"}`)}, nil); err != nil {
		return err
	}
	if err := s.CompleteMessage(ctx, m, nil); err != nil {
		return err
	}
	l.done.Add(1)
	return nil
}

func (l *bare) call(ctx context.Context, address, external string, body []byte) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+l.token)
	r.Header.Set("x-ms-dyn-externalidentifier", external)
	resp, err := l.http.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return string(answer), err
}

// cpu gives the time this process has computed, emulators included.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail for oneself
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// drained waits until the queue is empty.
func (w *world) drained(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if err := w.bus.Await(ctx, func() bool { c, _ := w.bus.Counts("in"); return c.Active == 0 }); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFiles: 64 sessions with 200 files each, the bare loop and the bridge with everything on.
func BenchmarkFiles(b *testing.B) {
	const each = 200
	for _, who := range []string{"bare", "bridge"} {
		b.Run(who, func(b *testing.B) {
			for range b.N {
				w := benchWorld(b)
				w.fill(b, benchSessions, each)
				ctx, stop := context.WithCancel(b.Context())
				used, began := cpu(), time.Now()
				if who == "bare" {
					startBare(ctx, b, w)
				} else {
					w.run()
				}
				w.drained(b)
				took := time.Since(began)
				b.ReportMetric(float64(benchSessions*each)/took.Seconds(), "files/s")
				b.ReportMetric(float64((cpu()-used).Microseconds())/(benchSessions*each), "cpu-µs/file")
				stop()
			}
		})
	}
}

// BenchmarkFilesUnderCuts: all AMQP connections are reset every 2 s for 30 s; how many files are done in that time, and
// how many were imported twice.
func BenchmarkFilesUnderCuts(b *testing.B) {
	const window, every = 30 * time.Second, 2 * time.Second
	for _, who := range []string{"bare", "bridge"} {
		b.Run(who, func(b *testing.B) {
			for range b.N {
				w := benchWorld(b)
				w.cfg.Routes[0].UnknownOutcome = config.UnknownResend
				const each = 800
				w.fill(b, benchSessions, each)
				ctx, stop := context.WithCancel(b.Context())
				if who == "bare" {
					startBare(ctx, b, w)
				} else {
					w.run()
				}
				cuts := time.NewTicker(every)
				for end := time.After(window); ; {
					select {
					case <-cuts.C:
						w.bus.Faults().CutAll()
						continue
					case <-end:
					}
					break
				}
				cuts.Stop()
				left, _ := w.bus.Counts("in")
				dead, _ := w.bus.Counts("in/$DeadLetterQueue")
				seen, twice := map[string]bool{}, 0
				for _, i := range w.fno["prod"].Imports() {
					if seen[i.ExternalID] {
						twice++
					}
					seen[i.ExternalID] = true
				}
				b.ReportMetric(float64(benchSessions*each-left.Active), "files-done")
				b.ReportMetric(float64(twice), "imported-twice")
				b.ReportMetric(float64(dead.Active), "dead-lettered")
				stop()
				if w.stop != nil {
					w.stop()
				}
			}
		})
	}
}

// BenchmarkManySessions: 20,000 sessions with one file each, no latency.
func BenchmarkManySessions(b *testing.B) {
	const sessions = 20_000
	for _, who := range []string{"bare", "bridge"} {
		b.Run(who, func(b *testing.B) {
			for range b.N {
				w := benchWorld(b)
				w.fno["prod"].Faults().Clear()
				w.cfg.Idle, w.cfg.Accepts = 10*time.Millisecond, benchSessions
				w.fill(b, sessions, 1)
				ctx, stop := context.WithCancel(b.Context())
				began := time.Now()
				if who == "bare" {
					startBare(ctx, b, w)
				} else {
					w.run()
				}
				w.drained(b)
				b.ReportMetric(time.Since(began).Seconds(), "s")
				stop()
			}
		})
	}
}

// BenchmarkIdleSessions: 5,000 sessions held with nothing to do: memory and computing of bridge and broker together,
// against the same process before.
func BenchmarkIdleSessions(b *testing.B) {
	const sessions = 5000
	for range b.N {
		w := benchWorld(b)
		w.fno["prod"].Faults().Clear()
		w.cfg.Sessions, w.cfg.Accepts, w.cfg.Idle, w.cfg.ServiceBus.Lock = sessions, benchSessions, time.Hour, 5*time.Minute
		w.fill(b, sessions, 1)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		w.run()
		w.drained(b)
		runtime.GC()
		runtime.ReadMemStats(&after)
		const watch = 10 * time.Second
		used := cpu()
		<-time.After(watch)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/sessions/1024, "KB/session")
		b.ReportMetric(float64((cpu()-used).Milliseconds())/watch.Seconds(), "cpu-ms/s")
	}
}
