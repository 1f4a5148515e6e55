package status

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fnobridge/internal/failure"
)

func whole() Event {
	return Event{
		Status: ProcessedWithErrors, Reason: failure.ProcessedWithErrors, Time: time.Date(2026, 11, 21, 9, 0, 0, 123456789, time.UTC),
		Environment: "prod", Route: "customer-groups", Entity: "Customer groups", Company: "usmf", Session: "usmf/Customer groups",
		MessageID: "m-1", SequenceNumber: 42, Queue: "fno-inbound", FileName: "groups.csv", FnoMessageID: "2fd2c2a1", ExecutionID: "E-1",
		Attempt: 2, FnoStatus: "ProcessedWithErrors", Detail: "record 3", SummaryURL: "https://contoso/x",
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", TraceState: "a=b",
	}
}

func TestEventSurvivesTheWire(t *testing.T) {
	_, body, err := whole().Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(whole(), back); d != "" {
		t.Errorf("(-sent +read):\n%s", d)
	}
}

func TestEventIsACloudEvent(t *testing.T) {
	_, body, err := whole().Encode()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "data")
	want := map[string]any{
		"specversion": "1.0", "id": whole().ID(), "source": "/fnobridge/prod", "type": "fnobridge.file.status.v1", "subject": "m-1",
		"time": "2026-11-21T09:00:00.123456789Z", "datacontenttype": "application/json",
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "a=b",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// The ID is part of the contract: a topic deduplicates across releases. A change here needs a new schema version.
const stableID = "5dfb1213dbe2222bff20b6c25a50d124"

func TestEventIDIsStable(t *testing.T) {
	if id := whole().ID(); id != stableID {
		t.Errorf("ID of the same transition is %s, was %s", id, stableID)
	}
}

func TestEventIDSaysWhatHappenedNotWhenOrHow(t *testing.T) {
	same := map[string]func(*Event){
		"time":       func(e *Event) { e.Time = e.Time.Add(time.Hour) },
		"detail":     func(e *Event) { e.Detail = "other words" },
		"execution":  func(e *Event) { e.ExecutionID = "E-2" },
		"trace":      func(e *Event) { e.TraceParent, e.TraceState = "", "" },
		"F&O's word": func(e *Event) { e.FnoStatus = "processedwitherrors" },
	}
	for name, change := range same {
		e := whole()
		change(&e)
		if e.ID() != whole().ID() {
			t.Errorf("%s makes another transition", name)
		}
	}
	other := map[string]func(*Event){
		"status":      func(e *Event) { e.Status = Processed },
		"reason":      func(e *Event) { e.Reason = failure.ImportDeadlock },
		"attempt":     func(e *Event) { e.Attempt = 3 },
		"F&O message": func(e *Event) { e.FnoMessageID = "other" },
		"message":     func(e *Event) { e.MessageID = "m-2" },
		"sequence":    func(e *Event) { e.SequenceNumber = 43 },
		"session":     func(e *Event) { e.Session = "other" },
		"queue":       func(e *Event) { e.Queue = "other" },
		"environment": func(e *Event) { e.Environment = "test" },
	}
	for name, change := range other {
		e := whole()
		change(&e)
		if e.ID() == whole().ID() {
			t.Errorf("another %s makes the same transition", name)
		}
	}
	a, b := Event{Status: Paused, Environment: "prod", Time: time.Unix(1, 0)}, Event{Status: Paused, Environment: "prod", Time: time.Unix(2, 0)}
	if a.ID() == b.ID() {
		t.Error("two pauses of an environment are one")
	}
}

func TestEventIDKeepsFieldsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String()
		a := Event{Session: s.Draw(t, "session"), MessageID: s.Draw(t, "message"), Status: Enqueued}
		b := Event{Session: s.Draw(t, "session2"), MessageID: s.Draw(t, "message2"), Status: Enqueued}
		if (a.Session != b.Session || a.MessageID != b.MessageID) && a.ID() == b.ID() {
			t.Fatalf("%+v and %+v have one ID", a, b)
		}
	})
}

func TestDecodeRefusesWhatIsNoStatusEvent(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":    "x",
		"other type": `{"specversion":"1.0","type":"com.contoso.order","time":"2026-11-21T09:00:00Z"}`,
		"no time":    `{"specversion":"1.0","type":"fnobridge.file.status.v1"}`,
	} {
		if _, err := Decode([]byte(body)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}
