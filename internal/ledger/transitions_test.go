package ledger

import (
	"fmt"
	"os"
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

var (
	phases = []Phase{New, Posting, InFno, Waiting, Held, Dead, Settled}
	at     = time.Date(2026, 5, 1, 2, 3, 4, 0, time.UTC)
)

// methods makes every transition that an entry or its ledger has a method for.
var methods = map[string]func(*Ledger, *Entry){
	"Intended":   func(_ *Ledger, e *Entry) { e.Intended("a process", at) },
	"Doubted":    func(_ *Ledger, e *Entry) { e.Doubted(at) },
	"Disowned":   func(_ *Ledger, e *Entry) { e.Disowned() },
	"Withdrawn":  func(_ *Ledger, e *Entry) { e.Withdrawn() },
	"Accepted":   func(_ *Ledger, e *Entry) { e.Accepted("a message ID", at) },
	"BackingOff": func(_ *Ledger, e *Entry) { e.BackingOff(failure.ServerError, at, time.Minute) },
	"Held":       func(_ *Ledger, e *Entry) { e.Held(failure.ServerError, "why", at) },
	"Released":   func(_ *Ledger, e *Entry) { e.Released("somebody") },
	"Dead":       func(_ *Ledger, e *Entry) { e.Dead(failure.ServerError, "why") },
	"Settled":    func(l *Ledger, e *Entry) { l.Settle(e.Seq) },
	"Gone":       func(l *Ledger, e *Entry) { l.Gone(e.Seq) },
}

// Every transition from every phase: one that the table has leads where it says, any other is never written.
func TestEveryTransitionKeepsToTheTable(t *testing.T) {
	if len(methods) != len(Transitions()) {
		t.Fatalf("%d transitions in the table, %d methods", len(Transitions()), len(methods))
	}
	for _, tr := range Transitions() {
		for _, from := range phases {
			if tr.Name == "Gone" && from == Settled {
				continue // nothing is left to be gone
			}
			t.Run(fmt.Sprintf("%s from %q", tr.Name, from), func(t *testing.T) {
				l := &Ledger{Files: []*Entry{{Seq: 6, Phase: Posting}, {Seq: 7, Phase: from}}} // the first keeps the second
				e := l.Files[1]
				if tr.Name == "Gone" {
					l.Files = l.Files[1:]
					l.Files = append(l.Files, &Entry{Seq: 9, Phase: Posting})
					l.Watermark = 6
				}
				methods[tr.Name](l, e)
				_, err := l.Encode()
				if !slices.Contains(tr.From, from) {
					if err == nil || !strings.Contains(err.Error(), tr.Name) {
						t.Errorf("it was written as %q, error %v", e.Phase, err)
					}
					return
				}
				if err != nil || !slices.Contains(tr.To, e.Phase) {
					t.Errorf("it leads to %q, want one of %q: %v", e.Phase, tr.To, err)
				}
			})
		}
	}
}

// Whatever happened to a file before, a phase has the fields that belong to it and no others: nothing of an attempt stays
// behind to be said of the next one.
func TestAPhaseHasItsFieldsAndNoOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Ledger{}
		e, _ := l.Admit(7, "key")
		for range rapid.IntRange(1, 30).Draw(t, "transitions") {
			var can []string
			for _, tr := range Transitions() {
				if slices.Contains(tr.From, e.Phase) && tr.Name != "Settled" && tr.Name != "Gone" {
					can = append(can, tr.Name)
				}
			}
			if len(can) == 0 {
				break
			}
			name := rapid.SampledFrom(can).Draw(t, "transition")
			methods[name](l, e)
			if e.Phase == InFno {
				e.ExecID = rapid.SampledFrom([]string{"", "an execution"}).Draw(t, "execution")
			}
			e.Published = rapid.SampledFrom([]status.Status{"", status.Enqueued, status.Held}).Draw(t, "published")
			if broken := misfit(e); broken != "" {
				t.Fatalf("after %s: %s: %+v", name, broken, e)
			}
		}
	})
}

// misfit says what is wrong with the fields of an entry; "" when nothing is.
func misfit(e *Entry) string {
	_, ofImport := map[Phase]bool{InFno: true, Held: true, Dead: true}[e.Phase]
	switch {
	case !ofImport && e.FnoID != "":
		return "it has the message ID of an import that is over"
	case !ofImport && e.ExecID != "":
		return "it has the execution ID of an import that is over"
	case e.FnoID == "" && e.ExecID != "":
		return "it has an execution without a message"
	case e.Phase == InFno && e.AcceptedAt.IsZero():
		return "F&O has it since nobody knows when"
	case e.Phase != Posting && e.By != "":
		return "a process owns a post that is not under way"
	case e.Phase != New && e.Attempts > 0 && e.Last.IsZero() && e.Base < e.Attempts:
		return "an attempt was made, and nobody knows when"
	case e.Phase == New && e.Attempts > 0:
		return "attempts of a file of which nothing is written"
	case e.Tries() < 0 || e.Off < 0:
		return "less than nothing"
	}
	return ""
}

