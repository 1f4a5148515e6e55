package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"fnobridge/internal/failure"
	"fnobridge/internal/status"
)

var anEntry = rapid.Custom(func(t *rapid.T) Entry {
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(1, 1<<32).Draw(t, "second"), 0).UTC()
	})
	e := Entry{
		Key:    rapid.StringN(0, 40, 128).Draw(t, "key"),
		Phase:  rapid.SampledFrom([]Phase{Posting, Waiting, InFno, Held, Dead}).Draw(t, "phase"),
		By:     rapid.StringMatching(`[0-9a-f]{0,12}`).Draw(t, "by"),
		ExecID: rapid.StringMatching(`[a-z0-9-]{0,20}`).Draw(t, "execution"), Attempts: rapid.IntRange(0, 9).Draw(t, "attempts"),
		Base: rapid.IntRange(0, 9).Draw(t, "base"), Published: rapid.SampledFrom([]status.Status{"", status.Enqueued, status.Held}).Draw(t, "published"),
		Reason: rapid.SampledFrom(append(failure.Reasons(), "")).Draw(t, "reason"), Unknown: rapid.Bool().Draw(t, "unknown"),
		Note: rapid.StringN(0, 20, 60).Draw(t, "note"), Off: time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "off")),
	}
	if rapid.Bool().Draw(t, "tried") {
		e.First, e.Last = at.Draw(t, "first"), at.Draw(t, "last")
	}
	if e.Phase == InFno {
		e.FnoID, e.AcceptedAt = rapid.StringMatching(`[0-9a-f-]{36}`).Draw(t, "message"), at.Draw(t, "accepted")
	}
	return e
})

// The model of a ledger is what it must know: which files are open, and which are settled.
func TestALedgerKnowsWhatIsOpenAndWhatIsSettled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Ledger{}
		open, settled := map[int64]Entry{}, []int64{}
		next := rapid.Int64Range(1, 1<<50).Draw(t, "first sequence number")
		begin := next
		t.Repeat(map[string]func(*rapid.T){
			"put a new file": func(t *rapid.T) {
				next += rapid.Int64Range(1, 5).Draw(t, "gap") // other sessions take numbers too
				e := anEntry.Draw(t, "entry")
				e.Seq = next
				l.put(e)
				open[e.Seq] = e
			},
			"put a file again": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("none")
				}
				e := anEntry.Draw(t, "entry")
				e.Seq = rapid.SampledFrom(slices.Sorted(maps.Keys(open))).Draw(t, "file")
				l.put(e)
				open[e.Seq] = e
			},
			"settle": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("none")
				}
				seq := rapid.SampledFrom(slices.Sorted(maps.Keys(open))).Draw(t, "file")
				l.settle(seq, gone)
				delete(open, seq)
				settled = append(settled, seq)
			},
			"settle a file that was never put": func(t *rapid.T) {
				next++
				l.Settle(next)
				settled = append(settled, next)
			},
			"store and load": func(t *rapid.T) {
				b, err := l.Encode()
				if err != nil {
					t.Fatal(err)
				}
				back, err := Decode(b)
				if err != nil {
					t.Fatalf("%v: %s", err, b)
				}
				if diff := cmp.Diff(l.Files, back.Files, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Entry{})); diff != "" || back.Watermark != l.Watermark {
					t.Fatalf("the ledger came back changed:\n%s", diff)
				}
				l = back
			},
			"": func(t *rapid.T) {
				for seq, e := range open {
					got := l.Find(seq)
					if got == nil || !cmp.Equal(*got, e, cmpopts.IgnoreUnexported(Entry{})) {
						t.Fatalf("file %d: %+v, want %+v", seq, got, e)
					}
					if l.settledBefore(seq) {
						t.Fatalf("open file %d counts as settled", seq)
					}
				}
				lowest := next + 1
				for seq := range open {
					lowest = min(lowest, seq)
				}
				for _, seq := range settled[max(0, len(settled)-recent):] {
					if !l.settledBefore(seq) {
						t.Fatalf("settled file %d does not count as settled", seq)
					}
				}
				if l.settledBefore(next + 1) {
					t.Fatal("a file to come counts as settled")
				}
				if len(open) == 0 && len(l.Files) != 0 {
					t.Fatalf("nothing is open, and the ledger holds %d files", len(l.Files))
				}
				if l.Watermark < begin && len(settled) > 0 && len(open) == 0 {
					t.Fatal("the watermark stands still")
				}
			},
		})
	})
}

