package status

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fnobridge/internal/failure"
)

// Every status that the code has a name for is in the table, and none is there twice.
func TestTheTableHasEveryStatusOnce(t *testing.T) {
	source, err := os.ReadFile("status.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\t(\w+)\s+Status = "(\w+)"`).FindAllStringSubmatch(string(source), -1)
	if len(declared) < 15 {
		t.Fatalf("only %d statuses were found", len(declared))
	}
	rows := map[Status]int{}
	for _, s := range All() {
		rows[s]++
	}
	for _, d := range declared {
		if d[1] != d[2] {
			t.Errorf("%s is called %q", d[1], d[2])
		}
		if rows[Status(d[2])] == 0 {
			t.Errorf("%s has no row", d[2])
		}
	}
	for s, n := range rows {
		if n != 1 {
			t.Errorf("%s has %d rows", s, n)
		}
	}
}

func TestEveryRowIsComplete(t *testing.T) {
	for _, r := range table {
		if r.status == "" || r.kind == Unlisted {
			t.Errorf("%q has the kind %d", r.status, r.kind)
		}
		if (r.reason == "") != (r.verdict == failure.Undecided) {
			t.Errorf("%s: reason %q, verdict %s", r.status, r.reason, r.verdict)
		}
		if r.reason != "" && !slices.Contains(failure.Reasons(), r.reason) {
			t.Errorf("%s: %q is no reason", r.status, r.reason)
		}
		fromFno := r.kind == Final || r.kind == Progress && r.status != Unrecognised
		if fromFno != (len(r.spellings) > 0) {
			t.Errorf("%s has %d spellings", r.status, len(r.spellings))
		}
	}
}

// An import that F&O has ended went well and the file is gone, or it has a reason that a person can look up.
func TestAFinalStatusIsGoodOrHasAReason(t *testing.T) {
	for _, s := range All() {
		if !s.Final() {
			continue
		}
		_, reason, failed := s.Failure()
		want := Good
		if failed {
			want = Bad
		}
		if s.Tone() != want || s.Ends() == failed {
			t.Errorf("%s: reason %q, tone %d, the last status %v", s, reason, s.Tone(), s.Ends())
		}
		if failed && !Announces(reason) {
			t.Errorf("%s does not announce %s", s, reason)
		}
	}
}

func TestEverySpellingMeansOneStatus(t *testing.T) {
	for _, s := range All() {
		for _, word := range s.Spellings() {
			if word != strings.ToLower(strings.TrimSpace(word)) {
				t.Errorf("%q is not written as it is looked for", word)
			}
			if got := OfFno(" " + strings.ToUpper(word) + "\r\n"); got != s {
				t.Errorf("%q is %s, want %s", word, got, s)
			}
		}
	}
	if OfFno(" ") != "" || OfFno("InQuarantine") != Unrecognised || OfFno("Held") != Unrecognised {
		t.Errorf("%q, %q, %q", OfFno(" "), OfFno("InQuarantine"), OfFno("Held"))
	}
}

func TestProgressHasAnOrder(t *testing.T) {
	order := []Status{Enqueued, Dequeued, PreProcessing, Processing}
	for i, a := range order {
		for j, b := range order {
			if a.Before(b) != (i < j) {
				t.Errorf("%s before %s: %v", a, b, a.Before(b))
			}
		}
	}
	for _, s := range All() {
		if !slices.Contains(order, s) && (s.Before(Processing) || Enqueued.Before(s)) {
			t.Errorf("%s has a place among the statuses of an import at work", s)
		}
	}
}

func TestWhatAnotherVersionSaysIsNotInTheTable(t *testing.T) {
	s := Status("FromTomorrow")
	if s.Kind() != Unlisted || s.Tone() != Plain {
		t.Errorf("%+v", byStatus[s])
	}
	if s.Final() || s.Ends() || s.Environmental() {
		t.Errorf("it says how a file or an environment is: %+v", byStatus[s])
	}
	if _, _, ok := s.Failure(); ok || Announces("Weather") || Announces("") {
		t.Error("it is a failure")
	}
}

func TestTheMessagesPageNamesEveryStatus(t *testing.T) {
	page, err := os.ReadFile("../../docs/messages.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range All() {
		if !strings.Contains(string(page), "`"+string(s)+"`") {
			t.Errorf("docs/messages.md does not say what %s means", s)
		}
	}
}
