package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/servicebus"
	"fnobridge/emulator/storage"
	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/config"
	"fnobridge/internal/contract"
	"fnobridge/internal/failure"
)

// aFile returns a CSV file of so many records, no two alike.
func aFile(records int) []byte {
	var b bytes.Buffer
	b.WriteString("CUSTGROUP,NAME\r\n")
	for i := range records {
		fmt.Fprintf(&b, "%d,Größe %x\r\n", i, i*2654435761)
	}
	return b.Bytes()
}

// takesClaims lets a route take claim checks from the container.
func takesClaims(change func(*config.Route)) func(*config.Route) {
	return func(r *config.Route) {
		r.ClaimCheck, r.MaxSize = []string{container}, 8*config.MB
		if change != nil {
			change(r)
		}
	}
}

// empty waits until no source holds anything.
func (w *world) empty(sources ...string) {
	w.t.Helper()
	w.await("everything ends", func() bool {
		for _, s := range sources {
			if c, _ := w.bus.Counts(s); c.Active != 0 {
				return false
			}
		}
		return true
	})
}

// imported returns the only import of a file, with its content.
func (w *world) imported(environment, id string) (fno.Import, string) {
	w.t.Helper()
	var found []fno.Import
	for _, i := range w.fno[environment].Imports() {
		if i.ExternalID == id {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		w.t.Errorf("%s was imported %d times", id, len(found))
		return fno.Import{}, ""
	}
	posted := w.http.posted(id)
	if len(posted) == 0 {
		w.t.Errorf("%s was never posted", id)
		return found[0], ""
	}
	return found[0], posted[len(posted)-1]
}

// letters returns the dead letters of a source by message ID.
func (w *world) letters(source string) map[string]servicebus.Message {
	all := map[string]servicebus.Message{}
	for _, m := range w.bus.Messages(source + "/$DeadLetterQueue") {
		all[m.MessageID] = m
	}
	return all
}

// paused reports whether any environment was said to be closed.
func (w *world) paused() bool {
	return slices.ContainsFunc(w.bus.Messages("fno-status/Subscriptions/all"), func(m servicebus.Message) bool {
		return m.Properties["status"] == "Paused"
	})
}

// Two sources, two environments, one Blob Storage: every file arrives byte for byte, and every token goes to whom it is for.
func TestClaimChecksArriveAsTheyAre(t *testing.T) {
	w := newWorld(t, []string{"in"}, "prod", "test")
	s := w.claims()
	w.route("to-prod", "prod", fileJob, config.Match{Source: "in"}, takesClaims(nil))
	w.route("to-test", "test", fileJob, config.Match{}, takesClaims(nil))
	large, small := aFile(100_000), aFile(3) // some megabytes: many reads of the one, many writes of the other
	s.Put("/inbound/2026/Größe 1+2%.csv", large)
	s.Put("/inbound/small.csv", small)
	w.run()
	w.claim("in", "Customer groups", "large", container+"/2026/Gr%C3%B6%C3%9Fe%201+2%25.csv", map[string]any{contract.PropSHA256: sumOf(large)})
	w.claim("in", "Customer groups", "small", container+"/small.csv", nil)
	w.claim("orders", "Orders", "ordered", container+"/small.csv", map[string]any{contract.PropSHA256: sumOf(small)})
	w.empty("in", "orders/Subscriptions/fno")
	for id, want := range map[string]struct {
		environment string
		content     []byte
	}{"large": {"prod", large}, "small": {"prod", small}, "ordered": {"test", small}} {
		i, content := w.imported(want.environment, id)
		if i.SHA256 != sumOf(want.content) || i.Size != int64(len(want.content)) || content != string(want.content) || i.Status != "Processed" {
			t.Errorf("%s: F&O has %d bytes with sum %s, %s; want %d bytes, %s", id, i.Size, i.SHA256, i.Status, len(want.content), sumOf(want.content))
		}
	}
	if n := len(w.letters("in")) + len(w.letters("orders/Subscriptions/fno")); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	if n := len(s.Requests("/inbound/small.csv")); n != 5 { // HEAD and GET, with a checksum one GET more
		t.Errorf("requests for the small file: %+v", s.Requests("/inbound/small.csv"))
	}
	hosts := map[string]bool{storageHost: true}
	for _, f := range w.fno {
		u, err := url.Parse(f.URL())
		if err != nil {
			t.Fatal(err)
		}
		hosts[u.Host] = true
	}
	for host, tokens := range w.http.tokens {
		if !hosts[host] || len(tokens) != 1 || !strings.HasPrefix(tokens[0], "Bearer ") || (tokens[0] == "Bearer "+storageToken) != (host == storageHost) {
			t.Errorf("%s got the tokens %q", host, tokens)
		}
	}
	if len(w.http.tokens) != len(hosts) {
		t.Errorf("hosts called: %v", w.http.tokens)
	}
}

// A post that F&O refused after all of it was sent is made again from its first byte.
func TestAClaimCheckIsPostedAgainFromItsBeginning(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := newWorld(t, []string{"in"}, "prod")
			s := w.claims()
			w.route("all", "prod", fileJob, config.Match{}, takesClaims(nil))
			file := aFile(50_000)
			s.Put("/inbound/a", file)
			refusal := w.fno["prod"].Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Answer, Status: status, Times: 1})
			w.run()
			w.claim("in", "Customer groups", "a", container+"/a", nil)
			w.empty("in")
			if refusal.Fired() != 1 {
				t.Error("F&O refused nothing")
			}
			if i, _ := w.imported("prod", "a"); i.SHA256 != sumOf(file) {
				t.Errorf("F&O has %d bytes, sum %s", i.Size, i.SHA256)
			}
			posted := w.http.posted("a")
			if len(posted) != 2 || posted[0] != string(file) || posted[1] != string(file) {
				t.Errorf("%d whole posts, want two of the same bytes", len(posted))
			}
			if len(w.letters("in")) != 0 {
				t.Errorf("dead letters %v", w.letters("in"))
			}
			if asked := s.Requests("/inbound/a"); len(asked) != 3 { // found once, read twice
				t.Errorf("requests to Blob Storage: %+v", asked)
			}
		})
	}
}