func TestALedgerThatSaysNothingIsNoState(t *testing.T) {
	b, err := (&Ledger{}).Encode()
	if b != nil || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	l, err := Decode(nil)
	if err != nil || l.Watermark != 0 || len(l.Files) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestStrangeStateIsNeverGuessedAt(t *testing.T) {
	for state, want := range map[string]error{
		`{"v":2,"files":[]}`:       ErrNewer,
		`{"v":99,"files":42}`:      ErrNewer, // nothing but its version can be known
		`{`:                        ErrCorrupt,
		`[]`:                       ErrCorrupt,
		`"a text"`:                 ErrCorrupt,
		`{}`:                       ErrCorrupt,
		`{"v":0}`:                  ErrCorrupt,
		`{"v":-1}`:                 ErrCorrupt,
		`{"v":1,"settled":"many"}`: ErrCorrupt,
		`{"v":1,"settled":-4}`:     ErrCorrupt,
		`{"v":1,"doubt":-1}`:       ErrCorrupt,
		`{"v":1,"files":[{"seq":2,"phase":"flying"}]}`:                              ErrCorrupt,
		`{"v":1,"files":[{"seq":2,"phase":"enqueued"}]}`:                            ErrCorrupt, // without a message ID there is nothing to follow
		`{"v":1,"files":[{"seq":2,"phase":"posting"},{"seq":2,"phase":"posting"}]}`: ErrCorrupt,
		`{"v":1,"files":[{"seq":3,"phase":"posting"},{"seq":2,"phase":"posting"}]}`: ErrCorrupt,
		`{"v":1,"park":{"mode":"sleep","seq":1}}`:                                   ErrCorrupt,
		"\x00\x01":        ErrCorrupt,
		`{"v":1}trailing`: ErrCorrupt,
	} {
		if l, err := Decode([]byte(state)); !errors.Is(err, want) || l != nil {
			t.Errorf("%s: %+v, %v, want %v", state, l, err, want)
		}
	}
}

func TestAnyStateIsReadWithoutPanic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "state")
		l, err := Decode(b)
		known := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer)
		if err != nil && !known {
			t.Fatalf("an error that says neither corrupt nor newer: %v", err)
		}
		if err == nil && l == nil {
			t.Fatal("neither a ledger nor an error")
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"settled":7,"files":[{"seq":8,"phase":"enqueued","mid":"x"}],"park":{"mode":"hold","seq":8}}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		l, err := Decode(state)
		if err != nil {
			return
		}
		b, err := l.Encode()
		if err != nil {
			return // too long: refused, not cut
		}
		back, err := Decode(b)
		if err != nil || len(back.Files) != len(l.Files) || back.Watermark != l.Watermark {
			t.Fatalf("%s became %s: %v", state, b, err)
		}
	})
}

func TestALedgerIsBounded(t *testing.T) {
	l := &Ledger{}
	for n := range 2000 {
		l.put(Entry{Seq: int64(n), Phase: Waiting, Key: strings.Repeat("k", 128)})
	}
	if b, err := l.Encode(); err == nil {
		t.Errorf("%d bytes were written", len(b))
	}
	// The largest that a bridge writes: a full window, every field as long as it may be.
	l = &Ledger{Watermark: 1 << 60, Park: &Park{Mode: Holding, Detail: Cut(strings.Repeat("é", 5000))}}
	for n := range 16 {
		l.put(Entry{
			Seq: 1<<60 + int64(n), Key: strings.Repeat("\x01", 128), Phase: Held, By: "0123456789ab", ExecID: strings.Repeat("x", 100),
			FnoID: strings.Repeat("x", 36), Note: Cut(strings.Repeat("\x01", 5000)), First: time.Now(), Last: time.Now(), AcceptedAt: time.Now(),
		})
	}
	if _, err := l.Encode(); err != nil {
		t.Error(err)
	}
}

func TestDetailsAreCutOnWholeCharacters(t *testing.T) {
	for n := range 8 {
		got := Cut(strings.Repeat("x", n) + strings.Repeat("€", 400))
		if !strings.HasSuffix(got, "€…") || len(got) > 503 {
			t.Errorf("cut to %d bytes ending in %q", len(got), got[len(got)-6:])
		}
	}
	if got := Cut("short"); got != "short" {
		t.Error(got)
	}
}

func TestOrdersAreReadAsWritten(t *testing.T) {
	at := time.Date(2026, 5, 1, 2, 3, 4, 0, time.UTC)
	for _, do := range []Do{Release, Skip} {
		b, err := Order{Do: do, By: "somebody", At: at}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		o, ok, err := DecodeOrder(b)
		if err != nil || !ok || o != (Order{Do: do, By: "somebody", At: at}) {
			t.Errorf("%+v, %v, %v", o, ok, err)
		}
	}
	if _, ok, err := DecodeOrder(nil); ok || err != nil {
		t.Error("no state is an order")
	}
	for _, bad := range []string{"x", `{}`, `{"do":"explode"}`} {
		if _, ok, err := DecodeOrder([]byte(bad)); ok || err == nil {
			t.Errorf("%s was taken for an order", bad)
		}
	}
	a, b := ControlSession("Entity 1"), ControlSession("Entity 2")
	if a == b || len(AsideSession(strings.Repeat("x", 128))) > 128 || a != ControlSession("Entity 1") {
		t.Errorf("control sessions %q and %q", a, b)
	}
}

func ExampleControlSession() {
	fmt.Println(ControlSession("Customer groups"))
	// Output: fnobridge-control-84d55d5e810e9a30959a15a9173eeed48b623c60
}

// put has the ledger hold an entry, whatever it held of the file before.
func (l *Ledger) put(e Entry) {
	have, _ := l.Admit(e.Seq, e.Key)
	*have = e
}

// settledBefore reports whether the ledger takes a file that comes now for one that it has settled.
func (l *Ledger) settledBefore(seq int64) bool {
	if e := l.Find(seq); e != nil {
		return e.Phase == Settled
	}
	return l.wasSettled(seq)
}
