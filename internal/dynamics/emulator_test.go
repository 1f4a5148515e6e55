package dynamics

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	fno "fnobridge/emulator/dynamics"
	"fnobridge/emulator/dynamics/dynamicstest"
	"fnobridge/internal/failure"
)

// These tests run the client against the embedded F&O over TCP and TLS, with azidentity asking its token endpoint.

const exportActivity = "b5a1d6de-43a2-4b02-93f4-7a7f1d3d9f10"

func emulate(t *testing.T, o fno.Options, timeout time.Duration) (*dynamicstest.Environment, *Environment) {
	t.Helper()
	o.TLS = true
	o.Jobs = []fno.Job{{ID: anActivity}, {ID: exportActivity, Export: true}}
	s := dynamicstest.New(t, func(all *fno.Options) { *all = o })
	transport := NewTransport()
	transport.TLSClientConfig.RootCAs = s.RootCAs()
	t.Cleanup(transport.CloseIdleConnections)
	return s, newEnvironment(t, Options{
		URL: s.URL(), Credential: s.SignIn("bridge", "not a real one"), Transport: transport, Timeout: timeout,
	})
}

func TestAFileFromEnqueueToItsEnd(t *testing.T) {
	s, e := emulate(t, fno.Options{StatusLag: time.Hour}, time.Minute)
	f, _ := aFile("CUSTGROUP;NAME\n10;Wholesale\n")
	f.Entity = `Customer "groups" & more + é`
	id, err := e.Enqueue(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	imports := s.Imports()
	if len(imports) != 1 || imports[0].MessageID != id {
		t.Fatalf("F&O recorded %+v", imports)
	}
	if i := imports[0]; i.Entity != f.Entity || i.ExternalID != f.ExternalID || i.Size != f.Size {
		t.Fatalf("F&O recorded %+v", i)
	}
	if status, err := e.MessageStatus(t.Context(), id); err != nil || status.Final() || status.Raw != "" {
		t.Errorf("while F&O does not know the message: %+v %v", status, err)
	}
}

func TestAnImportIsFollowedToItsEnd(t *testing.T) {
	clock := fno.NewFake(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
	s, e := emulate(t, fno.Options{Clock: clock, PickUp: time.Minute, ImportTime: time.Minute, TokenLife: 24 * time.Hour, Spelling: map[string]string{"Processing": "InProcess"}}, time.Minute)
	s.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.ImportEnds, Outcome: "ProcessedWithErrors", Errors: []fno.ExecutionError{
		{RecordID: "2", Field: "CUSTGROUP", ErrorMessage: "The value '10' is not found\r\n"},
	}})
	f, _ := aFile("x")
	id, err := e.Enqueue(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := e.ExecutionID(t.Context(), id); x != "" || err != nil {
		t.Errorf("execution %q before it was scheduled, %v", x, err)
	}
	var seen []string
	var last Status
	for range 100 {
		status, err := e.MessageStatus(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if status != last {
			seen, last = append(seen, string(status.State)), status
		}
		if status.Final() {
			break
		}
		clock.Advance(3 * time.Second)
	}
	if got := strings.Join(seen, " "); got != "Enqueued Dequeued PreProcessing Processing ProcessedWithErrors" {
		t.Errorf("seen %s", got)
	}
	x, err := e.ExecutionID(t.Context(), id)
	if err != nil || x == "" {
		t.Fatalf("%q %v", x, err)
	}
	errs, err := e.ExecutionErrors(t.Context(), x)
	if err != nil || Describe(errs) != "record 2, field CUSTGROUP: The value '10' is not found" {
		t.Errorf("%v %v", errs, err)
	}
	failed(t, ImportFailure(last, errs), failure.Reject, failure.ProcessedWithErrors)
	if u, err := e.ExecutionSummaryURL(t.Context(), x); err != nil || !strings.HasPrefix(u, "http") {
		t.Errorf("%q %v", u, err)
	}
}

// The promise behind every verdict but Unknown: what the client says F&O did not take, F&O did not take.
func TestTheVerdictIsTrueOfWhatFnORecorded(t *testing.T) {
	rows := []struct {
		name    string
		fault   fno.Fault
		verdict failure.Verdict
		reason  failure.Reason
		after   time.Duration
	}{
		{"reset before", fno.Fault{Act: fno.ResetBefore}, failure.Retry, failure.ConnectionBroken, 0},
		{"reset half-way", fno.Fault{Act: fno.ResetHalf}, failure.Undecided, "", 0}, // either: buffers may have taken the rest
		{"reset after", fno.Fault{Act: fno.ResetAfter}, failure.Unknown, failure.UnknownOutcome, 0},
		{"answer cut off", fno.Fault{Act: fno.Truncate}, failure.Unknown, failure.UnknownOutcome, 0},
		{"hang before", fno.Fault{Act: fno.Hang}, failure.Undecided, "", 0}, // the same
		{"hang after", fno.Fault{Act: fno.HangAfter}, failure.Unknown, failure.UnknownOutcome, 0},
		{"sign-in page", fno.Fault{Act: fno.HTML}, failure.Unknown, failure.BadAnswer, 0},
		{"400", fno.Fault{Act: fno.Answer, Status: 400}, failure.Retry, failure.BadRequest, 0},
		{"404", fno.Fault{Act: fno.Answer, Status: 404}, failure.Reject, failure.NotFound, 0},
		{"429", fno.Fault{Act: fno.Answer, Status: 429, RetryAfter: fno.Duration(2 * time.Second)}, failure.Pause, failure.Throttled, 2 * time.Second},
		{"429 with a date", fno.Fault{Act: fno.Answer, Status: 429, RetryAfter: fno.Duration(2 * time.Hour), RetryDate: true}, failure.Pause, failure.Throttled, time.Hour},
		{"500", fno.Fault{Act: fno.Answer, Status: 500}, failure.Retry, failure.ServerError, 0},
		{"502", fno.Fault{Act: fno.Answer, Status: 502}, failure.Retry, failure.BadGateway, 0},
		{"503", fno.Fault{Act: fno.Answer, Status: 503}, failure.Pause, failure.Unavailable, 0},
		{"504", fno.Fault{Act: fno.Answer, Status: 504}, failure.Unknown, failure.GatewayTimeout, 0},
		{"401 for good", fno.Fault{Act: fno.Answer, Status: 401}, failure.Pause, failure.Unauthorized, 0},
	}
	imported := make(chan string, len(rows))
	s, e := emulate(t, fno.Options{OnImport: func(im fno.Import) { imported <- im.ExternalID }}, time.Minute)
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			r.fault.Operation, r.fault.ExternalID = fno.Enqueue, fmt.Sprintf("m-%d", i)
			r.fault.Times = 1
			if r.fault.Status == 401 {
				r.fault.Times = 2 // it is met twice
			}
			armed := s.Faults().MustAdd(r.fault)
			f, _ := aFile(strings.Repeat("0123456789", 100_000))
			f.ExternalID = r.fault.ExternalID
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			switch r.fault.Act { // these end when the caller has had enough
			case fno.Hang:
				go func() {
					<-armed.Done()
					cancel()
				}()
			case fno.HangAfter:
				go func() {
					for id := range imported {
						if id == f.ExternalID {
							cancel()
							return
						}
					}
				}()
			}
			_, err := e.Enqueue(ctx, f)
			taken := 0
			for _, im := range s.Imports() {
				if im.ExternalID == f.ExternalID {
					taken++
				}
			}
			got := failure.Of(err)
			if got == nil {
				t.Fatal("no error")
			}
			if got.Verdict != failure.Unknown && taken != 0 {
				t.Errorf("%v, but F&O recorded %d imports: %v", got.Verdict, taken, err)
			}
			if r.verdict != failure.Undecided {
				failed(t, err, r.verdict, r.reason)
			}
			if got.After != r.after {
				t.Errorf("after %v, want %v", got.After, r.after)
			}
		})
	}
}

