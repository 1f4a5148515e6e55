package dynamics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (b *bench) groups(ctx context.Context) (reply, error) {
	b.t.Helper()
	return b.send(ctx, "POST", enqueuePath(groupsJob, "Customer groups"), goodGroups, externalHeader, "x")
}

func TestAnswers(t *testing.T) {
	b := begin(t, nil)
	for name, row := range map[string]struct {
		fault  Fault
		code   int
		header string // Retry-After
		body   string
	}{
		"plain": {Fault{Act: Answer}, 500, "", ""},
		"seconds": {Fault{Act: Answer, Status: 429, RetryAfter: Duration(1500 * time.Millisecond)}, 429, "2",
			"Retry the request after 2 seconds"},
		"date": {Fault{Act: Answer, Status: 503, RetryAfter: Duration(time.Minute), RetryDate: true}, 503,
			"Mon, 02 Mar 2026 08:01:00 GMT", ""},
		"own words": {Fault{Act: Answer, Status: 400, Body: "no", Headers: map[string]string{"Retry-After": "soon"}},
			400, "soon", "no"},
		"redirect": {Fault{Act: Answer, Status: 302,
			Headers: map[string]string{"Location": "https://login.microsoftonline.com/"}}, 302, "", ""},
		"sign-in page":  {Fault{Act: HTML}, 200, "", "Sign in"},
		"no GUID in it": {Fault{Act: Answer, Status: 200, Body: `"soon"`}, 200, "", `"soon"`},
	} {
		row.fault.Operation, row.fault.Times = Enqueue, 1
		a := b.Faults().MustAdd(row.fault)
		r, err := b.groups(t.Context())
		if err != nil || r.code != row.code || r.header.Get("Retry-After") != row.header ||
			!strings.Contains(r.body, row.body) {
			t.Errorf("%s: %d %q %q (%v), want %d %q %q", name, r.code, r.header.Get("Retry-After"), r.body, err, row.code,
				row.header, row.body)
		}
		<-a.Done()
	}
	if n := len(b.Imports()); n != 0 {
		t.Errorf("%d imports of refused files", n)
	}
	if r, err := b.groups(t.Context()); err != nil || r.code != 200 {
		t.Errorf("after the faults: %d (%v), want 200", r.code, err)
	}
	if n := b.Calls(Enqueue); n != 8 {
		t.Errorf("%d enqueue calls counted, want 8", n)
	}
}

// What F&O did, and what the client heard: the two halves of every broken call.
func TestBrokenConnections(t *testing.T) {
	for _, secure := range []bool{false, true} {
		b := begin(t, func(o *Options) { o.TLS = secure })
		taken := 0
		for _, row := range []struct {
			op    Operation
			act   Act
			taken int
		}{
			{Enqueue, ResetBefore, 0}, {Enqueue, ResetHalf, 0}, {Enqueue, ResetAfter, 1}, {Enqueue, Truncate, 1},
			{Connect, ResetBefore, 0}, {Any, ResetAfter, 1},
		} {
			b.Faults().MustAdd(Fault{Operation: row.op, Act: row.act})
			r, err := b.groups(t.Context())
			if err == nil {
				t.Errorf("%s %s, TLS %v: answered %d %q, want a broken connection", row.op, row.act, secure, r.code, r.body)
			}
			b.Faults().Clear()
			taken += row.taken
			if n := len(b.Imports()); n != taken {
				t.Errorf("%s %s, TLS %v: %d imports, want %d", row.op, row.act, secure, n, taken)
			}
			if r, err := b.groups(t.Context()); err != nil || r.code != 200 {
				t.Errorf("%s %s, TLS %v: afterwards %d (%v), want 200", row.op, row.act, secure, r.code, err)
			}
			taken++
		}
	}
}

