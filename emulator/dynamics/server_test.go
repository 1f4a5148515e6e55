package dynamics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOptionsNameEveryProblemAtOnce(t *testing.T) {
	_, err := Start(Options{
		Addr: "0.0.0.0:0", Entities: []Entity{{Label: " "}},
		Jobs: []Job{{ID: "groups"}, {ID: groupsJob}, {ID: "{" + groupsJob + "}"},
			{ID: packageJob, Kind: Package, InOrder: true}},
	})
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{"loopback only", "entity 0", "job 0", "job 2", "job 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	for _, addr := range []string{"example.com:80", "127.0.0.1", ":8080"} {
		if _, err := Start(Options{Addr: addr}); err == nil {
			t.Errorf("%s was taken", addr)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	b := begin(t, nil)
	if _, err := Start(Options{Addr: b.Addr()}); err == nil || !strings.Contains(err.Error(), "listen") {
		t.Errorf("second server on the port: %v", err)
	}
}

func TestJournalOutlivesTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if _, err := ReadJournal(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no journal: %v", err)
	}
	first := begin(t, func(o *Options) { o.Journal = path })
	id := first.enqueue(groupsJob, "Customer groups", goodGroups)
	bad := first.enqueue(orderedJob, "Customer groups", "CUSTOMERGROUPID\n\"\"\n")
	first.enqueue(groupsJob, "Nobody", goodGroups)
	want := first.Imports()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := ReadJournal(path)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d lines (%v), want 3", len(list), err)
	}
	for i, outcome := range []string{"Processed", "ProcessedWithErrors", NeverEnds} {
		if list[i].Status != outcome || list[i].Outcome != outcome || list[i].Order != i {
			t.Errorf("line %d: %+v, want %s", i, list[i], outcome)
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"order":3,"mess`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if list, err := ReadJournal(path); err != nil || len(list) != 3 {
		t.Errorf("with half a line at the end: %d (%v), want 3", len(list), err)
	}
	if err := os.WriteFile(path+"2", []byte("{}\nno\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadJournal(path + "2"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad line: %v", err)
	}
	if _, err := Start(Options{Journal: path + "2"}); err == nil {
		t.Error("a bad journal was taken")
	}

	again := begin(t, func(o *Options) { o.Journal, o.Jobs = path, o.Jobs[:1] })
	if diff := cmp.Diff(want[0], again.Imports()[0]); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	if n := again.Imports()[2].Order; n != 2 {
		t.Errorf("restored as number %d, want 2", n)
	}
	again.clock.Advance(time.Hour)
	for id, want := range map[string]string{id: "Processed", bad: "ProcessedWithErrors"} {
		if got := again.status(id); got != want {
			t.Errorf("restored %s, want %s", got, want)
		}
	}
	again.enqueue(groupsJob, "Customer groups", goodGroups)
	if list, err := ReadJournal(path); err != nil || len(list) != 4 || list[3].Order != 3 {
		t.Errorf("%d lines (%v) after one more import, want 4", len(list), err)
	}
}

func TestBodiesAreKeptOnRequestOnly(t *testing.T) {
	for _, keep := range []bool{false, true} {
		b := begin(t, func(o *Options) { o.KeepBodies, o.Inspect = keep, 4 })
		body, ok := b.Body(b.enqueue(groupsJob, "Vendors V2", "a longer body"))
		if ok != keep || (keep && string(body) != "a longer body") {
			t.Errorf("keep %v: %q, %v", keep, body, ok)
		}
		if _, ok := b.Body("nobody"); ok {
			t.Error("a body of nobody")
		}
	}
}

func TestManySendersAtOnce(t *testing.T) {
	var mu sync.Mutex
	told := map[string]bool{}
	b := begin(t, func(o *Options) {
		o.AnyEntity = true
		o.OnImport = func(i Import) {
			mu.Lock()
			defer mu.Unlock()
			told[i.MessageID] = true
		}
	})
	const senders, files = 16, 25
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			for range files {
				r, err := b.send(context.Background(), "POST", enqueuePath(groupsJob, fmt.Sprint("Entity ", n)), "body")
				if err != nil || r.code != 200 {
					t.Errorf("%d (%v)", r.code, err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for n, i := range b.Imports() {
		if i.Order != n || seen[i.MessageID] || !told[i.MessageID] {
			t.Errorf("import %d: order %d, ID seen before %v, told %v", n, i.Order, seen[i.MessageID], told[i.MessageID])
		}
		seen[i.MessageID] = true
	}
	if len(seen) != senders*files {
		t.Errorf("%d imports, want %d", len(seen), senders*files)
	}
}

func TestWaitImportsEndsWithItsContext(t *testing.T) {
	b := begin(t, nil)
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	stop(why)
	if err := b.WaitImports(ctx, 1); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
	if err := b.clock.Waiting(ctx, 1); !errors.Is(err, why) {
		t.Errorf("%v, want the cause", err)
	}
}

// A connection that never speaks must not keep the server from closing, nor others from being served.
func TestSilentConnection(t *testing.T) {
	b := begin(t, nil)
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	b.enqueue(groupsJob, "Customer groups", goodGroups)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func TestFakeClock(t *testing.T) {
	f := NewFake(start)
	soon, stopSoon := f.After(time.Second)
	late, stopLate := f.After(time.Minute)
	past, stopPast := f.After(0)
	defer stopSoon()
	defer stopPast()
	if at := <-past; !at.Equal(start) {
		t.Errorf("a wait for nothing ended at %v", at)
	}
	f.Advance(time.Second)
	if at := <-soon; !at.Equal(start.Add(time.Second)) {
		t.Errorf("ended at %v", at)
	}
	stopLate()
	f.Advance(time.Hour)
	select {
	case <-late:
		t.Error("a wait that was given up ended")
	default:
	}
}

func BenchmarkEnqueue(b *testing.B) {
	s, err := Start(Options{AnyEntity: true, Jobs: []Job{{ID: groupsJob}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	bb := &bench{Server: s, t: b, token: s.tokens.issue(s.clock.Now(),
		grant{"app", s.URL(), s.clock.Now().Add(time.Hour)}, "t")}
	body := strings.Repeat("x", 1000)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if r, err := bb.send(context.Background(), "POST", enqueuePath(groupsJob, "Customer groups"), body); err != nil ||
				r.code != 200 {
				b.Errorf("%d (%v)", r.code, err)
			}
		}
	})
}

func TestCertificateForAnotherProcess(t *testing.T) {
	b := begin(t, func(o *Options) { o.TLS = true })
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b.CertificatePEM()) {
		t.Fatal("no certificate in it")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
		MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		b.URL()+"/contoso/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// A file that could not be written down was not taken.
func TestNothingIsTakenThatTheJournalDoesNotHold(t *testing.T) {
	b := begin(t, func(o *Options) { o.Journal = filepath.Join(t.TempDir(), "journal.jsonl") })
	if err := b.imports.journal.close(); err != nil {
		t.Fatal(err)
	}
	if r := b.do("POST", enqueuePath(groupsJob, "Vendors V2"), "x"); r.code != 500 {
		t.Errorf("%d, want 500", r.code)
	}
	if n := len(b.Imports()); n != 0 {
		t.Errorf("%d imports", n)
	}
	b.imports.journal = nil // closed already
}
