package dynamics

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	groupsJob  = "2fd2c2a1-8f6d-4b7e-9a8e-3d3f3f1f7c11"
	packageJob = "7c1b0b5e-52a5-4f0e-8a0c-94f1d0f1a002"
	exportJob  = "b5a1f6d4-0c44-4a7a-9f7e-2d1f3b6e0c03"
	orderedJob = "0d9c2d1e-3a4b-4c5d-8e6f-7a8b9c0d1e04"
)

var start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// bench is a server on a fake clock with a client that has a token.
type bench struct {
	*Server
	t     testing.TB
	clock *Fake
	token string
}

func customers() Entity {
	return Entity{Label: "Customer groups", Key: "CUSTOMERGROUPID", Fields: []Field{
		{Name: "CUSTOMERGROUPID", Required: true, Max: 10},
		{Name: "DESCRIPTION"},
		{Name: "PAYMENTTERMID", Values: []string{"Net10", "Net30"}},
		{Name: "VALIDFROM", Type: Date},
		{Name: "CREDITLIMIT", Type: Number},
	}}
}

func begin(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	clock := NewFake(start)
	o := Options{
		Jobs: []Job{
			{ID: groupsJob, Project: "CustGroups", ImportTime: 10 * time.Second, PickUp: 2 * time.Second},
			{ID: packageJob, Project: "Packs", Kind: Package},
			{ID: exportJob, Export: true},
			{ID: orderedJob, InOrder: true, ImportTime: 10 * time.Second},
		},
		Entities: []Entity{customers(), {Label: "Vendors V2"}},
		Clock:    clock,
	}
	if change != nil {
		change(&o)
	}
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{s, t, clock, s.tokens.issue(clock.Now(), grant{"app", s.URL(), clock.Now().AddDate(100, 0, 0)}, "t")}
}

// reply is an answer that has been read.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (b *bench) send(ctx context.Context, method, path, body string, header ...string) (reply, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, b.URL()+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.Client().Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(text)}, err
}

func (b *bench) do(method, path, body string, header ...string) reply {
	b.t.Helper()
	r, err := b.send(b.t.Context(), method, path, body, header...)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func enqueuePath(activity, entity string) string {
	return "/api/connector/enqueue/" + activity + "?entity=" + url.PathEscape(entity) + "&company=usmf"
}

// enqueue sends a file that must be taken and returns its message ID.
func (b *bench) enqueue(activity, entity, body string) string {
	b.t.Helper()
	r := b.do("POST", enqueuePath(activity, entity), body, externalHeader, "file "+entity)
	if r.code != 200 || len(r.body) != 38 || r.body[0] != '"' || r.body[37] != '"' {
		b.t.Fatalf("enqueue: %d %q, want 200 and a GUID in quotes", r.code, r.body)
	}
	return r.body[1:37]
}

// action calls an OData action that must succeed and returns its value.
func (b *bench) action(name, parameter, id string) string {
	b.t.Helper()
	r := b.act(name, parameter, id)
	var v struct {
		Context string `json:"@odata.context"`
		Value   *string
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.code != 200 || v.Value == nil || v.Context == "" {
		b.t.Fatalf("%s: %d %q (%v), want 200 with context and value", name, r.code, r.body, err)
	}
	return *v.Value
}

func (b *bench) act(name, parameter, id string) reply {
	b.t.Helper()
	body, err := json.Marshal(map[string]string{parameter: id})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do("POST", actionPath+name, string(body))
}

func (b *bench) status(id string) string {
	b.t.Helper()
	return b.action("GetMessageStatus", "messageId", id)
}

func (b *bench) import1(id string) Import {
	b.t.Helper()
	for _, i := range b.Imports() {
		if i.MessageID == id {
			return i
		}
	}
	b.t.Fatalf("no import %s", id)
	return Import{}
}

const goodGroups = "CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID,VALIDFROM,CREDITLIMIT\n" +
	"10,Wholesale,Net30,2026-01-01,5000.00\n20,Retail,Net10,,\n"

func utf16le(s string) []byte {
	var b bytes.Buffer
	b.Write([]byte{0xFF, 0xFE})
	for _, r := range s {
		b.Write([]byte{byte(r), byte(r >> 8)})
	}
	return b.Bytes()
}