// askFirst posts a body that it sends only when the server asks for it; 0 when the connection broke.
func (b *bench) askFirst(body io.Reader, size int64) int {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", b.URL()+enqueuePath(groupsJob, "Customer groups"), body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A client that waits for leave before it sends the body knows that the broken call had no effect.
func TestResetBeforeTheBodyIsAskedFor(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: ResetBefore, Times: 1})
	body := &counting{r: strings.NewReader(goodGroups)}
	if code := b.askFirst(body, int64(len(goodGroups))); code != 0 || body.n != 0 {
		t.Errorf("answered %d after %d bytes, want a broken connection after none", code, body.n)
	}
}

// The half is far beyond what sockets hold: a client that got rid of the whole body was not cut off in the middle.
func TestResetHalfWay(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: ResetHalf, Times: 1})
	const size = 128 << 20
	body := &counting{r: zeros{}}
	if code := b.askFirst(io.LimitReader(body, size), size); code != 0 || body.n < size/2 || body.n > size*3/4 {
		t.Errorf("answered %d after %d bytes, want a broken connection soon after half of %d", code, body.n, size)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Broken is not the same as ended: F&O's gateways reset.
func TestResetIsAReset(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: ResetAfter, Times: 1})
	if _, err := b.groups(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestHangsUntilTheClientGoes(t *testing.T) {
	for _, secure := range []bool{false, true} {
		b := begin(t, func(o *Options) { o.TLS = secure })
		for act, taken := range map[Act]int{Hang: 0, HangAfter: 1} {
			before := len(b.Imports())
			a := b.Faults().MustAdd(Fault{Operation: Enqueue, Act: act, Times: 1})
			ctx, gone := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				_, err := b.groups(ctx)
				done <- err
			}()
			<-a.Done()
			if err := b.WaitImports(t.Context(), before+taken); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-done:
				t.Errorf("%s, TLS %v: answered (%v)", act, secure, err)
			default:
			}
			gone()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%s, TLS %v: %v, want the client's own end", act, secure, err)
			}
			if n := len(b.Imports()) - before; n != taken {
				t.Errorf("%s, TLS %v: %d imports, want %d", act, secure, n, taken)
			}
		}
	}
}