func TestARevokedTokenCostsOneMoreCall(t *testing.T) {
	s, e := emulate(t, fno.Options{}, time.Minute)
	s.Faults().MustAdd(fno.Fault{Operation: fno.Enqueue, Act: fno.Answer, Status: 401, Times: 1})
	f, opened := aFile("x")
	if _, err := e.Enqueue(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if len(s.Imports()) != 1 || opened.Load() != 2 {
		t.Errorf("%d imports, %d openings", len(s.Imports()), opened.Load())
	}
}

func TestATokenThatIsRefusedPauses(t *testing.T) {
	s, e := emulate(t, fno.Options{Clients: map[string]string{"bridge": "another secret"}}, time.Minute)
	f, _ := aFile("x")
	_, err := e.Enqueue(t.Context(), f)
	got := failed(t, err, failure.Pause, failure.TokenRefused)
	if strings.Contains(err.Error(), "not a real one") || got.Detail == "" {
		t.Errorf("%v", err)
	}
	if len(s.Imports()) != 0 {
		t.Error("imported without a token")
	}
}

func TestExportsComeOut(t *testing.T) {
	for _, location := range []fno.Location{fno.HTTP, fno.HTTP80, fno.HTTPS} {
		s, e := emulate(t, fno.Options{Location: location}, time.Minute)
		for _, x := range []fno.Export{{Body: []byte("PK one")}, {Missing: true, Message: "no records"}, {NoURL: true}} {
			if _, err := s.AddExport(exportActivity, x); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for {
			x, err := e.Dequeue(t.Context(), exportActivity)
			if err != nil {
				t.Fatal(err)
			}
			if x == nil {
				break
			}
			what := "no file: " + x.FileError
			if x.HasFile {
				what = download(t.Context(), t, e, x)
			}
			got = append(got, what)
			if err := e.Ack(t.Context(), exportActivity, x); err != nil {
				t.Fatal(err)
			}
		}
		if len(got) != 3 || got[0] != "PK one" || got[1] != "no file: no records" {
			t.Errorf("got %q", got)
		}
		for _, x := range s.Exports() {
			if x.Acked != 1 || !x.Verbatim {
				t.Errorf("F&O saw %+v", x)
			}
		}
	}
}

func download(ctx context.Context, t *testing.T, e *Environment, x *Export) string {
	t.Helper()
	body, err := e.Download(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }() // read to its end below
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