func TestFilesOfWhichNothingIsKnownAreNotWritten(t *testing.T) {
	l := &Ledger{}
	l.Admit(7, "key")
	if b, err := l.Encode(); b != nil || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	e, _ := l.Admit(8, "key")
	e.Intended("a process", at)
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if err != nil || len(back.Files) != 1 || back.Files[0].Seq != 8 {
		t.Errorf("%s, %v", b, err)
	}
}

// Two entries that say the same but for what is not written are written alike.
func TestAnIntentThatIsTakenBackLeavesNoTrace(t *testing.T) {
	for name, e := range map[string]*Entry{
		"the first":  {Seq: 7, Key: "key"},
		"the second": {Seq: 7, Key: "key", Phase: Waiting, Attempts: 1, First: at, Last: at.Add(time.Minute), Reason: failure.ServerError},
	} {
		was := *e
		e.Intended("a process", at.Add(time.Hour))
		e.Withdrawn()
		if diff := cmp.Diff(was, *e, cmpopts.IgnoreUnexported(Entry{})); diff != "" {
			t.Errorf("%s attempt:\n%s", name, diff)
		}
	}
}

func TestAFileAtWhichTheSessionStandsIsHeldWhateverElseIsKnownOfIt(t *testing.T) {
	for _, state := range []string{
		`{"v":1,"park":{"mode":"hold","seq":7,"reason":"Timeout","detail":"why","since":"2026-05-01T02:03:04Z"}}`,
		`{"v":1,"files":[{"seq":7,"phase":"waiting","n":2,"pub":"Held"}],"park":{"mode":"hold","seq":7,"reason":"Timeout","since":"2026-05-01T02:03:04Z"}}`, // as releases before this one wrote it
	} {
		l, err := Decode([]byte(state))
		if err != nil {
			t.Fatal(err)
		}
		if e, _ := l.Admit(7, "key"); e.Phase != Held || e.Reason != failure.Timeout {
			t.Errorf("%s: %+v", state, e)
		}
		if _, err := l.Encode(); err != nil {
			t.Error(err)
		}
	}
}

func TestOneOfTheHeldFilesIsTheOneAtWhichTheSessionStands(t *testing.T) {
	l := &Ledger{}
	for seq := int64(1); seq <= 3; seq++ {
		e, _ := l.Admit(seq, "key")
		e.Intended("a process", at)
		e.Accepted("m", at)
	}
	for _, seq := range []int64{2, 3, 1} {
		l.Hold(l.Find(seq), failure.Timeout, fmt.Sprint("why ", seq), at)
	}
	if !l.HeldAt(1) || l.Park.Detail != "why 1" {
		t.Errorf("it stands at %+v, the first of three that failed is 1", l.Park)
	}
	l.Park = nil
	l.Hold(l.Find(2), failure.Timeout, "why 2", at)
	if !l.HeldAt(2) || l.Find(2).Note != "why 2" {
		t.Errorf("the next to stand at is %+v", l.Park)
	}
}

// The table of the documents is the table of the code.
func TestTheDocumentsHaveTheTable(t *testing.T) {
	b, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	name := func(ps []Phase) string {
		var names []string
		for _, p := range ps {
			if p == New {
				p = "new"
			}
			names = append(names, string(p))
		}
		return strings.Join(names, ", ")
	}
	for _, tr := range Transitions() {
		row := fmt.Sprintf("| `%s` | %s | %s |", tr.Name, name(tr.From), name(tr.To))
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/design.md does not have the row\n%s", row)
		}
	}
}

// A file that comes when later ones were begun is told from one that was settled and comes again.
func TestAFileThatComesLateIsNotTakenForASettledOne(t *testing.T) {
	l := &Ledger{}
	for _, seq := range []int64{5, 7, 9} {
		e, late := l.Admit(seq, "key")
		if late {
			t.Errorf("%d is late", seq)
		}
		e.Intended("a process", at)
		if seq == 9 {
			break
		}
		e.Accepted("m", at)
		l.Settle(seq)
	}
	for seq, want := range map[int64]struct {
		late  bool
		phase Phase
	}{
		5: {false, Settled}, 6: {true, New}, 7: {false, Settled}, 8: {true, New}, 9: {false, Posting}, 10: {false, New},
	} {
		b, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if e, late := back.Admit(seq, "key"); late != want.late || e.Phase != want.phase {
			t.Errorf("%d: late %v, phase %q, want %+v", seq, late, e.Phase, want)
		}
	}
	for seq := int64(11); seq < 200; seq++ {
		l.Admit(seq, "key")
		l.Settle(seq)
	}
	if len(l.Recent) != recent {
		t.Errorf("%d numbers are remembered", len(l.Recent))
	}
}

// What releases before the one that remembers numbers wrote is read as they meant it.
func TestAWatermarkAloneIsBelieved(t *testing.T) {
	l, err := Decode([]byte(`{"v":1,"settled":7}`))
	if err != nil {
		t.Fatal(err)
	}
	if e, late := l.Admit(6, "key"); late || e.Phase != Settled {
		t.Errorf("late %v, phase %q", late, e.Phase)
	}
}