func TestCloseEndsWhatHangsAndWhatIsDelayed(t *testing.T) {
	b := begin(t, nil)
	var armed []*Armed
	done := make(chan error)
	for _, f := range []Fault{{Operation: Enqueue, Act: Hang, Times: 1},
		{Operation: Enqueue, Act: Delay, Delay: Duration(time.Hour), Times: 1}} {
		a := b.Faults().MustAdd(f)
		armed = append(armed, a)
		go func() {
			_, err := b.groups(context.Background())
			done <- err
		}()
		<-a.Done()
	}
	if err := b.clock.Waiting(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for range armed {
		if err := <-done; err == nil {
			t.Error("a call was answered by a server that is closed")
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

func TestDelay(t *testing.T) {
	b := begin(t, nil)
	b.Faults().MustAdd(Fault{Operation: Enqueue, Act: Delay, Delay: Duration(time.Minute), Times: 1})
	done := make(chan error)
	go func() {
		r, err := b.groups(t.Context())
		if err == nil && r.code != 200 {
			err = fmt.Errorf("answered %d", r.code)
		}
		done <- err
	}()
	if err := b.clock.Waiting(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(time.Minute - 1)
	if n := len(b.Imports()); n != 0 {
		t.Fatalf("%d imports before the delay was over", n)
	}
	b.clock.Advance(1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.Imports()[0].AcceptedAt; !got.Equal(start.Add(time.Minute)) {
		t.Errorf("accepted at %v, want after the delay", got)
	}
}

func TestOutageCountsDown(t *testing.T) {
	b := begin(t, nil)
	if _, err := b.Faults().Outage(time.Minute, 503, true); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		after time.Duration
		code  int
		wait  string
	}{{0, 503, "60"}, {45*time.Second + time.Millisecond, 503, "15"}, {15 * time.Second, 200, ""}} {
		b.clock.Advance(row.after)
		r, err := b.groups(t.Context())
		if err != nil || r.code != row.code || r.header.Get("Retry-After") != row.wait {
			t.Errorf("%d, Retry-After %q (%v); want %d, %q", r.code, r.header.Get("Retry-After"), err, row.code, row.wait)
		}
	}
}

func TestFaultsChooseTheirCalls(t *testing.T) {
	b := begin(t, nil)
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	yes := target{op: Enqueue, activity: groupsJob, entity: "Customer groups", company: "usmf", external: "x"}
	for name, row := range map[string]struct {
		fault Fault
		t     target
		want  bool
	}{
		"operation":       {Fault{Operation: Enqueue}, yes, true},
		"any":             {Fault{Operation: Any}, yes, true},
		"any but connect": {Fault{Operation: Any}, target{op: Connect}, false},
		"other operation": {Fault{Operation: Ack}, yes, false},
		"activity":        {Fault{Operation: Enqueue, Activity: "{" + strings.ToUpper(groupsJob) + "}"}, yes, true},
		"other activity":  {Fault{Operation: Enqueue, Activity: packageJob}, yes, false},
		"entity":          {Fault{Operation: Enqueue, Entity: "customer Groups"}, yes, true},
		"other entity":    {Fault{Operation: Enqueue, Entity: "Customers"}, yes, false},
		"company":         {Fault{Operation: Enqueue, Company: "USMF"}, yes, true},
		"other company":   {Fault{Operation: Enqueue, Company: "demf"}, yes, false},
		"file":            {Fault{Operation: Enqueue, ExternalID: "x"}, yes, true},
		"other file":      {Fault{Operation: Enqueue, ExternalID: "y"}, yes, false},
	} {
		row.fault.Act = Answer
		b.Faults().MustAdd(row.fault)
		if got := b.Faults().pick(row.t, false) != nil; got != row.want {
			t.Errorf("%s: hit %v, want %v", name, got, row.want)
		}
		b.Faults().Clear()
	}
	// A status call is about the file whose message it names.
	b.Faults().MustAdd(Fault{Operation: Status, Act: Answer, Entity: "Customer groups",
		ExternalID: "file Customer groups"})
	if r := b.act("GetMessageStatus", "messageId", id); r.code != 500 {
		t.Errorf("status of the file: %d, want 500", r.code)
	}
}

func TestSkipTimesAndChance(t *testing.T) {
	f := &Faults{clock: NewFake(start)}
	a, err := f.Add(Fault{Operation: Enqueue, Act: Answer, Skip: 2, Times: 3})
	if err != nil {
		t.Fatal(err)
	}
	var hits []int
	for n := range 10 {
		if f.pick(target{op: Enqueue}, false) != nil {
			hits = append(hits, n)
		}
	}
	if fmt.Sprint(hits) != "[2 3 4]" || a.Fired() != 3 || len(f.List()) != 0 {
		t.Errorf("hit %v, %d in all, %d still armed; want [2 3 4], 3, 0", hits, a.Fired(), len(f.List()))
	}
	sequence := func(seed uint64) (s string, n int) {
		f := &Faults{clock: NewFake(start)}
		f.MustAdd(Fault{Operation: Enqueue, Act: Answer, Probability: 0.3, Seed: seed})
		for range 1000 {
			if f.pick(target{op: Enqueue}, false) != nil {
				s, n = s+"x", n+1
			} else {
				s += "."
			}
		}
		return s, n
	}
	one, hit := sequence(7)
	if again, _ := sequence(7); again != one {
		t.Error("one seed hits different calls")
	}
	if other, _ := sequence(8); other == one {
		t.Error("two seeds hit the same calls")
	}
	if hit < 240 || hit > 360 { // deterministic: the seed is fixed
		t.Errorf("hit %d of 1000 calls with a chance of 0.3", hit)
	}
}

func TestImportEnds(t *testing.T) {
	b := begin(t, nil)
	for outcome, want := range map[string]string{
		"PostProcessingError": "PostProcessingError", "Quarantined": "Quarantined", NeverEnds: "InProcess",
		Deadlock: "ProcessedWithErrors",
	} {
		b.Faults().MustAdd(Fault{Operation: Enqueue, Act: ImportEnds, Outcome: outcome, Times: 1,
			Errors: []ExecutionError{{"7", "F", "why"}}})
		id := b.enqueue(groupsJob, "Customer groups", goodGroups)
		b.clock.Advance(1000 * time.Hour)
		if got := b.status(id); got != want {
			t.Errorf("%s: %s, want %s", outcome, got, want)
		}
		text := map[string]string{NeverEnds: "[]", Deadlock: "DMF1996"}[outcome]
		if text == "" {
			text = `"ErrorMessage":"why"`
		}
		if got := b.action("GetExecutionErrors", "executionId", b.import1(id).ExecutionID); !strings.Contains(got, text) {
			t.Errorf("%s: errors %s, want %s", outcome, got, text)
		}
	}
}

func TestControlEndpoint(t *testing.T) {
	b := begin(t, func(o *Options) { o.Faults = true })
	const one = `{"operation":"enqueue","entity":"Customer groups","act":"answer",` +
		`"status":429,"retryAfter":"2s","times":2}`
	for body, code := range map[string]int{
		one: 204, `[` + one + `,{"operation":"status","act":"hang","probability":0.5,"seed":3}]`: 204,
		`{"operation":"enqueue"}`: 400, `[{"operation":"dance","act":"hang"}]`: 400, `no`: 400,
		`{"operation":"enqueue","act":"importEnds"}`:           400,
		`{"operation":"ack","act":"importEnds","outcome":"x"}`: 400, `{"operation":"connect","act":"hang"}`: 400,
		`{"operation":"ack","act":"hang","probability":2}`: 400, `{"operation":"ack","act":"hang","times":-1}`: 400,
		`{"operation":"ack","act":"hang","delay":"soon"}`: 400,
	} {
		b.Faults().Clear()
		if r := b.do("POST", "/faults", body); r.code != code {
			t.Errorf("%s: %d %s, want %d", body, r.code, r.body, code)
		}
		if n := len(b.Faults().List()); code == 400 && n != 0 {
			t.Errorf("%s: %d faults armed by a refused request", body, n)
		}
	}
	b.Faults().Clear()
	b.do("POST", "/faults", one)
	if r, err := b.groups(t.Context()); err != nil || r.code != 429 || r.header.Get("Retry-After") != "2" {
		t.Errorf("%d (%v), want 429", r.code, err)
	}
	var list []struct {
		Act        Act
		RetryAfter Duration
		Fired      int
	}
	r := b.do("GET", "/faults", "")
	if err := json.Unmarshal([]byte(r.body), &list); err != nil || len(list) != 1 {
		t.Fatalf("listed %s (%v)", r.body, err)
	}
	if f := list[0]; f.Fired != 1 || f.Act != Answer || f.RetryAfter != Duration(2*time.Second) {
		t.Errorf("listed %+v", f)
	}
	if r := b.do("DELETE", "/faults", ""); r.code != 204 || len(b.Faults().List()) != 0 {
		t.Errorf("clear: %d, %d armed", r.code, len(b.Faults().List()))
	}
	id := b.enqueue(groupsJob, "Customer groups", goodGroups)
	var imports []Import
	if err := json.Unmarshal([]byte(b.do("GET", "/imports", "").body), &imports); err != nil || len(imports) != 1 ||
		imports[0].MessageID != id {
		t.Errorf("imports %+v (%v)", imports, err)
	}
	if r := b.do("POST", "/exports?activity="+exportJob, "file"); r.code != 200 || b.Exports()[0].Size != 4 {
		t.Errorf("offer: %d %s", r.code, r.body)
	}
	if r := b.do("POST", "/exports?activity="+groupsJob, "file"); r.code != 400 {
		t.Errorf("offer to an import job: %d, want 400", r.code)
	}
	if r := b.do("GET", "/exports", ""); r.code != 200 || !strings.Contains(r.body, `"acked":0`) {
		t.Errorf("exports: %d %s", r.code, r.body)
	}
}

func TestNoControlEndpointUnlessAsked(t *testing.T) {
	b := begin(t, nil)
	for _, path := range []string{"/faults", "/imports", "/exports"} {
		if r := b.do("POST", path, "{}"); r.code != 404 {
			t.Errorf("%s: %d, want 404", path, r.code)
		}
	}
}