func TestBadClaimChecksAreNeverPosted(t *testing.T) {
	w := newWorld(t, []string{"in"}, "prod")
	s := w.claims()
	w.route("packages", "prod", packageJob, config.Match{Entity: "Packages"}, takesClaims(func(r *config.Route) { r.Format = config.FormatPackage }))
	w.route("small", "prod", fileJob, config.Match{Entity: "Small"}, takesClaims(func(r *config.Route) { r.MaxSize = 100 }))
	w.route("closed", "prod", fileJob, config.Match{Entity: "Closed"}, nil)
	w.route("all", "prod", fileJob, config.Match{}, takesClaims(nil))
	file := aFile(1000)
	for _, path := range []string{"/inbound/a", "/inbound/short", "/secret/a", "/inbound-2/a"} {
		s.Put(path, file)
	}
	s.Put("/inbound/empty", nil)
	s.Break(storage.Fault{Method: http.MethodHead, Path: "/inbound/short", Longer: 10})
	bad := []struct {
		id, session, dataref string
		props                map[string]any
		reason               failure.Reason
		say                  string
		asked                int // requests to Blob Storage
	}{
		{"sum", "Sum", container + "/a", map[string]any{contract.PropSHA256: sumOf([]byte("x"))}, failure.ChecksumMismatch, sumOf(file), 2},
		{"no-sum", "NoSum", container + "/a", map[string]any{contract.PropSHA256: "abc"}, failure.BadMessage, "sha256", 0},
		{"size", "Small", container + "/a", nil, failure.PayloadTooLarge, fmt.Sprint(len(file)), 1},
		{"not-there", "NotThere", container + "/b", nil, failure.ClaimCheckMissing, "must outlive the message", 1},
		{"empty", "Empty", container + "/empty", nil, failure.EmptyBody, "no bytes", 1},
		{"short", "Short", container + "/short", nil, failure.StorageFailed, "did not deliver", 8}, // each of four attempts finds it and reads it
		{"no-package", "Packages", container + "/a", nil, failure.PackageInvalid, "zip", 2},
		{"other-container", "C1", "https://" + storageHost + "/secret/a", nil, failure.ClaimCheckRefused, "claimCheck", 0},
		{"longer-name", "C2", "https://" + storageHost + "/inbound-2/a", nil, failure.ClaimCheckRefused, "claimCheck", 0},
		{"up-and-down", "C3", container + "/%2e%2e/secret/a", nil, failure.ClaimCheckRefused, `\"..\"`, 0},
		{"other-account", "C4", "https://evil.blob.core.windows.net/inbound/a", nil, failure.ClaimCheckRefused, "claimCheck", 0},
		{"signed", "C5", container + "/a?sig=abc", nil, failure.ClaimCheckRefused, "SAS", 0},
		{"no-claims", "Closed", container + "/a", nil, failure.ClaimCheckRefused, "takes no claim checks", 0},
	}
	w.run()
	for _, b := range bad { // one after the other, so that it is known who asked
		before := len(s.Requests(""))
		w.claim("in", b.session, b.id, b.dataref, b.props)
		w.await(b.id+" ends", func() bool { return w.letters("in")[b.id].MessageID != "" })
		m := w.letters("in")[b.id]
		say := strings.ReplaceAll(m.DeadLetterDescription, `"`, `\"`)
		if m.DeadLetterReason != string(b.reason) || !strings.Contains(say, b.say) || !strings.Contains(say, "What to do") {
			t.Errorf("%s: %s, want %s; %q", b.id, m.DeadLetterReason, b.reason, m.DeadLetterDescription)
		}
		if strings.Contains(m.DeadLetterDescription, "sig=") {
			t.Errorf("%s: the description quotes a signature: %q", b.id, m.DeadLetterDescription)
		}
		if asked := s.Requests("")[before:]; len(asked) != b.asked {
			t.Errorf("%s: %d requests to Blob Storage, want %d: %+v", b.id, len(asked), b.asked, asked)
		}
		if n := len(w.http.posted(b.id)); n != 0 {
			t.Errorf("%s was posted", b.id)
		}
	}
	w.empty("in")
	if n := len(w.fno["prod"].Imports()); n != 0 {
		t.Errorf("%d imports", n)
	}
	if tokens := w.http.tokens["evil.blob.core.windows.net"]; tokens != nil {
		t.Errorf("a strange host got %q", tokens)
	}
}

