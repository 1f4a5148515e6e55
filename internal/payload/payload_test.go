package payload

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/failure"
)

func sumOf(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func TestAnInlineBody(t *testing.T) {
	o := newOpener(t)
	for _, sum := range []string{"", sumOf("a;b"), strings.ToUpper(sumOf("a;b"))} {
		p, err := o.Open(t.Context(), Source{Body: []byte("a;b"), SHA256: sum}, Rule{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := readAll(t, p); got != "a;b" || p.Size() != 3 {
				t.Errorf("%q of %d bytes", got, p.Size())
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatAMessageCanBeGuiltyOf(t *testing.T) {
	s := storagetest.New(t)
	ref := s.Upload("/inbound/a.csv", []byte("a;b"))
	s.Put("/inbound/empty.csv", nil)
	big := strings.Repeat("x", 11)
	containers := []string{s.URL() + "/inbound"}
	rows := map[string]struct {
		source  Source
		rule    Rule
		verdict failure.Verdict
		reason  failure.Reason
		says    string
	}{
		"nothing":             {Source{}, Rule{}, failure.Reject, failure.EmptyBody, "neither"},
		"both":                {Source{Body: []byte("x"), DataRef: ref}, Rule{Containers: containers}, failure.Reject, failure.BadMessage, "both"},
		"an empty blob":       {Source{DataRef: s.URL() + "/inbound/empty.csv"}, Rule{Containers: containers}, failure.Reject, failure.EmptyBody, "no bytes"},
		"an inline body":      {Source{Body: []byte(big)}, Rule{MaxSize: 10}, failure.Reject, failure.PayloadTooLarge, "11 bytes"},
		"a large blob":        {Source{DataRef: ref}, Rule{Containers: containers, MaxSize: 2}, failure.Reject, failure.PayloadTooLarge, "maxSize"},
		"no sum":              {Source{Body: []byte("x"), SHA256: "abc"}, Rule{}, failure.Reject, failure.BadMessage, "64 hex digits"},
		"another sum":         {Source{Body: []byte("x"), SHA256: sumOf("y")}, Rule{}, failure.Reject, failure.ChecksumMismatch, sumOf("y")},
		"another sum of blob": {Source{DataRef: ref, SHA256: sumOf("y")}, Rule{Containers: containers}, failure.Reject, failure.ChecksumMismatch, sumOf("a;b")},
		"no blob":             {Source{DataRef: s.URL() + "/inbound/b.csv"}, Rule{Containers: containers}, failure.Reject, failure.ClaimCheckMissing, "not there"},
		"no container":        {Source{DataRef: ref}, Rule{}, failure.Reject, failure.ClaimCheckRefused, "no container"},
		"elsewhere":           {Source{DataRef: s.URL() + "/inbound2/a.csv"}, Rule{Containers: containers}, failure.Reject, failure.ClaimCheckRefused, "not inside"},
		"a signature":         {Source{DataRef: ref + "?sv=1&sig=abc"}, Rule{Containers: containers}, failure.Reject, failure.ClaimCheckRefused, "query"},
		"no identity":         {Source{DataRef: "https://acct.blob.core.windows.net/inbound/a"}, Rule{Containers: []string{"https://acct.blob.core.windows.net/inbound"}}, failure.Reject, failure.ClaimCheckRefused, "identity"},
		"not a package":       {Source{Body: []byte("a;b")}, Rule{Package: true}, failure.Reject, failure.PackageInvalid, "zip"},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := newOpener(t).Open(t.Context(), r.source, r.rule)
			if f := failed(t, err, r.verdict, r.reason); !strings.Contains(f.Detail, r.says) {
				t.Errorf("detail %q, want %q in it", f.Detail, r.says)
			}
		})
	}
	for _, r := range s.Requests("") {
		if strings.Contains(r.Path, "inbound2") {
			t.Errorf("a refused claim check was fetched: %+v", r)
		}
	}
}

func TestTheDefaultLimitIsTheConnectors(t *testing.T) {
	body := make([]byte, DefaultMaxSize)
	if _, err := newOpener(t).Open(t.Context(), Source{Body: body}, Rule{}); err != nil {
		t.Error(err)
	}
	_, err := newOpener(t).Open(t.Context(), Source{Body: append(body, 0)}, Rule{})
	failed(t, err, failure.Reject, failure.PayloadTooLarge)
}