func TestARawClaimCheckBecomesAPackage(t *testing.T) {
	w := newWorld(t, []string{"in"}, "prod")
	s := w.claims()
	template := filepath.Join("..", "..", "examples", "templates", "fixed-assets.zip")
	w.route("assets", "prod", packageJob, config.Match{}, takesClaims(func(r *config.Route) {
		r.Format, r.Template = config.FormatPackage, template
	}))
	file := aFile(20_000)
	s.Put("/inbound/assets.csv", file)
	w.fno["prod"].Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Answer, Status: 400, Times: 1})
	w.run()
	w.claim("in", "Fixed assets V2", "assets", container+"/assets.csv", map[string]any{
		contract.PropFileName: "assets & more.csv", contract.PropSHA256: sumOf(file),
	})
	w.empty("in")
	i, content := w.imported("prod", "assets")
	if i.Entity != "Fixed assets V2" || i.Status != "Processed" || i.SHA256 != sumOf([]byte(content)) {
		t.Errorf("F&O has %+v", i)
	}
	if posted := w.http.posted("assets"); len(posted) != 2 || posted[0] != posted[1] {
		t.Errorf("%d posts, or two that differ", len(posted))
	}
	z, err := zip.NewReader(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := z.Open("assets & more.csv")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(data)
	if err != nil || !bytes.Equal(b, file) {
		t.Errorf("the package holds %d bytes of data, %v; want %d", len(b), err, len(file))
	}
	if n := len(s.Requests("/inbound/assets.csv")); n != 2 {
		t.Errorf("the blob was asked for %d times: the package is made once, and kept for the second post", n)
	}
}

// What Blob Storage does is no fault of F&O: its environment stays open for everybody else, and each attempt finds the blob anew.
func TestStorageThatFailsIsTriedAgainAndClosesNoEnvironment(t *testing.T) {
	file, other := aFile(50_000), aFile(50_001)
	rows := map[string]struct {
		fault func(s *storagetest.Server) storage.Fault
		want  []byte
	}{
		"it is busy":      {func(*storagetest.Server) storage.Fault { return storage.Fault{Status: 503, Code: "ServerBusy"} }, file},
		"nobody is there": {func(*storagetest.Server) storage.Fault { return storage.Fault{Cut: -1} }, file},
		"it lets nobody in": {func(*storagetest.Server) storage.Fault {
			return storage.Fault{Status: 403, Code: "AuthorizationFailure"}
		}, file},
		"downloads break":        {func(*storagetest.Server) storage.Fault { return storage.Fault{Method: http.MethodGet, Cut: 1} }, file},
		"downloads do not begin": {func(*storagetest.Server) storage.Fault { return storage.Fault{Method: http.MethodGet, Cut: -1} }, file},
		"the blob changes each time": {func(s *storagetest.Server) storage.Fault {
			return storage.Fault{Method: http.MethodGet, Before: func() { s.Put("/inbound/a", other) }}
		}, other},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, []string{"in"}, "prod")
			s := w.claims()
			w.route("all", "prod", fileJob, config.Match{}, takesClaims(func(r *config.Route) {
				r.Retry = config.Retry{Attempts: 1000, First: time.Millisecond, Multiplier: 2, Max: 20 * time.Millisecond, Total: time.Minute}
			}))
			s.Put("/inbound/a", file)
			fault := row.fault(s)
			hits, often, before := new(atomic.Int64), make(chan struct{}), fault.Before
			fault.Before = func() {
				if hits.Add(1) == 5 {
					close(often)
				}
				if before != nil {
					before()
				}
			}
			s.Break(fault)
			w.run()
			w.claim("in", "Claims", "a", container+"/a", nil)
			select {
			case <-often:
			case <-time.After(30 * time.Second):
				t.Fatal("it was not tried again")
			}
			w.send("in", message("Others", "inline", "A\n1\n", nil))
			w.await("somebody else's file goes through meanwhile", func() bool { return len(w.fno["prod"].Imports()) == 1 })
			if n := len(w.http.posted("a")); n != 0 {
				t.Errorf("%d posts of a file that could not be read", n)
			}
			s.Mend()
			w.empty("in")
			if i, content := w.imported("prod", "a"); i.SHA256 != sumOf(row.want) || content != string(row.want) {
				t.Errorf("F&O has %d bytes, sum %s", i.Size, i.SHA256)
			}
			if w.paused() || len(w.letters("in")) != 0 {
				t.Errorf("an environment was paused: %v; dead letters %v", w.paused(), w.letters("in"))
			}
		})
	}
}
